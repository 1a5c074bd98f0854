package attempt

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/journey"
)

// scene is a pod that connects to a server on another pod of its node.
type scene struct {
	testing.TB
	lab         *lab.Lab
	pod, server *lab.Pod
	to          netip.AddrPort // the server listens here
	tracer      *journey.Tracer
}

func newScene(t testing.TB) *scene {
	t.Helper()
	l := lab.Start(t)
	pods := l.Pods(t, lab.PodSpec{Name: "client", IPv6: true}, lab.PodSpec{Name: "server", IPv6: true})
	s := &scene{TB: t, lab: l, pod: pods[0], server: pods[1]}
	at, err := s.server.Serve("[::]:80", http.NotFoundHandler())
	if err != nil {
		t.Fatal(err)
	}
	s.to = netip.AddrPortFrom(s.server.IP, at.Port())
	return s
}

func (s *scene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// rtnl runs fn with a routing socket of the pod.
func (s *scene) rtnl(n *lab.Netns, fn func(*netlink.Handle) error) {
	s.Helper()
	h, err := n.Handle.Netlink(unix.NETLINK_ROUTE)
	s.must(err)
	defer h.Close()
	s.must(fn(h))
}

func (s *scene) route(dst string, kind int) {
	s.Helper()
	_, ipNet, err := net.ParseCIDR(dst)
	s.must(err)
	s.rtnl(s.pod.Netns, func(h *netlink.Handle) error { return h.RouteAdd(&netlink.Route{Dst: ipNet, Type: kind}) })
}

func (s *scene) connect(to netip.AddrPort, timeout time.Duration) (net.Conn, fact.Attempt) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), 20*time.Second)
	defer cancel()
	conn, a, err := New().Connect(ctx, s.pod.Handle, Request{Address: to, Timeout: timeout, Tracer: s.tracer})
	s.must(err)
	if conn != nil {
		s.Cleanup(func() { _ = conn.Close() })
	}
	attempts := []fact.Attempt{a}
	AskNode(s.Context(), s.lab.Node.Handle, s.pod.Handle, attempts)
	a = attempts[0]
	diagnose.Explain(&a)
	text, err := json.Marshal(a)
	s.must(err)
	s.Logf("%s", text)
	return conn, a
}

func other(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), 81) }

