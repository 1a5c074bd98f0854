package resolve

import (
	"context"
	"net/netip"
	"slices"

	"nsenter-mcp/nsexec"
)

// ownsAddress reports whether an interface of the namespace has the address.
func ownsAddress(ctx context.Context, n *nsexec.Handle, ip netip.Addr) (bool, error) {
	addresses, err := addressesOf(ctx, n)
	return slices.Contains(addresses, ip), err
}

// attached reports whether the address is on an interface of n that leads to the
// host: the host's own, one that is no pair, or a pair whose other end is there. A
// whole cluster in containers may have the same addresses.
func attached(ctx context.Context, n, host *nsexec.Handle, ip netip.Addr) bool {
	if n.Identity().Same(host.Identity()) {
		return true
	}
	all, err := n.Addresses(ctx, 0)
	return err == nil && slices.ContainsFunc(all, func(a nsexec.Address) bool {
		return a.Prefix.Addr().Unmap() == ip && n.LeadsTo(ctx, a.Index, host)
	})
}

// addressesOf lists the addresses of all interfaces of the namespace.
func addressesOf(ctx context.Context, n *nsexec.Handle) ([]netip.Addr, error) {
	all, err := n.Addresses(ctx, 0)
	var addresses []netip.Addr
	for _, a := range all {
		// kube-proxy in IPVS mode gives every service's address to a dummy
		// interface of the node, on which nothing ever arrives.
		if a.Label != "kube-ipvs0" {
			addresses = append(addresses, a.Prefix.Addr().Unmap())
		}
	}
	return addresses, err
}

// globalAddresses are those by which others reach what is in the namespace.
func globalAddresses(ctx context.Context, n *nsexec.Handle) ([]netip.Addr, error) {
	all, err := addressesOf(ctx, n)
	return slices.DeleteFunc(all, func(a netip.Addr) bool { return !a.IsGlobalUnicast() }), err
}
