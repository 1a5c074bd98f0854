package attempt

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
)

// translate makes the node send what it forwards to port of a service address to
// another address, and nothing else: no masquerade, as kube-proxy does without
// br_netfilter's help.
func translate(s *scene, port uint16, to netip.Addr) {
	s.Helper()
	change(s, s.lab.Node.Netns, func(conn *nftables.Conn) {
		table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "dnat"})
		chain := conn.AddChain(&nftables.Chain{
			Name: "dnat", Table: table, Type: nftables.ChainTypeNAT,
			Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityNATDest,
		})
		conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(portIs(2, port),
			&expr.Immediate{Register: 1, Data: to.AsSlice()},
			&expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(nftables.TableFamilyIPv4), RegAddrMin: 1})})
	})
}

// permanent sets by hand, wrongly, by which link-layer address a namespace reaches ip.
func permanent(s *scene, n *lab.Netns, ip netip.Addr) {
	s.Helper()
	s.rtnl(n, func(h *netlink.Handle) error {
		link, err := h.LinkByName("eth0")
		if err != nil {
			return err
		}
		return h.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 0x99},
		})
	})
}

func (s *scene) rule(change func(*netlink.Rule)) {
	s.Helper()
	rule := netlink.NewRule()
	rule.Family = unix.AF_INET
	change(rule)
	s.rtnl(s.pod.Netns, func(h *netlink.Handle) error { return h.RuleAdd(rule) })
}

func hasBridgeNF(t testing.TB) bool {
	t.Helper()
	_, err := os.Stat("/proc/sys/net/bridge/bridge-nf-call-iptables")
	return err == nil
}

// vip is an address of nobody, on no link.
var vip = netip.MustParseAddr("10.96.0.200")

