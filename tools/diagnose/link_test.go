package diagnose

import (
	"slices"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/tools/fact"
)

// lo and eth0 are a pod's interfaces when all is well; change makes them sick.
func lo(change ...func(*fact.Link)) fact.Link {
	return changed(fact.Link{
		Index: 1, Name: "lo", Flags: []string{"LOOPBACK", "UP", "LOWER_UP"}, MTU: new(65536), LinkType: "loopback", Carrier: new(true),
		AddrInfo: []fact.Addr{address("127.0.0.1", 8, "host")},
	}, change)
}

func eth0(change ...func(*fact.Link)) fact.Link {
	return changed(fact.Link{
		Index: 2, Name: "eth0", Flags: []string{"BROADCAST", "MULTICAST", "UP", "LOWER_UP"}, MTU: new(1500), LinkType: "ether",
		Carrier: new(true), LinkInfo: &fact.LinkInfo{Kind: "veth"}, IPv6Disabled: new(false),
		AddrInfo: []fact.Addr{address("10.244.1.10", 24, "global")},
		HostPeer: &fact.HostPeer{Name: "veth1", Index: 9, Up: true, State: "UP", MTU: 1500, Bridge: "cni0"},
	}, change)
}

// link is an interface of another kind, up and without addresses.
func link(name, kind string, change ...func(*fact.Link)) fact.Link {
	l := fact.Link{
		Index: 3, Name: name, Flags: []string{"UP", "LOWER_UP"}, MTU: new(1500), LinkType: "ether", Carrier: new(true), AddrInfo: []fact.Addr{},
	}
	if kind != "" {
		l.LinkInfo = &fact.LinkInfo{Kind: kind}
	}
	return changed(l, change)
}

func changed(l fact.Link, change []func(*fact.Link)) fact.Link {
	for _, c := range change {
		c(&l)
	}
	return l
}

func address(local string, bits int, scope string) fact.Addr {
	family := "inet"
	if strings.Contains(local, ":") {
		family = "inet6"
	}
	return fact.Addr{Family: family, Local: local, PrefixLen: bits, Scope: scope, Age: time.Hour}
}

func down(l *fact.Link) { l.Flags, l.Carrier = []string{"BROADCAST"}, new(false) }

func noCarrier(l *fact.Link) {
	l.Flags, l.Carrier = []string{"NO-CARRIER", "BROADCAST", "UP"}, new(false)
}

func without(l *fact.Link) { l.AddrInfo = []fact.Addr{address("fe80::1", 64, "link")} }

func plus(a fact.Addr) func(*fact.Link) {
	return func(l *fact.Link) { l.AddrInfo = append(slices.Clone(l.AddrInfo), a) }
}

// unbridged is a host's end without a master and the host's route to the pod.
func unbridged(route *fact.HostRoute) func(*fact.Link) {
	return func(l *fact.Link) { l.HostPeer.Bridge, l.HostPeer.Route = "", route }
}

