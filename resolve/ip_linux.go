package resolve

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// dumpTries bounds how often a dump is asked for again that changed while the
// kernel wrote it (NLM_F_DUMP_INTR, netlink(7)).
const dumpTries = 10

// ownsAddress reports whether an interface of the namespace has the address.
func ownsAddress(n *nsexec.Handle, ip netip.Addr) (bool, error) {
	family := netlink.FAMILY_V4
	if ip.Is6() {
		family = netlink.FAMILY_V6
	}
	addresses, err := addressesOf(n, family)
	return slices.Contains(addresses, ip), err
}

// attached reports whether the address is on an interface of n that leads to the
// host: the host's own, one that is no pair, or a pair whose other end is there. A
// whole cluster in containers may have the same addresses.
func attached(n, host *nsexec.Handle, ip netip.Addr) bool {
	if n.Identity().Same(host.Identity()) {
		return true
	}
	handle, err := n.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return false
	}
	defer handle.Close()
	list, err := handle.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return false
	}
	for _, a := range list {
		if own, ok := netip.AddrFromSlice(a.IP); a.IPNet == nil || !ok || own.Unmap() != ip {
			continue
		}
		link, err := handle.LinkByIndex(a.LinkIndex)
		if err == nil && link.Attrs().Flags&net.FlagLoopback == 0 && n.LeadsTo(link, host) {
			return true
		}
	}
	return false
}

// addressesOf lists the addresses of all interfaces of the namespace.
func addressesOf(n *nsexec.Handle, family int) ([]netip.Addr, error) {
	handle, err := n.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer handle.Close()
	var list []netlink.Addr
	for range dumpTries {
		if list, err = handle.AddrList(nil, family); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	// What an interrupted dump holds is true, only perhaps not all.
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	var addresses []netip.Addr
	for _, a := range list {
		// kube-proxy in IPVS mode gives every service's address to a dummy
		// interface of the node, on which nothing ever arrives.
		if a.IPNet == nil || a.Label == "kube-ipvs0" {
			continue
		}
		if own, ok := netip.AddrFromSlice(a.IP); ok {
			addresses = append(addresses, own.Unmap())
		}
	}
	return addresses, nil
}

// globalAddresses are those by which others reach what is in the namespace.
func globalAddresses(n *nsexec.Handle) ([]netip.Addr, error) {
	all, err := addressesOf(n, netlink.FAMILY_ALL)
	return slices.DeleteFunc(all, func(a netip.Addr) bool { return !a.IsGlobalUnicast() }), err
}
