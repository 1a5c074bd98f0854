package dispatch

import (
	"strings"
	"testing"
)

func TestRedact(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, secret, kept string }{
		{"a header object", `{"headers":{"Authorization":"Bearer s3cret","Accept":"text/html"}}`, "s3cret", "text/html"},
		{"a header line", `{"headers":["Authorization: Bearer s3cret","Host: a"]}`, "s3cret", "Host"},
		{"a proxy header", `{"headers":{"proxy-authorization":"Basic s3cret"}}`, "s3cret", "headers"},
		{"a cookie", `{"headers":{"Cookie":"sid=s3cret; a=b"}}`, "s3cret", "headers"},
		{"an escaped quote does not end a secret", `{"headers":{"Cookie":"a\"s3cret"}}`, "s3cret", "headers"},
		{"userinfo of a URL", `{"url":"http://me:s3cret@host/x"}`, "s3cret", "host/x"},
		{"a list of values", `{"headers":{"Authorization":["Bearer s3cret","Basic s3cret"]},"pod":"web"}`, "s3cret", "web"},
		{"userinfo with an @", `{"url":"http://me:hush@s3cret@host/x"}`, "s3cret", "host/x"},
		{"userinfo that is cut off", `{"pad":"` + strings.Repeat("x", maxAuditBytes-40) + `","url":"http://me:s3cret` + strings.Repeat("t", 40) + `@host/x"}`, "s3cret", "url"},
		{"a token by another name", `{"x-api-key":"s3cret","pod":"web"}`, "s3cret", "web"},
		{"broken JSON", `{"authorization": "s3cret`, "s3cret", "authorization"},
		{"nothing secret", `{"pod":"web-0","namespace":"shop"}`, "REDACTED", "web-0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := redact([]byte(test.in))
			if strings.Contains(got, test.secret) || !strings.Contains(got, test.kept) {
				t.Errorf("redact(%s) = %s", test.in, got)
			}
		})
	}
	if got := redact([]byte(strings.Repeat("x", 1<<20))); len(got) > 2*maxAuditBytes {
		t.Errorf("a long argument is audited with %d bytes", len(got))
	}
}
