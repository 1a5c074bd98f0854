package tools

import (
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// curlScene is a pod that asks a server on another pod of its node.
type curlScene struct {
	*lab.Scene
	bench *testbench
}

func newCurlScene(t *testing.T, serve func(*lab.Scene) string) *curlScene {
	t.Helper()
	b := newTestbench(t, nil)
	return &curlScene{b.lab.Scene(t, &lab.Fault{Serve: serve}, 0), b}
}

// args asks for the server's URL, with more arguments as name, value, name, value.
func (s *curlScene) args(more ...any) map[string]any {
	args := s.Arguments("netns_curl")
	maps.Copy(args, at(s.Pod.Netns, more...))
	delete(args, "netns")
	return args
}

// A call that is too short to tell why nobody answers blames nothing, and
// proposes first to wait longer.
func TestCurlTooShortToTell(t *testing.T) {
	t.Parallel()
	lab.Kernel(t, noJourney())
	s := newCurlScene(t, nil)
	s.Must(s.Server.Firewall(lab.FirewallRule{Hook: lab.Incoming, Port: 80}))
	answer, data := succeed[fact.Fetch](t, s.bench, "netns_curl", s.args("timeout_ms", 500))
	if data.Outcome != fact.OutcomeTimeout || len(answer.Findings) != 0 {
		t.Errorf("%s %+v", data.Outcome, answer.Findings)
	}
	if len(answer.Next) == 0 || answer.Next[0].Tool != "netns_curl" || answer.Next[0].Arguments["timeout_ms"] != 5000 || answer.Next[0].Arguments["pod"] != "cart-0" {
		t.Fatalf("next is %+v", answer.Next)
	}
	longer, _ := succeed[fact.Fetch](t, s.bench, "netns_curl", answer.Next[0].Arguments)
	if got := codes(longer.Findings); !slices.Equal(got, []string{"fw.peer_drop"}) {
		t.Errorf("with more time: %v, %s", got, longer.Summary)
	}
}

// A segment that the other end of the veth has no room for is refused in the
// sender's own call, as a firewall's drop is.
func TestCurlSmallerMTUAtTheOtherEnd(t *testing.T) {
	t.Parallel()
	// With its headers a single segment of more than 1404 bytes, which are the MTU and
	// the room for a VLAN tag; what is longer than a segment passes, as it is cut later.
	header := map[string]any{"X-Long": strings.Repeat("a", 1250)}
	s := newCurlScene(t, nil)
	if _, data := succeed[fact.Fetch](t, s.bench, "netns_curl", s.args("headers", header)); data.Outcome != fact.OutcomeOK {
		t.Fatalf("before the fault: %+v", data)
	}
	s.Must(s.Pod.Break("MTU of the veth's ends differs"))
	answer, data := succeed[fact.Fetch](t, s.bench, "netns_curl", s.args("headers", header, "timeout_ms", 3000))
	if got := codes(answer.Findings); data.Outcome != fact.OutcomeTimeout || !slices.Equal(got, []string{"link.mtu_mismatch", "http.no_response"}) {
		t.Errorf("%s %v: %s %+v", data.Outcome, got, answer.Summary, data.Conn)
	}
	if !strings.Contains(answer.Summary, "the other end of eth0 on the host, has mtu 1400 and drops longer packets") || strings.Contains(answer.Summary, "firewall") {
		t.Errorf("%s", answer.Summary)
	}
	if len(answer.Next) == 0 || answer.Next[0].Tool != "netns_ip_addr" {
		t.Errorf("next is %+v", answer.Next)
	}
}

// What the pod's own firewall drops on an established connection is not blamed on
// an MTU that is right.
func TestCurlFirewallOnEstablished(t *testing.T) {
	t.Parallel()
	for _, length := range []int{10, 1250} {
		s := newCurlScene(t, func(s *lab.Scene) string { return s.Speak(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }) })
		header := map[string]any{"X-Long": strings.Repeat("a", length)}
		const push = 8 // a whole write, so that connections are made and nothing can be sent on them
		s.Must(s.Pod.Firewall(lab.FirewallRule{Hook: lab.Outgoing, Flags: push}))
		answer, data := succeed[fact.Fetch](t, s.bench, "netns_curl", s.args("headers", header, "timeout_ms", 3000))
		if got := codes(answer.Findings); data.Outcome != fact.OutcomeTimeout || !slices.Equal(got, []string{"http.no_response"}) {
			t.Errorf("%s %v: %s %+v", data.Outcome, got, answer.Summary, data.Conn)
		}
		if suspects := strings.Contains(answer.Summary, "smaller MTU"); !strings.Contains(answer.Summary, "firewall or traffic control drops") || suspects != (length > 1000) {
			t.Errorf("%d bytes: %s", length, answer.Summary)
		}
		if len(answer.Next) == 0 || answer.Next[0].Tool != "netns_ip_addr" {
			t.Errorf("next is %+v", answer.Next)
		}
	}
}

// Where a server does not speak HTTP/2, the first step is to speak HTTP/1.1.
func TestCurlHTTP1ToWhomHTTP2WasSpoken(t *testing.T) {
	t.Parallel()
	s := newCurlScene(t, nil)
	answer, _ := succeed[fact.Fetch](t, s.bench, "netns_curl", s.args("http_version", "h2c"))
	if got := codes(answer.Findings); !slices.Equal(got, []string{"http.not_http"}) || !strings.Contains(answer.Summary, "speaks HTTP/1.1, not h2c") {
		t.Errorf("%v, %s", got, answer.Summary)
	}
	if len(answer.Next) == 0 || answer.Next[0].Arguments["http_version"] != "1.1" {
		t.Fatalf("next is %+v", answer.Next)
	}
	if _, data := succeed[fact.Fetch](t, s.bench, "netns_curl", answer.Next[0].Arguments); data.Outcome != fact.OutcomeOK {
		t.Errorf("%+v", data)
	}
}

// Where a port speaks plain HTTP, the first step is to speak it too.
func TestCurlPlainHTTPOnTLS(t *testing.T) {
	t.Parallel()
	s := newCurlScene(t, nil)
	_, err := s.Server.Serve(":443", http.HandlerFunc(lab.Hello))
	s.Must(err)
	bare := "https://" + s.Server.IP.String() + "/x?y=z"
	for from, want := range map[string]string{
		"https://" + s.Server.IP.String() + ":80/": "http://" + s.Server.IP.String() + ":80/",
		bare: "http://" + s.Server.IP.String() + ":443/x?y=z",
	} {
		answer, _ := succeed[fact.Fetch](t, s.bench, "netns_curl", s.args("url", from))
		if len(answer.Next) == 0 || answer.Next[0].Arguments["url"] != want {
			t.Errorf("%s: next is %+v, want first %s", from, answer.Next, want)
			continue
		}
		if _, data := succeed[fact.Fetch](t, s.bench, "netns_curl", answer.Next[0].Arguments); data.Outcome != fact.OutcomeOK {
			t.Errorf("%s: %+v", want, data)
		}
	}
}
