package fetch

import (
	"testing"

	"nsenter-mcp/tools/fact"
)

// TestNoAddress: outcomes are told in words.
func TestNoAddress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ outcome, source, want string }{
		{"nxdomain", "10.0.0.1", "the name has no address: it does not exist"},
		{"nodata", "10.0.0.1", "the name has no address: it exists without one"},
		{"half_denied", "10.0.0.1", "the name could not be looked up: the nameserver has an address and denies the name for the other record type, which musl takes for both (10.0.0.1)"},
		{"servfail", "10.0.0.1", "the name could not be looked up: the nameserver fails (10.0.0.1)"},
		{"refused", "10.0.0.1", "the name could not be looked up: the nameserver refuses to answer (10.0.0.1)"},
		{"timeout", "10.0.0.1", "the name could not be looked up: no nameserver answered in time (10.0.0.1)"},
		{"unreachable", "10.0.0.1", "the name could not be looked up: no nameserver can be reached (10.0.0.1)"},
		{"no_nameserver", "127.0.0.1", "the name could not be looked up: no nameserver is known, and nobody answers at the library's own choice, 127.0.0.1"},
		{"no_nameserver", "", "the name could not be looked up: no nameserver is known"},
	} {
		if got := NoAddress(&fact.Resolution{Outcome: c.outcome, Source: c.source}); got != c.want {
			t.Errorf("%s: %s, want %s", c.outcome, got, c.want)
		}
	}
}
