package lab

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

const (
	wireBridge = "wire"
	podBridge  = "cni0"
	podLink    = "eth0"
	uplink     = "eth0" // of a node
)

// makeWire makes the switch of the nodes.
func (n *Netns) makeWire() error {
	_, err := n.addBridge(wireBridge)
	if err != nil {
		return err
	}
	return n.setLinkUp(wireBridge, prefix(wireIP, 16), prefix(wireIP6, 64))
}

// addBridge makes a bridge and returns its index. Its address is set once: one
// that is not changes with each port (br_stp_recalculate_bridge_id in
// net/bridge/br_stp_if.c), and neighbours would know the old one.
func (n *Netns) addBridge(name string) (int, error) {
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	bridge.Name, bridge.HardwareAddr = name, randomMAC()
	err := n.rtnl(func(h *netlink.Handle) error { return h.LinkAdd(bridge) })
	if err != nil {
		return 0, fmt.Errorf("bridge %s: %w", name, err)
	}
	return bridge.Index, nil
}

// makeNode joins the node to the switch and lets it forward.
func (n *Node) makeNode() error {
	if err := errors.Join(n.SetSysctl("net/ipv4/ip_forward", "1"), n.SetSysctl("net/ipv6/conf/all/forwarding", "1")); err != nil {
		return err
	}
	veth := netlink.NewVeth(netlink.NewLinkAttrs())
	veth.Name, veth.PeerName = uplink, n.Name
	if err := n.addVeth(veth, n.lab.wire); err != nil {
		return err
	}
	err := n.lab.wire.onLink(n.Name, func(h *netlink.Handle, port netlink.Link) error {
		bridge, err := h.LinkByName(wireBridge)
		if err != nil {
			return err
		}
		return errors.Join(h.LinkSetMaster(port, bridge), h.LinkSetUp(port))
	})
	if err != nil {
		return err
	}
	return errors.Join(
		n.setLinkUp(uplink, prefix(n.IP, n.Bits), prefix(n.IP6, n.Bits6)),
		n.addRoute(uplink, anywhere(wireIP), wireIP),
		n.addRoute(uplink, anywhere(wireIP6), wireIP6),
		n.awaitUp(uplink), n.lab.wire.awaitUp(n.Name),
	)
}

// addPeer makes the routes to another node's pods.
func (n *Node) addPeer(o *Node) error {
	for _, style := range []Style{Bridge, Calico} {
		p4, p6 := o.PodPrefixes(style)
		if err := errors.Join(n.addRoute(uplink, p4, o.IP), n.addRoute(uplink, p6, o.IP6)); err != nil {
			return err
		}
	}
	return nil
}
