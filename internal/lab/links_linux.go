package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rtnl runs fn with a route netlink socket of the namespace.
func (n *Netns) rtnl(fn func(*netlink.Handle) error) error {
	h, err := n.Handle.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer h.Close()
	return fn(h)
}

// onLink runs fn with a link of the namespace.
func (n *Netns) onLink(name string, fn func(*netlink.Handle, netlink.Link) error) error {
	return n.rtnl(func(h *netlink.Handle) error {
		link, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		if err := fn(h, link); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		return nil
	})
}

// addVeth makes a veth whose peer is in another namespace from the start:
// moving a link costs the kernel a grace period (dev_change_net_namespace in
// net/core/dev.c), making it there costs nothing.
func (n *Netns) addVeth(veth *netlink.Veth, peer *Netns) error {
	fd, err := unix.Open(peer.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer closeFD(fd)
	veth.PeerNamespace = netlink.NsFd(fd)
	return n.rtnl(func(h *netlink.Handle) error {
		if err := h.LinkAdd(veth); err != nil {
			return fmt.Errorf("veth %s: %w", veth.Name, err)
		}
		return nil
	})
}

// setLinkUp gives a link addresses and sets it up. Zero prefixes are left out.
func (n *Netns) setLinkUp(name string, prefixes ...netip.Prefix) error {
	return n.onLink(name, func(h *netlink.Handle, link netlink.Link) error {
		for _, p := range prefixes {
			if !p.IsValid() {
				continue
			}
			if err := h.AddrAdd(link, address(p)); err != nil {
				return fmt.Errorf("address %s: %w", p, err)
			}
		}
		return h.LinkSetUp(link)
	})
}

// addRoute adds a route by a link. An invalid gateway means that the
// destination is on the link.
func (n *Netns) addRoute(link string, to netip.Prefix, gateway netip.Addr) error {
	return n.onLink(link, func(h *netlink.Handle, l netlink.Link) error {
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(to)}
		if gateway.IsValid() {
			r.Gw = gateway.AsSlice()
		} else {
			r.Scope = netlink.SCOPE_LINK
		}
		if err := h.RouteAdd(r); err != nil {
			return fmt.Errorf("route to %s: %w", to, err)
		}
		return nil
	})
}

// unplug deletes the node's end of the namespace's veth, and the other with it.
func (n *Netns) unplug() error {
	if n.HostLink == "" {
		return nil
	}
	err := n.Node.onLink(n.HostLink, (*netlink.Handle).LinkDel)
	if errors.As(err, new(netlink.LinkNotFoundError)) { // a fault, or a failure, was faster
		return nil
	}
	return err
}

func address(p netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(p)}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefix joins address and length; it is not valid where the address is not.
func prefix(a netip.Addr, bits int) netip.Prefix {
	if !a.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(a, bits)
}

// anywhere is the default route's destination, of the family of a.
func anywhere(a netip.Addr) netip.Prefix {
	if a.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}
