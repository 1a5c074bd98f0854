package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Faults returns what the lab can break. Each is also a function by its own
// name; a new one is such a function and a line here.
func Faults() []Fault {
	return []Fault{
		{"link.missing", "eth0 is gone", LinkMissing},
		{"link.down", "eth0 is down", LinkDown},
		{"link.no_carrier", "the node's end of eth0's veth is down", PeerDown},
		{"link.lo_down", "lo is down", LoopbackDown},
		{"link.detached", "the node's end of eth0's veth is on no bridge", Detach},
		{"link.isolated", "all ports of the bridge are isolated from each other", IsolatePorts},
		{"link.mtu_mismatch", "the node's end of eth0's veth has a smaller MTU", ShrinkPeer},
		{"addr.none", "eth0 has no IPv4 address", RemoveAddress},
		{"addr.duplicate", "another pod has the same address", DuplicateAddress},
		{"addr.wrong_prefix", "the prefix of eth0's address is too long, the gateway is outside", LongPrefix},
		{"addr.wrong_prefix", "the prefix of eth0's address is too short, everything is on the link", ShortPrefix},
		{"addr.tentative", "the IPv6 address failed duplicate address detection", FailDuplicateDetection},
		{"addr.ipv6_disabled", "IPv6 is disabled in the pod", DisableIPv6},
		{"route.no_default", "there is no default route", RemoveDefaultRoute},
		{"route.blackhole", "the default route is a blackhole", BlackholeDefaultRoute},
		{"route.gateway_unreachable", "the default route's gateway is nobody", WrongGateway},
		{"fw.pod_drop", "the pod's own firewall drops what it sends to TCP port 80", DropOutgoing},
		{"fw.pod_reject", "the pod's own firewall rejects what it sends to TCP port 80", RejectOutgoing},
		{"fw.host_drop", "the node drops what it forwards to TCP port 80", DropForwarded},
		{"fw.host_reject", "the node rejects what it forwards to TCP port 80", RejectForwarded},
	}
}

// LinkMissing deletes eth0.
func LinkMissing(p *Pod) error { return p.onLink(podLink, (*netlink.Handle).LinkDel) }

// LinkDown sets eth0 down; the kernel drops its routes.
func LinkDown(p *Pod) error { return p.onLink(podLink, (*netlink.Handle).LinkSetDown) }

// LoopbackDown sets lo down.
func LoopbackDown(p *Pod) error { return p.onLink("lo", (*netlink.Handle).LinkSetDown) }

// PeerDown sets the node's end of eth0 down; eth0 loses its carrier.
func PeerDown(p *Pod) error { return p.onHostLink((*netlink.Handle).LinkSetDown) }

// Detach takes the node's end of eth0 off the bridge.
func Detach(p *Pod) error {
	if p.Style != Bridge {
		return wrongStyle(p)
	}
	return p.onHostLink((*netlink.Handle).LinkSetNoMaster)
}

// IsolatePorts isolates all ports of the pod's bridge: isolated ports reach only
// the others, so pods reach the node but not one another.
func IsolatePorts(p *Pod) error {
	if p.Style != Bridge {
		return wrongStyle(p)
	}
	return p.Node.rtnl(func(h *netlink.Handle) error {
		links, err := h.LinkList()
		if err != nil {
			return err
		}
		for _, l := range links {
			if l.Attrs().MasterIndex == 0 {
				continue
			}
			if err := h.LinkSetIsolated(l, true); err != nil {
				return err
			}
		}
		return nil
	})
}

// ShrinkPeer gives the node's end of eth0 an MTU 100 bytes smaller than eth0's.
func ShrinkPeer(p *Pod) error {
	return p.onHostLink(func(h *netlink.Handle, l netlink.Link) error {
		return h.LinkSetMTU(l, l.Attrs().MTU-100)
	})
}

// RemoveAddress removes the IPv4 address of eth0, and with it the routes.
func RemoveAddress(p *Pod) error {
	return p.onLink(podLink, func(h *netlink.Handle, l netlink.Link) error {
		return h.AddrDel(l, address(prefix(p.IP, p.Bits)))
	})
}

// DuplicateAddress makes another pod with the same address on the same node.
func DuplicateAddress(p *Pod) error {
	if p.Style != Bridge {
		return wrongStyle(p)
	}
	_, err := p.lab.AddPod(PodSpec{Name: p.Name + "-twin", Namespace: p.Namespace, Node: p.Node, IP: p.IP})
	return err
}

// LongPrefix makes eth0's address a /32 with the same default route: the gateway
// is no longer on the link, so the kernel would refuse the route now.
func LongPrefix(p *Pod) error { return p.changePrefix(32) }

// ShortPrefix makes eth0's address a /8: addresses of other nodes' pods seem to
// be on the link.
func ShortPrefix(p *Pod) error { return p.changePrefix(8) }

