package fact

import (
	"slices"
	"strings"
	"testing"
)

// pictured is a SYN by a service, to a bridge that floods, its copy for a socket of ours,
// and the answer.
func pictured(dev string) *Journey {
	step := func(place, dev, what, src, dst string) JourneyStep {
		return JourneyStep{Place: place, NetnsInode: uint64(len(place)), Dev: dev, What: what, Src: src, Dst: dst, Proto: "tcp", Kind: "SYN"}
	}
	const client, service, server = "10.0.0.1:1000", "10.96.0.1:80", "10.0.0.2:8080"
	flooded, copied := step(PlaceOther, "eth0", StepReceived, client, server), step(PlaceTarget, "eth0", StepDropped, service, client)
	flooded.NetnsInode = 99
	dropped := flooded
	dropped.What, dropped.Reason = StepDropped, "OTHERHOST"
	back := step(PlaceOther, "eth0", StepQueued, server, client)
	there := step(PlaceTarget, "eth0", StepReceived, service, client)
	back.Kind, back.Back, there.Kind, there.Back, copied.Kind, copied.Back = "SYN-ACK", true, "SYN-ACK", true, "SYN-ACK", true
	copied.Reason = "SOCKET_FILTER"
	ack := step(PlaceTarget, "eth0", StepQueued, client, service)
	ack.Kind = ""
	return &Journey{Steps: []JourneyStep{
		step(PlaceTarget, "eth0", StepQueued, client, service), step(PlaceNode, dev, StepReceived, client, server),
		flooded, dropped, step(PlaceOther, "eth0", StepReceived, client, server), back, there, copied, ack,
	}}
}

func TestPicture(t *testing.T) {
	t.Parallel()
	want := []string{
		"-> 0.00 ms target eth0 queued SYN 10.0.0.1:1000 > 10.96.0.1:80",
		"-> 0.00 ms node veth1 received, NAT 10.96.0.1:80 -> 10.0.0.2:8080",
		"-> 0.00 ms other eth0 received",
		"<- 0.00 ms other eth0 queued SYN-ACK 10.0.0.2:8080 > 10.0.0.1:1000",
		"<- 0.00 ms target eth0 received, NAT 10.0.0.2:8080 -> 10.96.0.1:80",
	}
	j := pictured("veth1")
	if got := j.Picture(); !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	if j.Reached() != "10.0.0.2:8080" || !strings.HasPrefix(j.Farthest(), "other eth0 received SYN") {
		t.Errorf("%s; %s", j.Reached(), j.Farthest())
	}
	long := &Journey{}
	for range 100 {
		long.Steps = append(long.Steps, JourneyStep{Place: PlaceNode, Dev: "cni0", What: StepQueued, Proto: "udp", Src: "a", Dst: "b"})
	}
	if got := long.Picture(); len(got) != maxHops+1 || got[maxHops/2] != "... 76 more" {
		t.Errorf("%d lines: %v", len(got), got)
	}
	nothing := &Journey{}
	if nothing.Picture() == nil || nothing.Mermaid() != nil || nothing.Farthest() != "" || nothing.Reached() != "" {
		t.Error("a picture of nothing")
	}
}

// TestMermaid: whatever a device is called, it stays a name in the diagram.
func TestMermaid(t *testing.T) {
	t.Parallel()
	got := pictured(`a;b#c"<x>`).Mermaid()
	want := []string{
		"sequenceDiagram", "participant p0 as target eth0", "participant p1 as node a#59;b#35;c#34;#60;x#62;", "participant p2 as other eth0",
		"p0->>p0: 0.00 ms queued SYN 10.0.0.1#58;1000 #62; 10.96.0.1#58;80",
		"p0->>p1: 0.00 ms received#44; NAT 10.96.0.1#58;80 -#62; 10.0.0.2#58;8080",
		"p1->>p2: 0.00 ms received",
		"p2-->>p2: 0.00 ms queued SYN-ACK 10.0.0.2#58;8080 #62; 10.0.0.1#58;1000",
		"p2-->>p0: 0.00 ms received#44; NAT 10.0.0.2#58;8080 -#62; 10.96.0.1#58;80",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	j := pictured("veth1")
	j.Steps = j.Steps[:2]
	j.Steps[1].What, j.Steps[1].Reason = StepDropped, "NETFILTER_DROP"
	if got := j.Mermaid(); !strings.HasPrefix(got[len(got)-1], "p0-xp1: ") {
		t.Errorf("%s", got[len(got)-1])
	}
}