func counters(rxPackets, rxErrors, txPackets, txErrors uint64) func(*fact.Link) {
	return func(l *fact.Link) {
		l.Stats64 = &fact.Stats64{
			RX: fact.Counters{"packets": rxPackets, "errors": rxErrors}, TX: fact.Counters{"packets": txPackets, "errors": txErrors},
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		links []fact.Link
		host  bool
		want  []string // codes, in order
		says  string   // in the first fact
	}{
		{name: "healthy", links: []fact.Link{lo(), eth0()}},
		{name: "nothing at all was read", links: nil},

		{name: "only lo", links: []fact.Link{lo()}, want: []string{"link.missing"}, says: "no interface but lo"},
		{name: "only lo and a tunnel at rest", links: []fact.Link{lo(), link("tunl0", "ipip", down)}, want: []string{"link.missing"}},
		{name: "only lo and a tunnel in use", links: []fact.Link{lo(), link("tunl0", "ipip", plus(address("10.0.0.1", 32, "global")))}},
		{name: "only a VPN", links: []fact.Link{lo(), link("wg0", "wireguard", plus(address("10.0.0.1", 32, "global")))}},
		{name: "only lo, on the host", links: []fact.Link{lo()}, host: true},

		{name: "down", links: []fact.Link{lo(), eth0(down)}, want: []string{"link.down"}, says: "eth0 is administratively down; its address is 10.244.1.10/24"},
		{name: "down without address", links: []fact.Link{lo(), eth0(down, without)}, want: []string{"link.down"}, says: "eth0 is administratively down"},
		{name: "a spare one down", links: []fact.Link{lo(), eth0(), link("net1", "", down)}},
		{name: "a second one down that has an address", links: []fact.Link{lo(), eth0(), link("net1", "macvlan", down, plus(address("10.9.0.1", 24, "global")))}, want: []string{"link.down"}, says: "net1"},
		{name: "a dummy down that has addresses", links: []fact.Link{lo(), eth0(), link("kube-ipvs0", "dummy", down, plus(address("10.96.0.1", 32, "global")))}},
		{name: "a bridge of the container's own", links: []fact.Link{lo(), eth0(), link("docker0", "bridge", noCarrier, plus(address("172.17.0.1", 16, "global")))}},
		{name: "a port of it", links: []fact.Link{lo(), eth0(), link("veth7", "veth", down, func(l *fact.Link) { l.Master = "docker0" })}},
		{name: "down, on the host", links: []fact.Link{lo(), eth0(down)}, host: true},

		{name: "no carrier", links: []fact.Link{lo(), eth0(noCarrier, func(l *fact.Link) { l.HostPeer.Up = false })}, want: []string{"link.no_carrier"}, says: "veth1, is administratively down"},
		{name: "no carrier, peer up", links: []fact.Link{lo(), eth0(noCarrier, func(l *fact.Link) { l.HostPeer.State = "LOWERLAYERDOWN" })}, want: []string{"link.no_carrier"}, says: "veth1, has state LOWERLAYERDOWN"},
		{name: "no carrier, third namespace", links: []fact.Link{lo(), eth0(noCarrier, func(l *fact.Link) { l.HostPeer, l.PeerNetnsID = nil, new(3) })}, want: []string{"link.no_carrier"}, says: "in another namespace"},
		{name: "no carrier, nothing known of the peer", links: []fact.Link{lo(), eth0(noCarrier, func(l *fact.Link) { l.HostPeer = nil })}, want: []string{"link.no_carrier"}, says: "eth0 is up but has no carrier"},
		{name: "carrier not measured", links: []fact.Link{lo(), eth0(func(l *fact.Link) { l.Carrier = nil })}},

		{name: "detached", links: []fact.Link{lo(), eth0(unbridged(&fact.HostRoute{To: "10.244.1.10", Dev: "cni0", Kind: "bridge"}))}, want: []string{"link.detached"}, says: "the host delivers 10.244.1.10 to bridge cni0, but veth1, the host's end of eth0, is on no bridge"},
		{name: "routed to", links: []fact.Link{lo(), eth0(unbridged(&fact.HostRoute{To: "10.244.1.10", Dev: "veth1", Kind: "veth"}))}},
		{name: "routed to over a gateway on a bridge", links: []fact.Link{lo(), eth0(unbridged(&fact.HostRoute{To: "10.244.1.10", Dev: "br0", Kind: "bridge", Via: "10.0.0.1"}))}},
		{name: "no route from the host", links: []fact.Link{lo(), eth0(unbridged(&fact.HostRoute{To: "10.244.1.10"}))}},
		{name: "route not measured", links: []fact.Link{lo(), eth0(unbridged(nil))}},

		{name: "duplicate", links: []fact.Link{lo(), eth0(plus(fact.Addr{Family: "inet6", Local: "fd00::1", Scope: "global", DADFailed: true, Tentative: true, Age: time.Hour}))}, want: []string{"addr.duplicate"}, says: "fd00::1"},
		{name: "duplicate, on the host", links: []fact.Link{lo(), eth0(plus(fact.Addr{Family: "inet6", Local: "fd00::1", Scope: "global", DADFailed: true}))}, host: true, want: []string{"addr.duplicate"}},

		{name: "no address", links: []fact.Link{lo(), eth0(without)}, want: []string{"addr.none"}, says: "eth0 is up, but no interface has an address"},
		{name: "no address on one of two", links: []fact.Link{lo(), eth0(), link("net1", "macvlan")}},
		{name: "address on an inner bridge", links: []fact.Link{lo(), eth0(without), link("br0", "bridge", plus(address("10.0.0.1", 24, "global")))}},
		{name: "address only on lo", links: []fact.Link{lo(plus(address("192.0.2.1", 32, "global"))), eth0(without)}, want: []string{"addr.none"}},
		{name: "addresses not read", links: []fact.Link{lo(), eth0(func(l *fact.Link) { l.AddrInfo = nil })}},
		{name: "no address, on the host", links: []fact.Link{lo(), eth0(without)}, host: true},

		{name: "tentative", links: []fact.Link{lo(), eth0(plus(fact.Addr{Family: "inet6", Local: "fd00::1", Scope: "global", Tentative: true, Age: dadTime}))}, want: []string{"addr.tentative"}, says: "fd00::1 on eth0 is still tentative 5 s"},
		{name: "tentative and new", links: []fact.Link{lo(), eth0(plus(fact.Addr{Family: "inet6", Local: "fd00::1", Scope: "global", Tentative: true, Age: dadTime - 1}))}},
		{name: "tentative, age unknown", links: []fact.Link{lo(), eth0(plus(fact.Addr{Family: "inet6", Local: "fd00::1", Scope: "global", Tentative: true, Age: -1}))}},
		{name: "optimistic", links: []fact.Link{lo(), eth0(plus(fact.Addr{Family: "inet6", Local: "fd00::1", Scope: "global", Tentative: true, Optimistic: true, Age: time.Hour}))}},
		{name: "tentative because of the carrier", links: []fact.Link{lo(), eth0(noCarrier, plus(fact.Addr{Family: "inet6", Local: "fd00::1", Scope: "global", Tentative: true, Age: time.Hour}))}, want: []string{"link.no_carrier"}},

		{name: "lo down", links: []fact.Link{lo(down), eth0()}, want: []string{"link.lo_down"}, says: "lo is down"},
		{name: "lo down, on the host", links: []fact.Link{lo(down), eth0()}, host: true, want: []string{"link.lo_down"}},

		{name: "larger than its peer", links: []fact.Link{lo(), eth0(func(l *fact.Link) { l.HostPeer.MTU = 1400 })}, want: []string{"link.mtu_mismatch"}, says: "above 1400 bytes sent from inside may be dropped"},
		{name: "smaller than its peer", links: []fact.Link{lo(), eth0(func(l *fact.Link) { l.MTU = new(1400) })}, want: []string{"link.mtu_mismatch"}, says: "above 1400 bytes sent to it may be dropped"},
		{name: "MTU of a link that is down", links: []fact.Link{lo(), eth0(down, func(l *fact.Link) { l.MTU = new(1400) })}, want: []string{"link.down"}},

		{name: "IPv6 disabled on an IPv6 bridge", links: []fact.Link{lo(), eth0(func(l *fact.Link) { l.IPv6Disabled, l.HostPeer.IPv6 = new(true), []string{"fd00::1"} })}, want: []string{"addr.ipv6_disabled"}, says: "while cni0 on the host has fd00::1"},
		{name: "IPv6 disabled, routed", links: []fact.Link{lo(), eth0(unbridged(nil), func(l *fact.Link) { l.IPv6Disabled, l.HostPeer.IPv6 = new(true), []string{"fd00::1"} })}, want: []string{"addr.ipv6_disabled"}, says: "while veth1 on the host has fd00::1"},
		{name: "IPv6 disabled where there is none", links: []fact.Link{lo(), eth0(func(l *fact.Link) { l.IPv6Disabled = new(true) })}},
		{name: "no IPv6 in the kernel", links: []fact.Link{lo(), eth0(func(l *fact.Link) { l.IPv6Disabled, l.HostPeer.IPv6 = nil, []string{"fd00::1"} })}},

		{name: "errors received", links: []fact.Link{lo(), eth0(counters(990, 10, 1000, 0))}, want: []string{"link.errors"}, says: "eth0 received 990 packets and 10 with errors"},
		{name: "errors sent", links: []fact.Link{lo(), eth0(counters(0, 0, 0, 50))}, want: []string{"link.errors"}, says: "eth0 sent 0 packets and failed to send 50"},
		{name: "few errors", links: []fact.Link{lo(), eth0(counters(1, 9, 1, 9))}},
		{name: "errors long ago", links: []fact.Link{lo(), eth0(counters(1_000_000, 9_999, 0, 0))}},
		{name: "drops alone", links: []fact.Link{lo(), eth0(func(l *fact.Link) { l.Stats64 = &fact.Stats64{RX: fact.Counters{"packets": 10, "dropped": 1000}} })}},
		{name: "errors on the host's card", links: []fact.Link{lo(), link("ens1", "", counters(1000, 1000, 0, 0))}, host: true, want: []string{"link.errors"}},

		{name: "the gravest first", links: []fact.Link{lo(down), eth0(noCarrier, func(l *fact.Link) { l.HostPeer.MTU = 1400 }, counters(0, 99, 0, 0))}, want: []string{"link.no_carrier", "link.lo_down", "link.mtu_mismatch", "link.errors"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			findings := Links(LinkEvidence{Links: test.links, Host: test.host})
			var codes []string
			for _, f := range findings {
				codes = append(codes, string(f.Code))
			}
			if !slices.Equal(codes, test.want) {
				t.Fatalf("got %v, want %v", findings, test.want)
			}
			if len(findings) > 0 && !strings.Contains(findings[0].Fact, test.says) {
				t.Errorf("fact %q, want %q in it", findings[0].Fact, test.says)
			}
		})
	}
}