func (p *Pod) changePrefix(bits int) error {
	if p.Style != Bridge {
		return wrongStyle(p)
	}
	return p.onLink(podLink, func(h *netlink.Handle, l netlink.Link) error {
		err := errors.Join(
			h.AddrDel(l, address(prefix(p.IP, p.Bits))),
			h.AddrAdd(l, address(prefix(p.IP, bits))),
		)
		if err != nil {
			return err
		}
		p4, _ := p.Node.PodPrefixes(Bridge)
		err = h.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(anywhere(p.IP)), Gw: gateway(p4).Addr().AsSlice()})
		if errors.Is(err, unix.ENETUNREACH) && bits == p.IP.BitLen() {
			return nil // what the prefix is about
		}
		return err
	})
}

// DisableIPv6 disables IPv6 in the pod, which removes its addresses.
func DisableIPv6(p *Pod) error { return p.SetSysctl("net/ipv6/conf/all/disable_ipv6", "1") }

// RemoveDefaultRoute deletes the IPv4 default route.
func RemoveDefaultRoute(p *Pod) error {
	return p.rtnl(func(h *netlink.Handle) error {
		return h.RouteDel(&netlink.Route{Dst: ipNet(anywhere(p.IP))})
	})
}

// BlackholeDefaultRoute makes the IPv4 default route a blackhole.
func BlackholeDefaultRoute(p *Pod) error {
	return replaceDefault(p, &netlink.Route{Type: unix.RTN_BLACKHOLE})
}

// WrongGateway makes the default route lead to an address of the pod's network
// that nobody has.
func WrongGateway(p *Pod) error {
	if p.Style != Bridge {
		return wrongStyle(p)
	}
	return replaceDefault(p, &netlink.Route{Gw: withLast(p.IP, 2).AsSlice()})
}

// faultPort is the port that the firewall faults are about.
const faultPort = 80

// DropOutgoing makes the pod drop what it sends to TCP port 80.
func DropOutgoing(p *Pod) error {
	return p.Firewall(FirewallRule{Hook: Outgoing, Port: faultPort})
}

// RejectOutgoing makes the pod reject what it sends to TCP port 80.
func RejectOutgoing(p *Pod) error {
	return p.Firewall(FirewallRule{Hook: Outgoing, Port: faultPort, Reject: true})
}

// DropForwarded makes the pod's node drop what it forwards to TCP port 80, from
// every pod. What one pod sends to another of the same bridge is not forwarded.
func DropForwarded(p *Pod) error {
	return p.Node.Firewall(FirewallRule{Hook: Forwarded, Port: faultPort})
}

// RejectForwarded is [DropForwarded] with an answer.
func RejectForwarded(p *Pod) error {
	return p.Node.Firewall(FirewallRule{Hook: Forwarded, Port: faultPort, Reject: true})
}

func replaceDefault(p *Pod, by *netlink.Route) error {
	if err := RemoveDefaultRoute(p); err != nil {
		return err
	}
	by.Dst = ipNet(anywhere(p.IP))
	return p.rtnl(func(h *netlink.Handle) error { return h.RouteAdd(by) })
}

// FailDuplicateDetection gives eth0 a second IPv6 address, which is the
// bridge's: duplicate address detection finds that out and the address stays
// tentative for good (RFC 4862, section 5.4.5). It returns when it has, after up
// to two seconds.
func FailDuplicateDetection(p *Pod) error {
	if p.Style != Bridge {
		return wrongStyle(p)
	}
	if err := p.SetSysctl("net/ipv6/conf/"+podLink+"/accept_dad", "1"); err != nil {
		return err
	}
	_, p6 := p.Node.PodPrefixes(Bridge)
	taken := gateway(p6)
	return p.awaiting(unix.RTNLGRP_IPV6_IFADDR, "failed address", func() error {
		return p.onLink(podLink, func(h *netlink.Handle, l netlink.Link) error { return h.AddrAdd(l, address(taken)) })
	}, func() (bool, error) { return p.dadFailed(taken.Addr()) })
}

func (n *Netns) dadFailed(a netip.Addr) (failed bool, err error) {
	err = n.onLink(podLink, func(h *netlink.Handle, l netlink.Link) error {
		list, err := h.AddrList(l, netlink.FAMILY_V6)
		for _, have := range list {
			if have.IP.Equal(a.AsSlice()) {
				failed = have.Flags&unix.IFA_F_DADFAILED != 0
			}
		}
		return err
	})
	return failed, err
}

// onHostLink runs fn with the node's end of eth0.
func (n *Netns) onHostLink(fn func(*netlink.Handle, netlink.Link) error) error {
	if n.HostLink == "" {
		return fmt.Errorf("a %s pod has no link on the node", n.Style)
	}
	return n.Node.onLink(n.HostLink, fn)
}

func wrongStyle(p *Pod) error {
	return fmt.Errorf("nothing to break of this kind in a %s pod", p.Style)
}
