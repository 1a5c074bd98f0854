package diagnose

import (
	"slices"
	"testing"

	"nsenter-mcp/tools/fact"
)

func TestTries(t *testing.T) {
	t.Parallel()
	at := func(address string, ok, unconnected int) fact.TriedBackend {
		return fact.TriedBackend{Address: address, Translated: true, OK: ok, Unconnected: unconnected}
	}
	direct := at("10.0.0.2:80", 0, 5)
	direct.Translated = false
	for name, c := range map[string]struct {
		tries *fact.Tries
		want  []fact.Code
	}{
		"one":                        {nil, nil},
		"all fine":                   {&fact.Tries{Backends: []fact.TriedBackend{at("a", 5, 0), at("b", 5, 0)}}, nil},
		"one backend of two":         {&fact.Tries{Backends: []fact.TriedBackend{at("a", 5, 0), at("b", 0, 5)}}, []fact.Code{ServiceSomeBackendsDead}},
		"once only":                  {&fact.Tries{Backends: []fact.TriedBackend{at("a", 5, 0), at("b", 0, 1)}}, nil},
		"all backends":               {&fact.Tries{Backends: []fact.TriedBackend{at("a", 0, 5), at("b", 0, 5)}}, nil},
		"both sometimes":             {&fact.Tries{Backends: []fact.TriedBackend{at("a", 3, 2), at("b", 2, 3)}}, nil},
		"one always, one sometimes":  {&fact.Tries{Backends: []fact.TriedBackend{at("a", 3, 2), at("b", 0, 3)}}, nil},
		"addresses without NAT":      {&fact.Tries{Backends: []fact.TriedBackend{at("a", 5, 0), direct}}, nil},
		"one SYN":                    {&fact.Tries{SYNRepeated: map[string]int{"1": 1}}, nil},
		"SYNs alone":                 {&fact.Tries{SYNRepeated: map[string]int{"1": 3, "3": 1}}, []fact.Code{TCPSynRetransmitted}},
		"data once":                  {&fact.Tries{DataRepeated: 1}, nil},
		"data":                       {&fact.Tries{DataRepeated: 2}, []fact.Code{LossPackets}},
		"data and SYNs":              {&fact.Tries{DataRepeated: 1, SYNRepeated: map[string]int{"1": 1}}, []fact.Code{LossPackets}},
		"nobody there, no loss seen": {&fact.Tries{Retransmits: 12, Failed: map[string]int{"timeout": 4}}, nil},
	} {
		var got []fact.Code
		for _, f := range tries(c.tries) {
			got = append(got, f.Code)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	loss := tries(&fact.Tries{Done: 30, DataRepeated: 2, SYNRepeated: map[string]int{"1": 3, "3": 1}})
	const want = "of 30 tries: data was sent again in 2 tries, and 4 tries connected only when the SYN was sent again (3 after 1 s, 1 after 3 s); " +
		"no acknowledgement came for what was sent first: packets are lost on the way there or back"
	if loss[0].Fact != want {
		t.Errorf("%s", loss[0].Fact)
	}
}
