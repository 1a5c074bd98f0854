package diagnose

import (
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

// TestTrailRules: a drop is judged where it ended the last packet, and not where anything
// may have followed it.
func TestTrailRules(t *testing.T) {
	t.Parallel()
	const address = "10.96.0.10:80"
	syn := func(ms float64, place, what, reason string) fact.JourneyStep {
		return fact.JourneyStep{MS: ms, Place: place, NetnsInode: uint64(len(place)), Dev: "eth0", What: what, Reason: reason,
			Proto: "tcp", Kind: "SYN", Src: "10.0.0.1:1000", Dst: address}
	}
	back := func(s fact.JourneyStep) fact.JourneyStep {
		s.Kind, s.Back, s.Src, s.Dst = "SYN-ACK", true, s.Dst, s.Src
		return s
	}
	question := func(s fact.JourneyStep) fact.JourneyStep {
		s.Proto, s.Kind, s.Dst = "udp", "", "10.0.0.9:80"
		return s
	}
	in := func(netns uint64, what, reason string) fact.JourneyStep { // another network
		s := syn(2, fact.PlaceOther, what, reason)
		s.NetnsInode = netns
		return s
	}
	sent := syn(0, fact.PlaceTarget, fact.StepQueued, "")
	onNode := syn(1, fact.PlaceNode, fact.StepReceived, "")
	dropped := syn(2, fact.PlaceNode, fact.StepDropped, dropNetfilter)
	for _, c := range []struct {
		title  string
		steps  []fact.JourneyStep
		missed int
		cause  fact.Cause
		says   string
	}{
		{"nothing", nil, 0, "", ""},
		{"the node drops", []fact.JourneyStep{sent, onNode, dropped}, 0, fact.CauseNodeDrop, "the SYN to " + address + " is dropped by a packet filter of the node"},
		{"records are missing", []fact.JourneyStep{sent, onNode, dropped}, 1, "", ""},
		{"it went on", []fact.JourneyStep{sent, dropped, syn(3, fact.PlaceOther, fact.StepReceived, "")}, 0, "", ""},
		{"the SYN after it got through", []fact.JourneyStep{sent, dropped, syn(1000, fact.PlaceTarget, fact.StepQueued, ""), syn(1001, fact.PlaceNode, fact.StepReceived, "")}, 0, "", ""},
		{"flooded to others, too", []fact.JourneyStep{sent, dropped, syn(3, fact.PlaceOther, fact.StepDropped, dropOtherHost)}, 0, fact.CauseNodeDrop, ""},
		{"flooded, to who drops what is not for it", []fact.JourneyStep{sent, onNode, in(7, fact.StepReceived, ""), in(8, fact.StepReceived, ""), in(7, fact.StepDropped, dropNetfilter)}, 0, "", ""},
		{"flooded, and dropped by whom it is for", []fact.JourneyStep{sent, onNode, in(7, fact.StepReceived, ""), in(8, fact.StepReceived, ""), in(7, fact.StepDropped, dropOtherHost), in(8, fact.StepDropped, dropNetfilter)}, 0, fact.CausePeerDrop, ""},
		{"back from another network", []fact.JourneyStep{sent, onNode, in(7, fact.StepReceived, ""), in(7, fact.StepQueued, ""), onNode, dropped}, 0, "", ""},
		{"through another network", []fact.JourneyStep{sent, onNode, in(7, fact.StepReceived, ""), in(7, fact.StepQueued, ""), in(8, fact.StepReceived, ""), in(8, fact.StepDropped, dropNetfilter)}, 0, fact.CausePeerDrop, ""},
		{"for no reason", []fact.JourneyStep{sent, syn(1, fact.PlaceNode, fact.StepDropped, dropUnspecific)}, 0, "", ""},
		{"on the way out", []fact.JourneyStep{syn(0, fact.PlaceTarget, fact.StepDropped, dropNetfilter)}, 0, fact.CausePodDropOut, "on its way out"},
		{"from itself", []fact.JourneyStep{sent, syn(1, fact.PlaceTarget, fact.StepReceived, ""), syn(2, fact.PlaceTarget, fact.StepDropped, dropNetfilter)}, 0, fact.CausePodDropIn, "on its way in"},
		{"in another network", []fact.JourneyStep{sent, syn(2, fact.PlaceOther, fact.StepDropped, dropNetfilter)}, 0, fact.CausePeerDrop, "in another network on this node"},
		{"nobody knows whose network", []fact.JourneyStep{sent, syn(2, "", fact.StepDropped, dropNetfilter)}, 0, "", ""},
		{"the answer", []fact.JourneyStep{sent, onNode, back(dropped)}, 0, fact.CauseNodeDrop, "the answer of " + address},
		{"no link-layer address", []fact.JourneyStep{sent, syn(2, fact.PlaceNode, fact.StepDropped, dropNeighbour)}, 0, fact.CauseNeighbourSilent, "on the node, at eth0"},
		{"a question, translated", []fact.JourneyStep{question(sent), question(dropped)}, 0, fact.CauseNodeDrop, "translated to 10.0.0.9:80"},
	} {
		cause, text := newTrail(&fact.Journey{Steps: c.steps, Missed: c.missed}, "the SYN", address).judge()
		if cause != c.cause || !strings.Contains(text, c.says) {
			t.Errorf("%s: %s %q, want %s %q", c.title, cause, text, c.cause, c.says)
		}
	}
}

// TestTrail: of a long way the end is shown.
func TestTrail(t *testing.T) {
	t.Parallel()
	j := fact.Journey{}
	for range 40 {
		j.Steps = append(j.Steps, fact.JourneyStep{Place: fact.PlaceNode, Dev: "cni0", What: fact.StepQueued, Src: "10.0.0.1:1", Dst: "10.0.0.2:80"})
	}
	j.Steps = append(j.Steps, fact.JourneyStep{Place: fact.PlaceNode, What: fact.StepDropped, Reason: dropNetfilter, Src: "10.0.0.1:1", Dst: "10.0.0.2:80"})
	j.Compact()
	if text := strings.Join(j.Trail, "\n"); len(text) > 1000 || j.Steps != nil || !strings.HasSuffix(text, "node dropped (NETFILTER_DROP) 10.0.0.1:1 > 10.0.0.2:80") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}