func TestCauses(t *testing.T) {
	t.Parallel()
	const enough = 2500 * time.Millisecond // for two repetitions of a SYN
	for _, c := range []struct {
		name    string
		prepare func(*scene) netip.AddrPort
		timeout time.Duration
		outcome fact.Outcome
		errno   string
		cause   fact.Cause
	}{
		{"works", func(s *scene) netip.AddrPort { return s.to }, enough, fact.OutcomeOK, "", ""},
		{"works over IPv6", func(s *scene) netip.AddrPort { return netip.AddrPortFrom(s.server.IP6, 80) }, enough, fact.OutcomeOK, "", ""},

		{"no route", func(s *scene) netip.AddrPort {
			s.must(s.pod.Break("no default route"))
			return netip.MustParseAddrPort("203.0.113.1:80")
		}, enough, fact.OutcomeUnreachable, "ENETUNREACH", fact.CauseNoRoute},
		{"blackhole", func(s *scene) netip.AddrPort {
			s.route("203.0.113.0/24", unix.RTN_BLACKHOLE)
			return netip.MustParseAddrPort("203.0.113.1:80")
		}, enough, fact.OutcomeUnreachable, "EINVAL", fact.CauseBlackhole},
		{"unreachable route", func(s *scene) netip.AddrPort {
			s.route("203.0.113.0/24", unix.RTN_UNREACHABLE)
			return netip.MustParseAddrPort("203.0.113.1:80")
		}, enough, fact.OutcomeUnreachable, "EHOSTUNREACH", fact.CauseUnreachableRoute},
		{"prohibit route", func(s *scene) netip.AddrPort {
			s.route("203.0.113.0/24", unix.RTN_PROHIBIT)
			return netip.MustParseAddrPort("203.0.113.1:80")
		}, enough, fact.OutcomeUnreachable, "EACCES", fact.CauseProhibited},
		{"IPv6 without address", func(s *scene) netip.AddrPort {
			s.must(s.pod.Break("IPv6 disabled beside others that have it"))
			return netip.AddrPortFrom(s.server.IP6, 80)
		}, enough, fact.OutcomeUnreachable, "EADDRNOTAVAIL", fact.CauseNoAddress},

		{"dead gateway", func(s *scene) netip.AddrPort {
			s.must(s.pod.Break("gateway does not answer ARP"))
			return netip.MustParseAddrPort("203.0.113.1:80")
		}, 5 * time.Second, fact.OutcomeUnreachable, "EHOSTUNREACH", fact.CauseGatewaySilent},
		{"dead gateway, short", func(s *scene) netip.AddrPort {
			s.must(s.pod.Break("gateway does not answer ARP"))
			return netip.MustParseAddrPort("203.0.113.1:80")
		}, 1500 * time.Millisecond, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseGatewaySilent},
		{"nobody on the link", func(s *scene) netip.AddrPort {
			return netip.AddrPortFrom(s.pod.IP.Next().Next().Next(), 80)
		}, 1500 * time.Millisecond, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseNeighbourSilent},
		{"detached", func(s *scene) netip.AddrPort {
			s.must(s.pod.Break("veth on no bridge"))
			return s.to
		}, 1500 * time.Millisecond, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseNeighbourSilent},
		{"detached after it worked", func(s *scene) netip.AddrPort {
			s.connect(s.to, time.Second)
			s.must(s.pod.Break("veth on no bridge"))
			return s.to
		}, enough, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseNeighbourSilent},
		{"detached after it worked, over IPv6", func(s *scene) netip.AddrPort {
			to := netip.AddrPortFrom(s.server.IP6, 80)
			s.connect(to, time.Second)
			s.must(s.pod.Break("veth on no bridge"))
			return to
		}, enough, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseNeighbourSilent},
		{"no carrier", func(s *scene) netip.AddrPort {
			s.must(s.pod.Break("node's end of the veth down"))
			return s.to
		}, 1500 * time.Millisecond, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseLinkDown},
		{"link down", func(s *scene) netip.AddrPort {
			s.must(s.pod.Break("eth0 down"))
			return s.to
		}, enough, fact.OutcomeUnreachable, "ENETUNREACH", fact.CauseNoRoute},

		{"pod drops outgoing", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookOutput, portIs(2, 80), drop())
			return s.to
		}, enough, fact.OutcomeBlockedLocally, "ETIMEDOUT", fact.CausePodDropOut},
		{"pod drops incoming", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookInput, portIs(0, 80), drop())
			return s.to
		}, enough, fact.OutcomeBlockedLocally, "ETIMEDOUT", fact.CausePodDropIn},
		{"pod drops outgoing over IPv6", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookOutput, portIs(2, 80), drop())
			return netip.AddrPortFrom(s.server.IP6, 80)
		}, enough, fact.OutcomeBlockedLocally, "ETIMEDOUT", fact.CausePodDropOut},
		{"pod drops incoming over IPv6", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookInput, portIs(0, 80), drop())
			return netip.AddrPortFrom(s.server.IP6, 80)
		}, enough, fact.OutcomeBlockedLocally, "ETIMEDOUT", fact.CausePodDropIn},
		{"pod rejects by ICMP", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookOutput, portIs(2, 80), rejectICMP(1))
			return s.to
		}, enough, fact.OutcomeBlockedLocally, "ECONNREFUSED", fact.CausePodReject},
		{"pod rejects by ICMP as prohibited", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookOutput, portIs(2, 80), rejectICMP(3))
			return s.to
		}, enough, fact.OutcomeBlockedLocally, "EHOSTUNREACH", fact.CausePodReject},
		{"pod rejects by RST", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookOutput, portIs(2, 80), rejectReset())
			return s.to
		}, enough, fact.OutcomeBlockedLocally, "ECONNREFUSED", fact.CausePodReject},
		{"pod rejects by RST over IPv6", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookOutput, portIs(2, 80), rejectReset())
			return netip.AddrPortFrom(s.server.IP6, 80)
		}, enough, fact.OutcomeBlockedLocally, "ECONNREFUSED", fact.CausePodReject},
		{"pod rejects by ICMPv6", func(s *scene) netip.AddrPort {
			firewall(s, s.pod.Netns, nftables.ChainHookOutput, portIs(2, 80), rejectICMP(1))
			return netip.AddrPortFrom(s.server.IP6, 80)
		}, enough, fact.OutcomeBlockedLocally, "ECONNREFUSED", fact.CausePodReject},

		{"destination drops", func(s *scene) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			return s.to
		}, enough, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseLost},
		{"destination drops over IPv6", func(s *scene) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			return netip.AddrPortFrom(s.server.IP6, 80)
		}, enough, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseLost},
		{"node drops", func(s *scene) netip.AddrPort {
			firewall(s, s.lab.Node.Netns, nftables.ChainHookForward, portIs(2, 80), drop())
			return netip.AddrPortFrom(outside(s), 80)
		}, enough, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseLost},
		{"node rejects", func(s *scene) netip.AddrPort {
			firewall(s, s.lab.Node.Netns, nftables.ChainHookForward, portIs(2, 80), rejectICMP(3))
			return netip.AddrPortFrom(outside(s), 80)
		}, enough, fact.OutcomeUnreachable, "EHOSTUNREACH", fact.CauseICMP},
		{"service without endpoints", func(s *scene) netip.AddrPort {
			service, err := s.lab.AddService(lab.ServiceSpec{Name: "empty", Port: 80})
			s.must(err)
			return netip.AddrPortFrom(service.IP, 80)
		}, enough, fact.OutcomeRefused, "ECONNREFUSED", fact.CauseICMP},

		{"no listener", func(s *scene) netip.AddrPort { return other(s.to) },
			enough, fact.OutcomeRefused, "ECONNREFUSED", fact.CauseResetAnswer},
		{"no listener over IPv6", func(s *scene) netip.AddrPort { return netip.AddrPortFrom(s.server.IP6, 81) },
			enough, fact.OutcomeRefused, "ECONNREFUSED", fact.CauseResetAnswer},
		{"destination rejects by RST", func(s *scene) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), rejectReset())
			return s.to
		}, enough, fact.OutcomeRefused, "ECONNREFUSED", fact.CauseResetAnswer},
		{"destination rejects by ICMP", func(s *scene) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), rejectICMP(1))
			return s.to
		}, enough, fact.OutcomeRefused, "ECONNREFUSED", fact.CauseICMP},

		{"mesh proxy that is not running", func(s *scene) netip.AddrPort {
			redirect(s, s.pod.Netns, 80, 15001)
			return s.to
		}, enough, fact.OutcomeRefused, "ECONNREFUSED", fact.CauseRedirected},
		{"first SYN lost", func(s *scene) netip.AddrPort {
			remove := firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			time.AfterFunc(500*time.Millisecond, remove)
			return s.to
		}, enough, fact.OutcomeOK, "", fact.CauseSlow},
		{"answer by another interface", func(s *scene) netip.AddrPort {
			secondLink(s)
			return s.to
		}, enough, fact.OutcomeBlockedLocally, "ETIMEDOUT", fact.CauseReversePath},

		{"nobody listens in the target itself", func(*scene) netip.AddrPort {
			return netip.MustParseAddrPort("127.0.0.1:80")
		}, enough, fact.OutcomeRefused, "ECONNREFUSED", fact.CauseNoListener},
		{"the target listens on loopback only", func(s *scene) netip.AddrPort {
			_, err := s.pod.Serve("127.0.0.1:80", http.NotFoundHandler())
			s.must(err)
			return netip.AddrPortFrom(s.pod.IP, 80)
		}, enough, fact.OutcomeRefused, "ECONNREFUSED", fact.CauseListenElsewhere},
		{"the target rejects itself", func(s *scene) netip.AddrPort {
			_, err := s.pod.Serve("127.0.0.1:80", http.NotFoundHandler())
			s.must(err)
			firewall(s, s.pod.Netns, nftables.ChainHookInput, portIs(2, 80), rejectReset())
			return netip.MustParseAddrPort("127.0.0.1:80")
		}, enough, fact.OutcomeBlockedLocally, "ECONNREFUSED", fact.CausePodReject},
		{"the target drops what it sends to itself", func(s *scene) netip.AddrPort {
			_, err := s.pod.Serve("127.0.0.1:80", http.NotFoundHandler())
			s.must(err)
			firewall(s, s.pod.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			return netip.MustParseAddrPort("127.0.0.1:80")
		}, enough, fact.OutcomeBlockedLocally, "ETIMEDOUT", fact.CausePodDropIn},
		{"loopback down", func(s *scene) netip.AddrPort {
			s.must(s.pod.Break("lo down"))
			return netip.MustParseAddrPort("127.0.0.1:80")
		}, 1500 * time.Millisecond, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseLinkDown},
		{"accept queue full", func(s *scene) netip.AddrPort {
			return s.pod.FillAcceptQueue(s, 8080)
		}, enough, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseAcceptQueue},
		{"accept queue full elsewhere", func(s *scene) netip.AddrPort {
			return s.server.FillAcceptQueue(s, 8080)
		}, enough, fact.OutcomeTimeout, "ETIMEDOUT", fact.CauseLost},
		{"ports exhausted", func(s *scene) netip.AddrPort {
			s.pod.TakePorts(s, s.to.String())
			return s.to
		}, enough, fact.OutcomeNoPort, "EADDRNOTAVAIL", fact.CausePortsExhausted},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			conn, a := s.connect(c.prepare(s), c.timeout)
			if a.Outcome != c.outcome || a.Errno != c.errno || a.Cause != c.cause {
				t.Errorf("%s, %s, %s; want %s, %s, %s", a.Outcome, a.Errno, a.Cause, c.outcome, c.errno, c.cause)
			}
			if (conn != nil) != (a.Outcome == fact.OutcomeOK) {
				t.Errorf("outcome %s with connection %v", a.Outcome, conn)
			}
			if a.AgainAfterMS != 0 {
				t.Error("it was tried twice")
			}
		})
	}
}

