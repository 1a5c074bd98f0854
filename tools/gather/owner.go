package gather

import (
	"context"
	"net/netip"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
)

// OwnerOf opens the network attached to this node that owns one of some places
// ("10.0.0.1:80"), the first that has one, so that the same can be asked from inside. at
// is that place. The owner is nil where it is the target itself, the node, or on another
// node. The caller closes it.
func OwnerOf(
	ctx context.Context, resolver *resolve.Resolver, host *nsexec.Handle, target *resolve.Target, places ...string,
) (owner *resolve.Target, at netip.AddrPort) {
	if resolver == nil || host == nil {
		return nil, at
	}
	for _, text := range places {
		at, err := netip.ParseAddrPort(text)
		ip := at.Addr().Unmap().WithZone("")
		if err != nil || ip.IsLoopback() {
			continue
		}
		owner, err := resolver.Resolve(ctx, resolve.Query{IP: ip.String(), Here: true})
		if err != nil {
			continue
		}
		id := owner.Net.Identity()
		if owner.Attached && !owner.HostNetwork && !id.Same(host.Identity()) && !id.Same(target.Net.Identity()) {
			return owner, at
		}
		_ = owner.Close() // was only looked at
	}
	return nil, at
}
