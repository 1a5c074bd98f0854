package tools

import (
	"strings"
	"testing"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/journey"
)

// TestCurlShowsTheJourney: of a packet that the node drops the answer says where and
// why, in a few lines, or in whole steps.
func TestCurlShowsTheJourney(t *testing.T) {
	t.Parallel()
	b, args := droppedByNode(t, func(*dispatch.Config) {})
	lab.Kernel(t, new(journey.Tracer).Check())
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