// What is wrong on the way is not taken for a firewall, nor for something further away.
func TestWays(t *testing.T) {
	t.Parallel()
	const enough = 2500 * time.Millisecond
	for _, c := range []struct {
		name    string
		prepare func(*scene) netip.AddrPort
		outcome fact.Outcome
		cause   fact.Cause
		code    string
		why     []string // parts; SERVER is the server's address
	}{
		{"the answer comes past the node's NAT", func(s *scene) netip.AddrPort {
			if hasBridgeNF(s) {
				s.must(s.lab.Node.SetSysctl("net/bridge/bridge-nf-call-iptables", "0"))
			}
			translate(s, 80, s.server.IP)
			return netip.AddrPortFrom(vip, 80)
		}, fact.OutcomeTimeout, fact.CauseOtherSource, "net.bridge_nf_off", []string{"the answer came from SERVER:80, not from the address asked, 10.96.0.200:80"}},
		{"the answer goes to another MAC address", func(s *scene) netip.AddrPort {
			permanent(s, s.server.Netns, s.pod.IP)
			return s.to
		}, fact.OutcomeTimeout, fact.CauseOtherMAC, "neigh.wrong_mac", []string{"by eth0 in a frame for another MAC address"}},
		{"the SYN goes to another MAC address", func(s *scene) netip.AddrPort {
			permanent(s, s.pod.Netns, s.server.IP)
			return s.to
		}, fact.OutcomeTimeout, fact.CauseWrongMAC, "neigh.wrong_mac", []string{"SERVER is 02:00:00:00:00:99, set by hand (PERMANENT), but SERVER answers with"}},
		{"the SYN comes back", func(s *scene) netip.AddrPort {
			s.must(s.lab.Node.SetSysctl("net/ipv4/conf/all/send_redirects", "0"))
			hairpin(s)
			translate(s, 80, s.pod.IP)
			return netip.AddrPortFrom(vip, 80)
		}, fact.OutcomeTimeout, fact.CauseReturned, "svc.hairpin", []string{"the SYN to 10.96.0.200:80 came back, sent on to ", ":80: nobody masquerades the connection"}},
		{"a blackhole behind the target's own NAT", func(s *scene) netip.AddrPort {
			s.route("203.0.113.0/24", unix.RTN_BLACKHOLE)
			sendOn(s, 80, netip.MustParseAddr("203.0.113.7"))
			return s.to
		}, fact.OutcomeUnreachable, fact.CauseBlackhole, "route.blackhole", []string{"meets a route of type blackhole (prefix 203.0.113.0/24) after the target's own NAT"}},
		{"an unreachable route behind the target's own NAT", func(s *scene) netip.AddrPort {
			s.route("203.0.113.0/24", unix.RTN_UNREACHABLE)
			sendOn(s, 80, netip.MustParseAddr("203.0.113.7"))
			return s.to
		}, fact.OutcomeUnreachable, fact.CauseUnreachableRoute, "route.unreachable", []string{"meets a route of type unreachable (prefix 203.0.113.0/24)"}},
		{"no route behind the target's own NAT", func(s *scene) netip.AddrPort {
			s.must(s.pod.Break("no default route"))
			sendOn(s, 80, netip.MustParseAddr("203.0.113.7"))
			return s.to
		}, fact.OutcomeUnreachable, fact.CauseNoRoute, "route.no_default", []string{"meets no route after the target's own NAT"}},
		{"from loopback out of the target", func(s *scene) netip.AddrPort {
			sendOn(s, 80, s.server.IP)
			return netip.MustParseAddrPort("127.0.0.1:80")
		}, fact.OutcomeUnreachable, fact.CauseLocalnet, "sysctl.route_localnet", []string{"127.0.0.1:80", "route_localnet is 0"}},
		{"lost behind the target's own NAT", func(s *scene) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			sendOn(s, 80, s.server.IP)
			return netip.AddrPortFrom(vip, 80)
		}, fact.OutcomeTimeout, fact.CauseLost, "tcp.timeout", []string{"to next hop ", "rewritten by the target's own NAT to SERVER:80"}},
		{"lost behind a service", func(s *scene) netip.AddrPort {
			firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
			service, err := s.lab.AddService(lab.ServiceSpec{Name: "api", Port: 80, Backends: []netip.Addr{s.server.IP}})
			s.must(err)
			return netip.AddrPortFrom(service.IP, 80)
		}, fact.OutcomeTimeout, fact.CauseLost, "tcp.timeout", []string{"the node let the SYN through, to SERVER:80 and saw no answer"}},
		{"the node drops", func(s *scene) netip.AddrPort {
			s.must(s.pod.Break("node drops what it forwards"))
			return netip.AddrPortFrom(outside(s), 80)
		}, fact.OutcomeTimeout, fact.CauseLost, "tcp.timeout", []string{"lost at the gateway, which is the node, or beyond"}},
		{"the node rejects", func(s *scene) netip.AddrPort {
			firewall(s, s.lab.Node.Netns, nftables.ChainHookForward, portIs(2, 80), rejectICMP(1))
			return netip.AddrPortFrom(outside(s), 80)
		}, fact.OutcomeRefused, fact.CauseICMP, "fw.host_reject", []string{"the node (", "answered with ICMP port unreachable: a firewall rule"}},
		{"the node rejects behind a service", func(s *scene) netip.AddrPort {
			translate(s, 80, outside(s))
			firewall(s, s.lab.Node.Netns, nftables.ChainHookForward, portIs(2, 80), rejectICMP(1))
			return netip.AddrPortFrom(vip, 80)
		}, fact.OutcomeRefused, fact.CauseICMP, "tcp.refused", []string{"came back in the name of 10.96.0.200, from there or from a translating host"}},
		{"own NAT to a port of the target that is closed", func(s *scene) netip.AddrPort {
			redirect(s, s.pod.Netns, 80, 15001)
			return s.to
		}, fact.OutcomeRefused, fact.CauseRedirected, "fw.pod_redirect", []string{"the target's own NAT redirects SERVER:80 to 127.0.0.1:15001 in the target itself, where nothing listens"}},
		{"own NAT to a port of the target where SYNs are dropped", func(s *scene) netip.AddrPort {
			redirect(s, s.pod.Netns, 80, 15001)
			firewall(s, s.pod.Netns, nftables.ChainHookInput, portIs(2, 15001), drop())
			return s.to
		}, fact.OutcomeBlockedLocally, fact.CausePodDropIn, "fw.pod_drop", []string{"rewritten by the target's own NAT to 127.0.0.1:15001, is the target itself"}},
		{"a listener of IPv6 alone", func(s *scene) netip.AddrPort {
			config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
				return raw.Control(func(fd uintptr) { s.must(unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)) })
			}}
			s.must(s.pod.Handle.Do(func() error {
				l, err := config.Listen(s.Context(), "tcp6", "[::]:8080")
				if err == nil {
					s.Cleanup(func() { _ = l.Close() })
				}
				return err
			}))
			return netip.MustParseAddrPort("127.0.0.1:8080")
		}, fact.OutcomeRefused, fact.CauseResetAnswer, "tcp.refused", []string{"which does not take this address"}},
		{"a policy rule for this port", func(s *scene) netip.AddrPort {
			s.rule(func(r *netlink.Rule) {
				r.Priority, r.Table, r.IPProto, r.Dport = 90, 100, unix.IPPROTO_TCP, netlink.NewRulePortRange(80, 80)
			})
			s.rtnl(s.pod.Netns, func(h *netlink.Handle) error {
				return h.RouteAdd(&netlink.Route{Table: 100, Type: unix.RTN_UNREACHABLE, Dst: &net.IPNet{IP: s.server.IP.AsSlice(), Mask: net.CIDRMask(32, 32)}})
			})
			return s.to
		}, fact.OutcomeUnreachable, fact.CauseUnreachableRoute, "route.unreachable", []string{"a route of type unreachable in the target covers SERVER (prefix SERVER/32, table 100, rule 90: lookup 100)"}},
		{"a policy rule that prohibits", func(s *scene) netip.AddrPort {
			s.rule(func(r *netlink.Rule) { r.Priority, r.Type = 80, 8 })
			return s.to
		}, fact.OutcomeUnreachable, fact.CauseProhibited, "route.prohibit", []string{"a policy rule of type prohibit in the target covers SERVER (rule 80: prohibit)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			_, a := s.connect(c.prepare(s), enough)
			if a.Outcome != c.outcome || a.Cause != c.cause {
				t.Errorf("%s, %s; want %s, %s", a.Outcome, a.Cause, c.outcome, c.cause)
			}
			if c.code == "net.bridge_nf_off" && !hasBridgeNF(t) {
				c.code = "nat.not_reversed"
			}
			findings := diagnose.Attempt(&a)
			if !slices.ContainsFunc(findings, func(f fact.Finding) bool { return string(f.Code) == c.code }) || len(findings) != 1 {
				t.Errorf("%v, want %s", findings, c.code)
			}
			for _, part := range c.why {
				if part = strings.ReplaceAll(part, "SERVER", s.server.IP.String()); !strings.Contains(a.Why, part) {
					t.Errorf("%q lacks %q", a.Why, part)
				}
			}
		})
	}
}

