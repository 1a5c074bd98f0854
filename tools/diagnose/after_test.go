package diagnose

import (
	"slices"
	"testing"

	"nsenter-mcp/tools/fact"
)

func TestOwnPort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		f    fact.Fetch
		want bool
	}{
		{"loopback", fact.Fetch{Attempts: []fact.Attempt{{Address: "127.0.0.1:80"}}}, true},
		{"loopback, IPv6", fact.Fetch{Attempts: []fact.Attempt{{Address: "[::1]:80"}}}, true},
		{"own address", fact.Fetch{Local: "10.0.0.1:999", Remote: "10.0.0.1:80", Attempts: []fact.Attempt{{Address: "10.0.0.1:80"}}}, true},
		{"own address, refused", fact.Fetch{Attempts: []fact.Attempt{{Address: "10.0.0.1:80", Route: &fact.AttemptRoute{Type: "local"}}}}, true},
		{"another", fact.Fetch{Local: "10.0.0.1:999", Remote: "10.0.0.2:80", Attempts: []fact.Attempt{{Address: "10.0.0.2:80"}}}, false},
	} {
		if got := isOwnPort(&c.f); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestAfterFetch: which moves follow, in which order.
func TestAfterFetch(t *testing.T) {
	t.Parallel()
	elsewhere := []fact.Attempt{{Address: "10.0.0.2:80"}}
	late, ok, failed := 2500.0, 200, 503
	for _, c := range []struct {
		name string
		e    fact.FetchEvidence
		want []Move
	}{
		{"all is well", fact.FetchEvidence{Fetch: &fact.Fetch{Outcome: fact.OutcomeOK, Status: &ok, Attempts: elsewhere}}, nil},
		{"all is well in the node's network", fact.FetchEvidence{Host: true, Fetch: &fact.Fetch{Outcome: fact.OutcomeOK, Status: &ok, Attempts: elsewhere}}, nil},
		{"all is well from the node", fact.FetchEvidence{Host: true, Compared: true, Fetch: &fact.Fetch{Outcome: fact.OutcomeOK, Status: &ok, Attempts: elsewhere}},
			[]Move{FromInside}},
		{"slow", fact.FetchEvidence{Fetch: &fact.Fetch{Outcome: fact.OutcomeOK, Status: &ok, Timings: fact.Timings{FirstByteMS: &late}, Attempts: elsewhere}},
			[]Move{FromInside}},
		{"slow, from the destination itself", fact.FetchEvidence{Fetch: &fact.Fetch{
			Outcome: fact.OutcomeOK, Status: &ok, Timings: fact.Timings{FirstByteMS: &late}, Attempts: []fact.Attempt{{Address: "127.0.0.1:80"}}}}, nil},
		{"refused", fact.FetchEvidence{Fetch: &fact.Fetch{Outcome: fact.OutcomeRefused, Stage: fact.StageConnect, Attempts: elsewhere}},
			[]Move{FromInside, FromNode}},
		{"refused on the node", fact.FetchEvidence{Host: true, Fetch: &fact.Fetch{Outcome: fact.OutcomeRefused, Stage: fact.StageConnect, Attempts: elsewhere}},
			[]Move{FromInside}},
		{"silence", fact.FetchEvidence{Fetch: &fact.Fetch{Outcome: fact.OutcomeTimeout, Stage: fact.StageConnect, Attempts: []fact.Attempt{
			{Address: "10.0.0.2:80", Cause: fact.CauseLost}}}}, []Move{ShowLink, FromNode, FromInside}},
		{"too short", fact.FetchEvidence{Fetch: &fact.Fetch{Outcome: fact.OutcomeTimeout, Stage: fact.StageConnect, Reason: "r", Attempts: []fact.Attempt{
			{Address: "10.0.0.2:80", Cause: fact.CauseTooShort, Why: "r"}}}}, []Move{WithMoreTime, FromNode, FromInside}},
		{"server error", fact.FetchEvidence{Fetch: &fact.Fetch{Outcome: fact.OutcomeHTTPError, Status: &failed, Stage: fact.StageDone, Attempts: elsewhere}},
			[]Move{FromNode, FromInside}},
		{"no such name", fact.FetchEvidence{ServiceAddress: "10.96.0.7", Fetch: &fact.Fetch{
			Outcome: fact.OutcomeDNSFailed, Stage: fact.StageDNS, DNS: &fact.Resolution{Name: "api"}}}, []Move{LookUpName, AtServiceAddress}},
		{"no such name, of no service", fact.FetchEvidence{Fetch: &fact.Fetch{
			Outcome: fact.OutcomeDNSFailed, Stage: fact.StageDNS, DNS: &fact.Resolution{Name: "api"}}}, []Move{LookUpName}},
		{"plain HTTP", fact.FetchEvidence{Fetch: &fact.Fetch{Outcome: fact.OutcomeTLSFailed, Stage: fact.StageTLS, Attempts: elsewhere,
			TLS: &fact.TLS{Error: &fact.TLSError{Code: fact.TLSNotTLS}}, Untrusted: &fact.HTTPText{FirstBytes: "HTTP/1.1 400"}}},
			[]Move{WithoutTLS, FromNode, FromInside}},
		{"a stalled answer", fact.FetchEvidence{Fetch: &fact.Fetch{Outcome: fact.OutcomeTimeout, Stage: fact.StageBody, Conn: &fact.ConnState{}, Attempts: elsewhere}},
			[]Move{WithSmallPackets, FromNode, FromInside}},
		{"a redirect", fact.FetchEvidence{Fetch: &fact.Fetch{Outcome: fact.OutcomeOK, Redirects: []fact.Redirect{{Why: fact.RedirectNotAsked}}}},
			[]Move{FollowRedirect}},
	} {
		var got []Move
		for _, s := range AfterFetch(&c.e, nil) {
			got = append(got, s.Move)
			if s.Why == "" {
				t.Errorf("%s: move %d without a reason", c.name, s.Move)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// TestSettled: a cause that is proven ends the comparisons, and nothing else.
func TestSettled(t *testing.T) {
	t.Parallel()
	e := fact.FetchEvidence{ServiceAddress: "10.96.0.7", Fetch: &fact.Fetch{Outcome: fact.OutcomeTimeout, Stage: fact.StageConnect,
		Attempts: []fact.Attempt{{Address: "10.0.0.2:80", Cause: fact.CauseGatewaySilent}}}}
	for code, want := range map[fact.Code]int{LinkDown: 0, FirewallPodDrop: 0, RouteNoDefault: 0, NeighGatewayFailed: 3, TCPTimeout: 3} {
		if got := AfterFetch(&e, finding(code, "f")); len(got) != want {
			t.Errorf("%s: %v, want %d moves", code, got, want)
		}
	}
	e.Fetch = &fact.Fetch{Outcome: fact.OutcomeDNSFailed, Stage: fact.StageDNS, DNS: &fact.Resolution{Name: "api"}}
	if got := AfterFetch(&e, finding(LinkDown, "f")); len(got) != 2 {
		t.Errorf("a name that failed: %v, want the lookup and the service's address", got)
	}
}

// TestSmallPeer: the reason is the MTU of the other end where the segments are too long
// for it, and nothing where they are not.
func TestSmallPeer(t *testing.T) {
	t.Parallel()
	mtu := 1500
	for peer, want := range map[int][]string{1400: {"link.mtu_mismatch"}, 1500: nil, 0: nil} {
		f := &fact.Fetch{Local: "10.0.0.1:999", Reason: "r", Conn: &fact.ConnState{NotSent: 5000, MSS: 1448, PMTU: 1500}}
		link := &fact.Link{Name: "eth0", MTU: &mtu, Flags: []string{"UP"}, HostPeer: &fact.HostPeer{Name: "veth1", MTU: peer}}
		if got := codes(smallPeer(f, link)); !slices.Equal(got, want) || (f.Reason != "r") != (want != nil) {
			t.Errorf("peer with mtu %d: %v, %s", peer, got, f.Reason)
		}
	}
}
