package gather

import (
	"context"
	"net/netip"
	"slices"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

// OwnerOf opens the network attached to this node that owns an address which could not
// be connected to, so that the same can be asked from inside it; nil where that
// is the target itself, the node, a service, or something on another node. The
// caller closes it.
func OwnerOf(ctx context.Context, resolver *resolve.Resolver, host *nsexec.Handle, target *resolve.Target, ip netip.Addr) *resolve.Target {
	if resolver == nil || host == nil || !ip.IsValid() || ip.IsLoopback() {
		return nil
	}
	owner, err := resolver.Resolve(ctx, resolve.Query{IP: ip.String(), Here: true})
	if err != nil {
		return nil
	}
	id := owner.Net.Identity()
	if !owner.Attached || owner.HostNetwork || id.Same(host.Identity()) || id.Same(target.Net.Identity()) {
		_ = owner.Close() // was only looked at
		return nil
	}
	return owner
}

// HasAddress reports whether ip is an address of the link.
func HasAddress(l *fact.Link, ip netip.Addr) bool {
	return slices.ContainsFunc(l.AddrInfo, func(a fact.Addr) bool { return a.Local == ip.String() })
}
