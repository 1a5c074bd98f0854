package fetch

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"nsenter-mcp/internal/redact"
)

func TestPrintable(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, lines, one string }{
		{"plain ü €", "plain ü €", "plain ü €"},
		{"a\r\nb\tc", "a\nb\tc", `a\r\nb\tc`},
		{"a\rb", `a\rb`, `a\rb`},
		{"\x1b[31m", `\x1b[31m`, `\x1b[31m`},
		{"\u202e\u2066\u200b", `\u202e\u2066\u200b`, `\u202e\u2066\u200b`},
		{"\xff\x00\x7f", `\xff\x00\x7f`, `\xff\x00\x7f`},
		{"\U000e0041\ufeff", `\U000e0041\ufeff`, `\U000e0041\ufeff`},
		{`{"a":"b\n"}`, `{"a":"b\n"}`, `{"a":"b\n"}`},
	} {
		if got, _ := printable([]byte(c.text), 1000, true); got != c.lines {
			t.Errorf("%q: %q, want %q", c.text, got, c.lines)
		}
		if got, _ := printable([]byte(c.text), 1000, false); got != c.one {
			t.Errorf("%q on one line: %q, want %q", c.text, got, c.one)
		}
	}
	if got, cut := printable([]byte("abcdef"), 3, true); got != "abc" || !cut {
		t.Errorf("%q, %v", got, cut)
	}
	if got, cut := printable([]byte("\u202e"), 3, true); got != "" || !cut {
		t.Errorf("half an escape: %q, %v", got, cut)
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add([]byte("a\x1b[31m\u202e\xff\r\n"), 10)
	f.Fuzz(func(t *testing.T, text []byte, limit int) {
		for _, lines := range []bool{false, true} {
			got, cut := printable(text, limit, lines)
			if limit >= 0 && len(got) > limit || !utf8.ValidString(got) {
				t.Errorf("%q", got)
			}
			if !cut && len(text) > 0 && limit < 0 {
				t.Errorf("%q was cut to nothing and that was not said", text)
			}
			if strings.ContainsAny(got, "\x00\x1b\x7f\u202e\u2028") {
				t.Errorf("%q", got)
			}
		}
	})
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	var s secrets
	s.addHeader(http.Header{
		"Authorization": {"Bearer abcdef"}, "Cookie": {"a=11111; b=22222"}, "X-Api-Key": {"33333"}, "X-Plain": {"44444"}, "X-Token": {"1"},
	})
	s.addUser(url.UserPassword("admin", "55555"))
	got := s.hide("abcdef 11111 22222 33333 44444 55555 admin 1 YWRtaW46NTU1NTU=")
	if want := "REDACTED REDACTED REDACTED REDACTED 44444 REDACTED admin 1 REDACTED"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	for _, c := range [][3]string{
		{"Set-Cookie", "sid=abc123; Path=/", "sid=REDACTED; Path=/"},
		{"X-Auth-Token", "anything", "REDACTED"},
		{"Content-Type", "text/plain", "text/plain"},
		{"Www-Authenticate", `Bearer realm="x"`, `Bearer realm="x"`},
	} {
		if got := s.hideHeader(c[0], c[1]); got != c[2] {
			t.Errorf("%s: %s, want %s", c[0], got, c[2])
		}
	}
	for text, want := range map[string]string{
		"http://u:p@a.test/x@y":   "http://REDACTED@a.test/x@y",
		"//u@a.test":              "//REDACTED@a.test",
		"/path@x":                 "/path@x",
		"https://a.test/?m=x@y.z": "https://a.test/?m=x@y.z",
	} {
		if got := redact.URL(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"http://u:p@a.test:80":  "http://REDACTED@a.test:80",
		"u:p@a.test":            "REDACTED@a.test",
		"http://u:p/q@a.test":   "http://REDACTED@a.test",
		"http://a.test":         "http://a.test",
		"10.0.0.0/8,.svc,a@b.c": "REDACTED@b.c",
	} {
		if got := withoutUserinfo(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestParseEnviron(t *testing.T) {
	t.Parallel()
	env := ParseEnviron([]byte("PATH=/bin\x00HTTPS_PROXY=http://p:1\x00no_proxy=.svc\x00EMPTY=\x00http_proxy=\x00SSL_CERT_FILE=/ca.pem\x00garbage\x00SECRET=x\x00"))
	want := Environ{"HTTPS_PROXY": "http://p:1", "no_proxy": ".svc", "SSL_CERT_FILE": "/ca.pem"}
	if len(env) != len(want) || env.CertFile() != "/ca.pem" {
		t.Errorf("%v", env)
	}
	for name, value := range want {
		if env[name] != value {
			t.Errorf("%s is %q", name, env[name])
		}
	}
}
