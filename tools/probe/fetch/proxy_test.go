package fetch

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"nsenter-mcp/internal/redact"
)

func TestCredentialsOfAProxyAreNotShown(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"http://proxy.test:3128":                      "http://proxy.test:3128",
		"proxy.test":                                  "proxy.test",
		"http://user:swordfish@proxy.test:3128":       "http://REDACTED@proxy.test:3128",
		"user:swordfish@proxy.test":                   "REDACTED@proxy.test",
		"http://user:sword@fish@proxy.test":           "http://REDACTED@proxy.test",
		"user:sword://fish@proxy.test":                "REDACTED@proxy.test",
		"://user:swordfish@proxy.test":                "REDACTED@proxy.test",
		"http://user:sword/fish@proxy.test":           "http://REDACTED@proxy.test",
		"socks5h://swordfish@10.0.0.1, 10.0.0.2@here": "socks5h://REDACTED@here",
	} {
		if got := withoutUserinfo(value); got != want {
			t.Errorf("%s is shown as %s, want %s", value, got, want)
		}
	}
}

// TestExemptRange: only a range that alone exempts the address is told.
func TestExemptRange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		noProxy, url    string
		applies         bool
		exempt, address string
	}{
		{"localhost,10.96.0.0/12,.corp.test", "http://10.96.0.20/", false, "10.96.0.0/12", "http://proxy.test:3128"},
		{"localhost, 10.96.0.0/12", "http://10.244.0.1/", true, "", "http://proxy.test:3128"},
		{"10.96.0.20,10.96.0.0/12", "http://10.96.0.20/", false, "", ""},
		{"10.96.0.0/12", "http://api.test/", true, "", "http://proxy.test:3128"},
		{"fd00::/8", "http://[fd00::1]/", false, "fd00::/8", "http://proxy.test:3128"},
		{"10.96.0.0/12", "http://127.0.0.1/", false, "", ""}, // no client asks a proxy for its own loopback
		{"*", "http://10.96.0.20/", false, "", ""},
		{"", "https://10.96.0.20/", false, "", ""},
	} {
		env := Environ{"http_proxy": "http://proxy.test:3128", "no_proxy": c.noProxy}
		u, err := parseURL(c.url)
		if err != nil {
			t.Fatal(err)
		}
		s := &step{call: &call{Client: &Client{Environ: env}, plan: &plan{}}, hop: hop{url: u}}
		if _, _, err := s.destination(); err != nil {
			t.Fatal(err)
		}
		if p := s.answer.Proxy; p.Applies != c.applies || p.ExemptRange != c.exempt || p.Address != c.address || p.Used {
			t.Errorf("%s, %s: %+v", c.noProxy, c.url, p)
		}
	}
}

var (
	redactedUser = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*://)?` + redact.Replacement + `$`)
	proxyAddress = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[^@]*$`)
)

// FuzzEnviron: whatever a container's environment holds, it leads to a proxy that
// can be connected to, to an error about it, or to none; and it is shown without
// credentials and in printable ASCII.
func FuzzEnviron(f *testing.F) {
	f.Add([]byte("PATH=/bin\x00http_proxy=http://user:swordfish@10.0.0.1:3128\x00no_proxy=.svc,10.0.0.0/8\x00"), "http://web.test/")
	f.Add([]byte("HTTPS_PROXY=proxy.test:0\x00NO_PROXY=*"), "https://[fd00::1]:8443/x")
	f.Add([]byte("all_proxy=socks5h://[::1%25eth0]\x00http_proxy=user:sword://fish@h"), "http://a.b./")
	f.Add([]byte("http_proxy=http://h:99999\x00https_proxy=\x00SSL_CERT_FILE=/x"), "10.0.0.1")
	f.Add([]byte("http_proxy=//\xff@\x1b[31m\x00=\x00\x00http_proxy"), "http://x/")
	f.Fuzz(func(t *testing.T, text []byte, target string) {
		env := ParseEnviron(text)
		for name, value := range env {
			if value == "" || !strings.Contains(string(text), name+"="+value) {
				t.Errorf("%s=%s is not in the environment", name, value)
			}
		}
		u, err := parseURL(target)
		if err != nil {
			return
		}
		s := &step{call: &call{Client: &Client{Environ: env}, plan: &plan{Request: Request{UseProxy: true}}}, hop: hop{url: u}}
		to, port, err := s.destination()
		var argument *ArgumentError
		switch {
		case err != nil && (!errors.As(err, &argument) || argument.Field != "use_proxy"):
			t.Errorf("%v", err)
		case err == nil && (port == 0 || to.name == "" && !to.addr.IsValid()):
			t.Errorf("leads to %q, port %d", to, port)
		}
		p := s.answer.Proxy
		if p == nil {
			return
		}
		if p.Used != (p.Applies && err == nil) || (p.Applies || p.ExemptRange != "") != (p.Address != "") || p.Applies && !proxyAddress.MatchString(p.Address) {
			t.Errorf("%+v, %v", p, err)
		}
		for name, shown := range p.Untrusted {
			if at := strings.LastIndexByte(shown, '@'); at >= 0 && !redactedUser.MatchString(shown[:at]) {
				t.Errorf("%s is shown as %q", name, shown)
			}
			for _, c := range []byte(shown) {
				if c < ' ' || c == 0x7f {
					t.Errorf("%s is shown as %q", name, shown)
				}
			}
		}
	})
}
