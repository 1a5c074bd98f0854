package lab

import (
	"errors"
	"fmt"
	"net/netip"
)

// place is the network that a pod or container is to get.
type place struct {
	style   Style
	ip, ip6 netip.Addr // not valid for none
	host    byte       // reserved with the node; 0 for none
	mtu     int
	err     error // why it cannot be had
}

// reserve takes an address of the node: ip where it is valid, else the next free
// one.
func (n *Node) reserve(style Style, ip netip.Addr, ipv6 bool, mtu int) place {
	p := place{style: style, mtu: mtu}
	if style != Bridge && style != Calico {
		return p
	}
	if mtu == 0 {
		p.mtu = defaultMTU(style)
	}
	p4, p6 := n.PodPrefixes(style)
	var wanted byte
	if p4.Contains(ip) {
		wanted = ip.As4()[3]
	}
	p.host, p.err = n.takeHost(wanted)
	p.ip = withLast(p4.Addr(), p.host)
	if ip.IsValid() { // also one that another pod has
		p.ip = ip
	}
	if ipv6 {
		p.ip6 = withLast(p6.Addr(), p.host)
	}
	return p
}

// defaultMTU leaves room for the outer header that Calico's IPIP would add.
func defaultMTU(style Style) int {
	if style == Calico {
		return 1480
	}
	return 1500
}

// join makes a namespace and joins it to the node.
func (n *Node) join(p place) (*Netns, error) {
	if p.err != nil {
		return nil, p.err
	}
	if p.style == HostNetwork {
		return n.Netns, nil
	}
	ns, err := n.lab.newNetns()
	if err != nil {
		return nil, err
	}
	ns.Node, ns.Style, ns.host = n, p.style, p.host
	ns.IP, ns.IP6 = p.ip, p.ip6
	switch p.style {
	case Bridge:
		p4, p6 := n.PodPrefixes(Bridge)
		ns.Bits, ns.Bits6 = p4.Bits(), p6.Bits()
		ns.HostLink = "veth" + randomHex(4)
		err = n.plugBridge(ns, p.mtu)
	case Calico:
		ns.Bits, ns.Bits6 = 32, 128
		ns.HostLink = "cali" + randomHex(6)[:11]
		err = n.plugCalico(ns, p.mtu)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("network: %w", err), n.leave(ns))
	}
	return ns, nil
}

// leave undoes join.
func (n *Node) leave(ns *Netns) error {
	if ns == n.Netns {
		return nil
	}
	err := n.lab.dropNetns(ns)
	if ns.host != 0 {
		n.giveHost(ns.host)
	}
	return err
}

func withLast(a netip.Addr, last byte) netip.Addr {
	b := a.AsSlice()
	b[len(b)-1] = last
	a, _ = netip.AddrFromSlice(b) // of 4 or 16 bytes, as it was
	return a
}
