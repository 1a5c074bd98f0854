package tools

import (
	"testing"

	"nsenter-mcp/tools/fact"
)

// TestComparableName: what the node is asked is a name that can exist.
func TestComparableName(t *testing.T) {
	t.Parallel()
	tried := []fact.DNSTry{{Name: "api.shop.svc.cluster.local.", Beside: true}, {Name: "api.cluster.local."}, {Name: "api."}}
	for _, c := range []struct {
		title, want string
		l           fact.DNSLookup
	}{
		{"decided", "api.", fact.DNSLookup{Outcome: "servfail", Asked: "api", Name: "api.", Tried: tried}},
		{"nobody answered", "api.cluster.local.", fact.DNSLookup{Outcome: "timeout", Asked: "api", Name: "api.", Tried: tried}},
		{"nothing was asked", "api", fact.DNSLookup{Outcome: "timeout", Asked: "api"}},
		{"two final dots", "api.", fact.DNSLookup{Outcome: "timeout", Asked: "api", Name: "api..", TwoDots: true, Tried: tried}},
	} {
		if got := comparableName(&c.l); got != c.want {
			t.Errorf("%s: %s, want %s", c.title, got, c.want)
		}
	}
}
