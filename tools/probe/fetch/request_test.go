package fetch

import (
	"errors"
	"strings"
	"testing"
)

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	const url = "http://10.0.0.1/"
	many := map[string]string{}
	for i := range maxHeaders + 1 {
		many["X-"+strings.Repeat("a", i+1)] = "v"
	}
	for _, c := range []struct {
		name  string
		r     Request
		field string
	}{
		{"no URL", Request{}, "url"},
		{"other scheme", Request{URL: "ftp://10.0.0.1/"}, "url"},
		{"file", Request{URL: "file:///etc/passwd"}, "url"},
		{"opaque", Request{URL: "http:10.0.0.1"}, "url"},
		{"no host", Request{URL: "http:///path"}, "url"},
		{"port 0", Request{URL: "http://10.0.0.1:0/"}, "url"},
		{"large port", Request{URL: "http://10.0.0.1:70000/"}, "url"},
		{"control character", Request{URL: "http://10.0.0.1/\x00"}, "url"},
		{"line break in the host", Request{URL: "http://10.0.0.1\r\nX: y/"}, "url"},
		{"long", Request{URL: "http://10.0.0.1/" + strings.Repeat("a", maxURL)}, "url"},
		{"method that changes something", Request{URL: url, Method: "DELETE"}, "method"},
		{"no token", Request{URL: url, Method: "GET /x HTTP/1.1\r\nX:"}, "method"},
		{"CONNECT", Request{URL: url, Method: "CONNECT", Unsafe: true}, "method"},
		{"body of a GET", Request{URL: url, Body: "x"}, "body"},
		{"long body", Request{URL: url, Method: "POST", Unsafe: true, Body: strings.Repeat("x", maxRequestBody+1)}, "body"},
		{"line break in a header", Request{URL: url, Headers: map[string]string{"X": "a\r\nY: b"}}, "headers"},
		{"no header name", Request{URL: url, Headers: map[string]string{"X Y": "a"}}, "headers"},
		{"framing", Request{URL: url, Headers: map[string]string{"transfer-encoding": "chunked"}}, "headers"},
		{"length", Request{URL: url, Headers: map[string]string{"Content-Length": "5"}}, "headers"},
		{"method by header", Request{URL: url, Headers: map[string]string{"X-HTTP-Method-Override": "DELETE"}}, "headers"},
		{"method by header with _", Request{URL: url, Headers: map[string]string{"X_HTTP-Method_Override": "DELETE"}}, "headers"},
		{"method by header with other marks", Request{URL: url, Headers: map[string]string{"X.HTTP!Method.Override": "DELETE"}}, "headers"},
		{"framing with other marks", Request{URL: url, Headers: map[string]string{"Transfer.Encoding": "chunked"}}, "headers"},
		{"framing with _", Request{URL: url, Headers: map[string]string{"Content_Length": "3"}}, "headers"},
		{"bad Host header", Request{URL: url, Headers: map[string]string{"Host": "a b"}}, "headers"},
		{"many headers", Request{URL: url, Headers: many}, "headers"},
		{"long headers", Request{URL: url, Headers: map[string]string{"X": strings.Repeat("a", maxHeaderBytes)}}, "headers"},
		{"HTTP/2 without TLS", Request{URL: url, Version: HTTP2}, "http_version"},
		{"h2c with TLS", Request{URL: "https://10.0.0.1", Version: H2C}, "http_version"},
		{"HTTP/3", Request{URL: url, Version: "3"}, "http_version"},
		{"redirects", Request{URL: url, MaxRedirects: MaxRedirects + 1}, "follow_redirects"},
		{"negative redirects", Request{URL: url, MaxRedirects: -1}, "follow_redirects"},
		{"body bytes", Request{URL: url, MaxBody: MaxBodyShown + 1}, "max_body_bytes"},
	} {
		_, err := prepare(c.r)
		var argument *ArgumentError
		if !errors.As(err, &argument) || argument.Field != c.field {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestPrepareAccepts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, want string }{
		{"10.0.0.1", "http://10.0.0.1"},
		{"10.0.0.1:8080/x", "http://10.0.0.1:8080/x"},
		{" HTTP://10.0.0.1/x#part ", "http://10.0.0.1/x"},
		{"http://10.0.0.1:/x", "http://10.0.0.1/x"},
		{"https://user:pass@a.test/x?y=z", "https://user:pass@a.test/x?y=z"},
		{"http://[fe80::1%25eth0]:80/", "http://[fe80::1%25eth0]:80/"},
		{"http://[fe80::1%eth0]:80/", "http://[fe80::1%25eth0]:80/"},
		{"[fe80::1%eth0]/x", "http://[fe80::1%25eth0]/x"},
		{"http://a.test/two words?q=a b", "http://a.test/two%20words?q=a%20b"},
		{"http:8080/x", "http://http:8080/x"}, // a host of that name
		{"http/x", "http://http/x"},
	} {
		p, err := prepare(Request{URL: c.url})
		if err != nil || p.url.String() != c.want || p.Method != "GET" {
			t.Errorf("%s: %v", c.url, err)
		}
	}
	p, err := prepare(Request{URL: "a.test", Method: "post", Body: "x", Unsafe: true, Headers: map[string]string{"x-a": "1", "host": "b.test"}})
	if err != nil || p.Method != "POST" || p.hostname != "b.test" || p.header.Get("X-A") != "1" || p.header.Get("User-Agent") != userAgent {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestURLRefusedWithHint: what curl takes for another host, or refuses without a
// word, says how to write it.
func TestURLRefusedWithHint(t *testing.T) {
	t.Parallel()
	for url, hint := range map[string]string{
		"http:/10.0.0.1":            `"://"`,
		"https//10.0.0.1/x":         `"://"`,
		"HTTPS:/10.0.0.1":           `"://"`,
		"http://10.0.0.1/100%":      "%25",
		"http://10.0.0.1/%zz":       "%25",
		"http://user:a%b@10.0.0.1/": "%25",
		"http://a b/":               "10.0.0.1:8080",
	} {
		_, err := prepare(Request{URL: url})
		var argument *ArgumentError
		if !errors.As(err, &argument) || argument.Field != "url" || !strings.Contains(argument.Hint, hint) {
			t.Errorf("%s: %#v", url, err)
		}
	}
}

// TestHostHeader: the scheme's own port is left out (RFC 9110, section 4.2.1), and
// so is a zone.
func TestHostHeader(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://a.test:80/":          "a.test",
		"https://a.test:443/":        "a.test",
		"http://a.test:443/":         "a.test:443",
		"http://a.test.:8080/":       "a.test:8080",
		"http://[fe80::1%eth0]:80/":  "[fe80::1]",
		"http://[2001:db8::1]:8080/": "[2001:db8::1]:8080",
		"http://0x7f.1/":             "127.0.0.1",
	} {
		p, err := prepare(Request{URL: url})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		s := &step{call: &call{plan: p}, hop: hop{method: p.Method, url: p.url, header: p.header}}
		if r, err := s.request(t.Context()); err != nil || r.Host != want {
			t.Errorf("%s: %s, %v, want %s", url, r.Host, err, want)
		}
	}
}

func TestURLThatIsMissing(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "  "} {
		if _, err := prepare(Request{URL: url}); err == nil || !strings.Contains(err.Error(), "is missing") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestArgumentErrorHoldsNoCredentials(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"ftp://user:swordfish@a.test", "http://user:swordfish@a.test:0", "http://user:swordfish@a b/", "http://user:swordfish@%zz/"} {
		_, err := prepare(Request{URL: url})
		if err == nil || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func FuzzPrepare(f *testing.F) {
	f.Add("http://10.0.0.1/", "GET", "X-A", "v")
	f.Add("https://user:pass@[::1%25lo]:8443/?q#f", "OPTIONS", "Host", "a.test:80")
	f.Fuzz(func(t *testing.T, url, method, name, value string) {
		p, err := prepare(Request{URL: url, Method: method, Headers: map[string]string{name: value}})
		if err != nil {
			return
		}
		// What was accepted stays what it is.
		if _, err := parseURL(p.url.String()); err != nil {
			t.Errorf("%q became %q: %v", url, p.url, err)
		}
		s := &step{call: &call{plan: p}, hop: hop{method: p.Method, url: p.url, header: p.header, hostname: p.hostname}}
		if _, err := s.request(t.Context()); err != nil {
			t.Errorf("%q: %v", url, err)
		}
	})
}