// hairpin lets the node's bridge send back to the pod what came from it.
func hairpin(s *scene) {
	s.Helper()
	s.rtnl(s.lab.Node.Netns, func(h *netlink.Handle) error {
		link, err := h.LinkByName(s.pod.HostLink)
		if err != nil {
			return err
		}
		return h.LinkSetHairpin(link, true)
	})
}

// A route that was found says which prefix and rule led to it.
func TestMatchedRoute(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	_, err := s.server.Serve(":81", http.NotFoundHandler())
	s.must(err)
	s.rule(func(r *netlink.Rule) {
		r.Priority, r.Table, r.IPProto, r.Dport = 90, 100, unix.IPPROTO_TCP, netlink.NewRulePortRange(81, 81)
	})
	s.rtnl(s.pod.Netns, func(h *netlink.Handle) error {
		link, err := h.LinkByName("eth0")
		if err != nil {
			return err
		}
		_, half, err := net.ParseCIDR("10.128.0.0/9")
		if err != nil {
			return err
		}
		return h.RouteAdd(&netlink.Route{Table: 100, LinkIndex: link.Attrs().Index, Dst: half, Scope: netlink.SCOPE_LINK})
	})
	r, err := openRoutes(s.pod.Handle)
	s.must(err)
	defer r.Close()
	for port, want := range map[uint16]fact.AttemptRoute{
		80: {Type: "unicast", Dev: "eth0", Dst: "10.244.1.0/24", PrefSrc: s.pod.IP.String()},
		81: {Type: "unicast", Dev: "eth0", Dst: "10.128.0.0/9", PrefSrc: s.pod.IP.String(), Table: 100, Rule: "90: lookup 100"},
	} {
		for _, from := range []netip.Addr{{}, s.pod.IP} {
			got, err := r.measure(s.Context(), lookup{to: netip.AddrPortFrom(s.server.IP, port), from: from})
			if err != nil || *got.route != want {
				t.Errorf("port %d from %s: %+v, %v, want %+v", port, from, got.route, err, want)
			}
		}
	}
}

// What another node knows is not about this connection, whatever addresses it has.
func TestAskNodeToWhichThePodIsNotAttached(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	firewall(s, s.server.Netns, nftables.ChainHookInput, portIs(2, 80), drop())
	_, a := s.connect(netip.AddrPortFrom(outside(s), 81), 300*time.Millisecond)
	other, err := s.lab.AddNode()
	s.must(err)
	attempts := []fact.Attempt{a}
	attempts[0].Node = nil
	AskNode(s.Context(), other.Handle, s.pod.Handle, attempts)
	if attempts[0].Node != nil {
		t.Errorf("%+v", attempts[0].Node)
	}
	AskNode(s.Context(), s.lab.Node.Handle, s.pod.Handle, attempts)
	if n := attempts[0].Node; n == nil || !n.IsGateway {
		t.Errorf("%+v", n)
	}
}