// secondLink joins the pod and the server by a second veth, which only the
// server uses, and makes the pod's kernel check by which interface packets come.
func secondLink(s *scene) {
	s.Helper()
	peer, err := os.Open(s.server.Path)
	s.must(err)
	defer func() { s.must(peer.Close()) }()
	s.rtnl(s.pod.Netns, func(h *netlink.Handle) error {
		veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "net1"}, PeerName: "net1", PeerNamespace: netlink.NsFd(peer.Fd())}
		if err := h.LinkAdd(veth); err != nil {
			return err
		}
		return h.LinkSetUp(veth)
	})
	s.rtnl(s.server.Netns, func(h *netlink.Handle) error {
		link, err := h.LinkByName("net1")
		if err != nil {
			return err
		}
		if err := h.LinkSetUp(link); err != nil {
			return err
		}
		return h.RouteAdd(&netlink.Route{
			LinkIndex: link.Attrs().Index, Scope: netlink.SCOPE_LINK,
			Dst: &net.IPNet{IP: s.pod.IP.AsSlice(), Mask: net.CIDRMask(32, 32)},
		})
	})
	// The neighbour is known, or rp_filter would discard its ARP request first.
	s.rtnl(s.server.Netns, func(h *netlink.Handle) error {
		return neighbourOn(s, h, "net1")
	})
	for _, dev := range []string{"all", "net1"} {
		s.must(s.pod.SetSysctl("net/ipv4/conf/"+dev+"/rp_filter", "1"))
	}
}

// neighbourOn makes the pod's address known to be behind dev of the server.
func neighbourOn(s *scene, h *netlink.Handle, dev string) error {
	s.Helper()
	link, err := h.LinkByName(dev)
	if err != nil {
		return err
	}
	var mac net.HardwareAddr
	s.rtnl(s.pod.Netns, func(h *netlink.Handle) error {
		link, err := h.LinkByName(dev)
		if err == nil {
			mac = link.Attrs().HardwareAddr
		}
		return err
	})
	return h.NeighSet(&netlink.Neigh{
		LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: s.pod.IP.AsSlice(), HardwareAddr: mac,
	})
}

// outside is an address beyond the node, on the node's own network.
func outside(s *scene) netip.Addr {
	s.Helper()
	return netip.MustParseAddr("172.18.0.1")
}
