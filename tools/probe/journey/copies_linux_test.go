package journey

import (
	"net/netip"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

// TestCopies: whoever has seen a packet can send it again, with all its numbers. The
// destination and a third pod do, to the same address and to one on whose way the node
// drops; the third pod drops its own. The trail is that of the original.
func TestCopies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		proto Proto
		v6    bool
	}{"SYN": {TCP, false}, "question": {UDP, false}, "SYN, IPv6": {TCP, true}, "question, IPv6": {UDP, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, test.v6)
			third := s.lab.Pods(t, lab.PodSpec{IPv6: test.v6})[0]
			elsewhere := netip.AddrPortFrom(third.IP, 9999)
			if test.v6 {
				elsewhere = netip.AddrPortFrom(third.IP6, 9999)
			}
			if err := s.lab.Node.Firewall(lab.FirewallRule{Hook: lab.Forwarded, Port: 9999}); err != nil {
				t.Fatal(err)
			}
			s.firewall(t, third.Netns, lab.Outgoing)
			if test.proto == TCP {
				s.firewall(t, s.server.Netns, lab.Incoming)
			} else if _, err := s.server.ListenPacket("udp", s.destination().String()); err != nil { // never answers
				t.Fatal(err)
			}
			s.client.Copied(t, elsewhere, s.server, third)
			journey := s.record(t, test.proto, s.destination())
			arrived := false
			for i, step := range journey.Steps {
				inServer := step.NetnsInode == s.server.Handle.Identity().Inode
				arrived = arrived || inServer
				if step.NetnsInode == third.Handle.Identity().Inode || step.Dst != s.destination().String() || inServer && (step.What == fact.StepQueued || step.Dev == "lo") {
					t.Errorf("step %d is a copy's", i)
				}
			}
			if !arrived {
				t.Error("the original did not arrive")
			}
			if t.Failed() {
				t.Log("\n" + strings.Join(s.describe(journey), "\n"))
			}
		})
	}
}

// TestFlood: a bridge that does not know where an address is sends a clone to each port,
// and each pod's kernel throws away what is not for it.
func TestFlood(t *testing.T) {
	t.Parallel()
	ip := lab.Program(t, "ip")
	s := newScene(t, false)
	third := s.lab.Pods(t, lab.PodSpec{})[0]
	if out, err := s.client.Output(ip, "neigh", "replace", s.server.IP.String(), "lladdr", "02:00:00:00:00:99", "dev", "eth0"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	journey := s.record(t, TCP, s.destination())
	for _, pod := range []*lab.Pod{s.server, third} {
		dropped := false
		for _, step := range journey.Steps {
			dropped = dropped || step.NetnsInode == pod.Handle.Identity().Inode && step.Reason == "OTHERHOST"
		}
		if !dropped {
			t.Errorf("no drop by %s in\n%s", pod.IP, strings.Join(s.describe(journey), "\n"))
		}
	}
}
