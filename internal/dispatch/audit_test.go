package dispatch

import (
	"strings"
	"testing"
)

// What is redacted is tested in package redact; here, that it is before it is cut.
func TestAuditText(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxAuditBytes-40)
	for _, in := range []string{
		`{"headers":{"Authorization":"Bearer s3cret"},"pod":"web"}`,
		`{"pad":"` + long + `","url":"http://me:s3cret` + strings.Repeat("t", 40) + `@host/x"}`,
		`{"authorization": "s3cret`,
	} {
		if got := auditText([]byte(in)); strings.Contains(got, "s3cret") || got == "" {
			t.Errorf("auditText(%s) = %s", in, got)
		}
	}
	if got := auditText([]byte(`{"pod":"web-0"}`)); got != `{"pod":"web-0"}` {
		t.Error(got)
	}
	if got := auditText([]byte(`{"pod":"` + strings.Repeat("x", 1<<20) + `"}`)); len(got) > 2*maxAuditBytes {
		t.Errorf("a long argument is audited with %d bytes", len(got))
	}
}
