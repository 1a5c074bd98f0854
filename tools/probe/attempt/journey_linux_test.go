package attempt

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/journey"
)

// TestJourneys: what is lost beyond the target is found where it was lost.
func TestJourneys(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		prepare func(s *scene) netip.AddrPort
		cause   fact.Cause
		code    fact.Code
		why     []string // parts
	}{
		{"the node drops", func(s *scene) netip.AddrPort {
			firewall(s, s.lab.Node.Netns, nftables.ChainHookForward, portIs(2, 80), drop())
			return netip.AddrPortFrom(outside(s), 80)
		}, fact.CauseNodeDrop, diagnose.FirewallHostDrop, []string{"by a packet filter of the node, on cni0 (NETFILTER_DROP"}},
		{"the node drops the answer", func(s *scene) netip.AddrPort {
			firewall(s, s.lab.Node.Netns, nftables.ChainHookForward, portIs(0, 80), drop())
			return s.service(80)
		}, fact.CauseNodeDrop, diagnose.FirewallHostDrop, []string{"the answer of ", "by a packet filter of the node"}},
		{"the destination drops", func(s *scene) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			return s.to
		}, fact.CausePeerDrop, diagnose.FirewallPeerDrop, []string{"in another network on this node, at eth0"}},
		{"the destination drops over IPv6", func(s *scene) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			return netip.AddrPortFrom(s.server.IP6, 80)
		}, fact.CausePeerDrop, diagnose.FirewallPeerDrop, []string{"in another network on this node, at eth0"}},
		{"the destination drops its answer", func(s *scene) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookOutput, portIs(0, 80), drop())
			return s.to
		}, fact.CausePeerDrop, diagnose.FirewallPeerDrop, []string{"the answer of "}},
		{"a backend drops behind a service", func(s *scene) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			return s.service(80)
		}, fact.CausePeerDrop, diagnose.FirewallPeerDrop, []string{"translated to SERVER:80, is dropped"}},
		{"the target drops on the way in", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookInput, portIs(0, 80), drop())
			return s.to
		}, fact.CausePodDropIn, diagnose.FirewallPodDrop, []string{"on its way in"}},
		{"the target drops on the way out", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookOutput, portIs(2, 80), drop())
			return s.to
		}, fact.CausePodDropOut, diagnose.FirewallPodDrop, []string{"on its way out"}},
		{"the target drops what it gets from itself", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			return netip.AddrPortFrom(s.pod.IP, 80)
		}, fact.CausePodDropIn, diagnose.FirewallPodDrop, []string{"on its way in"}},
		{"answer by another interface", func(s *scene) netip.AddrPort {
			secondLink(s)
			return s.to
		}, fact.CauseReversePath, diagnose.SysctlRPFilter, []string{"arrived at net1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			s.tracer = &journey.Tracer{}
			needTrails(t, s.tracer)
			_, a := s.connect(c.prepare(s), 2500*time.Millisecond)
			if a.Cause != c.cause {
				t.Errorf("cause %s, want %s", a.Cause, c.cause)
			}
			if found := diagnose.Attempt(&a); len(found) != 1 || found[0].Code != c.code {
				t.Errorf("%v, want %s", found, c.code)
			}
			for _, part := range c.why {
				if part = strings.ReplaceAll(part, "SERVER", s.server.IP.String()); !strings.Contains(a.Why, part) {
					t.Errorf("%q lacks %q: %+v", a.Why, part, a.Journey)
				}
			}
		})
	}
}

// needTrails skips where the kernel gives no trail, as without CAP_BPF.
func needTrails(t *testing.T, tracer *journey.Tracer) {
	t.Helper()
	lab.Kernel(t, tracer.Check())
}

// service makes a service of the server.
func (s *scene) service(port uint16) netip.AddrPort {
	service, err := s.lab.AddService(lab.ServiceSpec{Port: port, Backends: []netip.Addr{s.server.IP}})
	s.must(err)
	return netip.AddrPortFrom(service.IP, port)
}
