package lab

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// plugBridge joins a pod to the node's bridge, as the bridge plugin of CNI does.
func (n *Node) plugBridge(ns *Netns, mtu int) error {
	bridge, err := n.bridge()
	if err != nil {
		return err
	}
	veth := podVeth(ns, mtu)
	veth.MasterIndex = bridge
	if err := n.addVeth(veth, ns); err != nil {
		return err
	}
	// A pod may reach itself by a service address.
	err = n.rtnl(func(h *netlink.Handle) error { return h.LinkSetHairpin(veth, true) })
	if err != nil {
		return fmt.Errorf("hairpin: %w", err)
	}
	if err := ns.setLinkUp(podLink, prefix(ns.IP, ns.Bits), prefix(ns.IP6, ns.Bits6)); err != nil {
		return err
	}
	p4, p6 := n.PodPrefixes(Bridge)
	if err := ns.addRoute(podLink, anywhere(ns.IP), gateway(p4).Addr()); err != nil {
		return err
	}
	if ns.IP6.IsValid() {
		if err := ns.addRoute(podLink, anywhere(ns.IP6), gateway(p6).Addr()); err != nil {
			return err
		}
	}
	return errors.Join(n.awaitUp(ns.HostLink), ns.awaitUp(podLink))
}

// bridge returns the index of cni0, which the first pod makes.
func (n *Node) bridge() (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.bridgeIndex != 0 {
		return n.bridgeIndex, nil
	}
	index, err := n.addBridge(podBridge)
	if err != nil {
		return 0, err
	}
	p4, p6 := n.PodPrefixes(Bridge)
	if err := n.setLinkUp(podBridge, gateway(p4), gateway(p6)); err != nil {
		return 0, err
	}
	n.bridgeIndex = index
	return index, nil
}

// The gateway of every Calico pod. 169.254.1.1 is nobody's: the node answers
// for it. The other is the link-local address that belongs to the hardware
// address ee:ee:ee:ee:ee:ee, which each of the node's ends has.
var (
	calicoGateway  = netip.AddrFrom4([4]byte{169, 254, 1, 1})
	calicoGateway6 = netip.MustParseAddr("fe80::ecee:eeff:feee:eeee")
)

// plugCalico joins a pod to the node as Calico does without an overlay: a route
// to the pod on the node, and on the pod's side everything by the gateway.
func (n *Node) plugCalico(ns *Netns, mtu int) error {
	veth := podVeth(ns, mtu)
	veth.HardwareAddr = net.HardwareAddr{0xee, 0xee, 0xee, 0xee, 0xee, 0xee}
	if err := n.addVeth(veth, ns); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"net/ipv4/conf/" + ns.HostLink + "/proxy_arp":    "1",
		"net/ipv4/neigh/" + ns.HostLink + "/proxy_delay": "0", // else up to 0.8 s
	} {
		if err := n.SetSysctl(name, value); err != nil {
			return err
		}
	}
	if err := n.addRoute(ns.HostLink, prefix(ns.IP, ns.Bits), netip.Addr{}); err != nil {
		return err
	}
	if err := ns.setLinkUp(podLink, prefix(ns.IP, ns.Bits), prefix(ns.IP6, ns.Bits6)); err != nil {
		return err
	}
	if err := ns.addRoute(podLink, prefix(calicoGateway, 32), netip.Addr{}); err != nil {
		return err
	}
	if err := ns.addRoute(podLink, anywhere(ns.IP), calicoGateway); err != nil {
		return err
	}
	if ns.IP6.IsValid() {
		if err := n.addRoute(ns.HostLink, prefix(ns.IP6, ns.Bits6), netip.Addr{}); err != nil {
			return err
		}
		if err := ns.addRoute(podLink, anywhere(ns.IP6), calicoGateway6); err != nil {
			return err
		}
	}
	if err := ns.addTunnel(mtu); err != nil {
		return fmt.Errorf("tunnel device: %w", err)
	}
	return errors.Join(n.awaitUp(ns.HostLink), ns.awaitUp(podLink))
}

func podVeth(ns *Netns, mtu int) *netlink.Veth {
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.PeerName = ns.HostLink, podLink
	veth.MTU, veth.PeerMTU = mtu, uint32(mtu)
	veth.Flags = net.FlagUp
	return veth
}

// addTunnel makes tunl0, down and without an address, which a pod has where the
// node's kernel has loaded IPIP. Kernels without it get what looks most like it.
func (n *Netns) addTunnel(mtu int) error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "tunl0"
	return n.rtnl(func(h *netlink.Handle) error {
		var errs []error
		for _, try := range []struct {
			kind string
			link netlink.Link
		}{
			{"ipip", &netlink.Iptun{LinkAttrs: attrs}},
			{"tun", &netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TUN}},
			{"ifb", &netlink.Ifb{LinkAttrs: attrs}},
		} {
			// Inside, as a tun device comes up in the namespace of the thread that
			// opens /dev/net/tun.
			err := n.Handle.Do(func() error { return h.LinkAdd(try.link) })
			// With IPIP loaded the namespace had one from its beginning.
			if err == nil || errors.Is(err, unix.EEXIST) {
				n.Tunnel = try.kind
				return n.onLink("tunl0", func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetMTU(l, mtu) })
			}
			errs = append(errs, fmt.Errorf("%s: %w", try.kind, err))
		}
		return errors.Join(errs...)
	})
}

// randomMAC returns a locally administered unicast address (IEEE 802).
func randomMAC() net.HardwareAddr {
	mac := make(net.HardwareAddr, 6)
	rand.Read(mac) // never fails (crypto/rand)
	mac[0] = mac[0]&0xfe | 2
	return mac
}
