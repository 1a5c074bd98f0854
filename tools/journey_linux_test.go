package tools

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
)

// TestCurlShowsTheJourney: of a packet that the node drops the answer says where and
// why, in a few lines, or in whole steps.
func TestCurlShowsTheJourney(t *testing.T) {
	t.Parallel()
	b, args := droppedByNode(t, func(*dispatch.Config) {})
	lab.Kernel(t, noJourney())
	answer, data := succeed[fact.Fetch](t, b, "netns_curl", args)
	j := data.Journey
	if j == nil || j.Status != fact.JourneyRecorded || len(j.Trail) < 3 || j.Steps != nil {
		t.Fatalf("journey %+v", j)
	}
	if text := strings.Join(j.Trail, "\n"); len(text) > 1000 || !strings.Contains(text, "target eth0 queued SYN") || !strings.Contains(text, "dropped (NETFILTER_DROP") {
		t.Errorf("trail of %d bytes:\n%s", len(text), text)
	}
	if len(answer.Findings) != 1 || answer.Findings[0].Code != diagnose.FirewallHostDrop || !strings.Contains(answer.Summary, "dropped by a packet filter of the node") {
		t.Errorf("%q %v", answer.Summary, answer.Findings)
	}
	args["details"] = true
	if _, data = succeed[fact.Fetch](t, b, "netns_curl", args); data.Journey == nil || len(data.Journey.Steps) < 3 || data.Journey.Trail != nil {
		t.Errorf("with details %+v", data.Journey)
	}
}

// TestLookupShowsTheJourney: a question that nobody answers is followed like a
// connection, to the nameserver's own network and to the backend of a service.
func TestLookupShowsTheJourney(t *testing.T) {
	t.Parallel()
	lab.Kernel(t, noJourney())
	for _, c := range []struct {
		title, server string // SERVER is the nameserver's pod, SERVICE its service
		at            lab.FirewallHook
		answers       bool
		node          bool // drops, else the nameserver's pod
		code          fact.Code
		says          string
	}{
		{"in the nameserver's pod", "SERVER", lab.Incoming, false, false, diagnose.FirewallPeerDrop, "the question to SERVER is dropped by a packet filter in another network on this node"},
		{"the answer, in the nameserver's pod", "SERVER", lab.Outgoing, true, false, diagnose.FirewallPeerDrop, "the answer of SERVER is dropped"},
		{"on the node, behind a service", "SERVICE", lab.Forwarded, false, true, diagnose.FirewallHostDrop, "the question to SERVICE, translated to SERVER:53, is dropped by a packet filter of the node"},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			b := newDNSBed(t, zoneHandler(t, "api. 30 IN A 192.0.2.1"))
			service, err := b.lab.AddService(lab.ServiceSpec{Port: 53, Protocol: "udp", Backends: []netip.Addr{b.server.IP}})
			if err != nil {
				t.Fatal(err)
			}
			fill := strings.NewReplacer("SERVER", b.at, "SERVICE", service.IP.String()).Replace
			b.web(t, nil, "nameserver "+fill(c.server))
			ns := b.server.Netns
			if c.node {
				ns = b.lab.Node.Netns
			}
			if err := ns.Firewall(lab.FirewallRule{Hook: c.at, Protocol: "udp", Port: 53, Answers: c.answers}); err != nil {
				t.Fatal(err)
			}
			answer, data := b.lookUp(t, map[string]any{"name": "api"})
			if got := codes(answer.Findings); data.Outcome != "timeout" || !slices.Equal(got, []string{string(c.code)}) || !strings.Contains(answer.Findings[0].Fact, fill(c.says)) {
				t.Errorf("%s %v", data.Outcome, answer.Findings)
			}
			if j := data.Journey; j == nil || len(j.Trail) < 3 || j.Steps != nil {
				t.Errorf("%+v", j)
			}
			checkSize(t, answer)
		})
	}
}

// TestJourneyCanBeSwitchedOff: then nothing is attached, and nothing said of it.
func TestJourneyCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	b, args := droppedByNode(t, func(c *dispatch.Config) { c.Policy.NoJourney = true })
	answer, data := succeed[fact.Fetch](t, b, "netns_curl", args)
	if data.Journey != nil || data.Outcome != fact.OutcomeTimeout || len(answer.Findings) != 1 || answer.Findings[0].Code != diagnose.TCPTimeout {
		t.Errorf("%q %+v %v", answer.Summary, data.Journey, answer.Findings)
	}
}

// droppedByNode is a request that a packet filter of the node drops.
func droppedByNode(t *testing.T, change func(*dispatch.Config)) (*testbench, map[string]any) {
	t.Helper()
	b := newTestbench(t, change)
	pods := b.lab.Pods(t, lab.PodSpec{Name: "client", Namespace: "shop"}, lab.PodSpec{Name: "web", Namespace: "shop"})
	if err := b.lab.Node.Firewall(lab.FirewallRule{Hook: lab.Forwarded, Port: 8080}); err != nil {
		t.Fatal(err)
	}
	return b, curlArgs("http://"+pods[1].IP.String()+":8080/", "timeout_ms", 3000)
}
