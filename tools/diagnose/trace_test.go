package diagnose

import (
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

// TestQuestions: a datagram or echo without an answer is judged by what is proven; that
// nobody answers proves nothing.
func TestQuestions(t *testing.T) {
	t.Parallel()
	const address = "10.0.0.2:53"
	step := func(place, what, kind string, back bool) fact.JourneyStep {
		return fact.JourneyStep{Place: place, NetnsInode: uint64(len(place)), Dev: "eth0", What: what, Proto: "udp", Kind: kind, Back: back, Src: "10.0.0.1:1000", Dst: address}
	}
	dropped := step(fact.PlaceNode, fact.StepDropped, "", false)
	dropped.Reason = dropNetfilter
	refused := step(fact.PlaceTarget, fact.StepReceived, "port-unreachable", true)
	refused.Proto, refused.Src = "icmp", "10.0.0.9"
	sent := step(fact.PlaceTarget, fact.StepQueued, "", false)
	for _, c := range []struct {
		title   string
		attempt fact.Attempt
		steps   []fact.JourneyStep
		outcome fact.Outcome
		code    fact.Code
		says    string
	}{
		{"silence", fact.Attempt{Errno: "ETIMEDOUT"}, []fact.JourneyStep{sent}, fact.OutcomeTimeout, "", "no answer of"},
		{"silence, no trail", fact.Attempt{Errno: "ETIMEDOUT"}, nil, fact.OutcomeTimeout, "", "no answer of"},
		{"the node drops", fact.Attempt{Errno: "ETIMEDOUT"}, []fact.JourneyStep{sent, dropped}, fact.OutcomeTimeout, FirewallHostDrop, "the datagram to " + address},
		{"refused, by somebody", fact.Attempt{Errno: "ECONNREFUSED"}, []fact.JourneyStep{sent, refused}, fact.OutcomeRefused, "", "ICMP port-unreachable from 10.0.0.9 came back"},
		{"refused, no trail", fact.Attempt{Errno: "ECONNREFUSED"}, nil, fact.OutcomeRefused, "", "an ICMP error came back"},
		{"not permitted", fact.Attempt{Errno: "EPERM"}, nil, fact.OutcomeBlockedLocally, "", "does not permit"},
		{"no neighbour", fact.Attempt{Errno: "EHOSTUNREACH", Route: &fact.AttemptRoute{Type: "unicast", Dev: "eth0"}, Neigh: &fact.AttemptNeigh{Dst: "10.0.0.2", State: "FAILED"}},
			nil, fact.OutcomeUnreachable, NeighFailed, "does not answer ARP"},
		{"no route", fact.Attempt{Errno: "ENETUNREACH", Route: &fact.AttemptRoute{Type: fact.RouteNone}}, nil, fact.OutcomeUnreachable, RouteNoDefault, "has no route"},
		{"by a router", fact.Attempt{Errno: "EHOSTUNREACH", Route: &fact.AttemptRoute{Type: "unicast", Dev: "eth0"}}, nil, fact.OutcomeUnreachable, "", "ended with EHOSTUNREACH"},
		{"no carrier", fact.Attempt{Errno: "ETIMEDOUT", Route: &fact.AttemptRoute{Type: "unicast", Dev: "eth0", OperState: "DOWN"}}, nil, fact.OutcomeTimeout, LinkNoCarrier, "whose state is DOWN"},
	} {
		a := c.attempt
		a.Address, a.Packet, a.Outcome = address, "the datagram", fact.OutcomeTimeout
		if c.steps != nil {
			a.Journey = &fact.Journey{Status: fact.JourneyRecorded, Steps: c.steps}
		}
		e := &fact.TraceEvidence{FetchEvidence: fact.FetchEvidence{Fetch: &fact.Fetch{Stage: fact.StageConnect, Attempts: []fact.Attempt{a}}}}
		found := Trace(e)
		code := fact.Code("")
		if len(found) > 0 {
			code = found[0].Code
		}
		if e.Outcome != c.outcome || code != c.code || len(found) > 1 || !strings.Contains(e.Reason, c.says) {
			t.Errorf("%s: %s %v %q, want %s %s %q", c.title, e.Outcome, found, e.Reason, c.outcome, c.code, c.says)
		}
	}
}
