package gather

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
)

// OwnerOf opens the network attached to this node that owns a destination, so that the
// same can be asked from inside; of a service's address, that of an endpoint. at is the
// destination as the owner has it. The owner is nil where it is the target itself, the
// node, or on another node. The caller closes it.
func OwnerOf(
	ctx context.Context, resolver *resolve.Resolver, host *nsexec.Handle, target *resolve.Target, to netip.AddrPort,
) (owner *resolve.Target, at netip.AddrPort) {
	ip := to.Addr().Unmap().WithZone("")
	if resolver == nil || host == nil || !ip.IsValid() || ip.IsLoopback() {
		return nil, to
	}
	open := func(ip string) (*resolve.Target, error) {
		owner, err := resolver.Resolve(ctx, resolve.Query{IP: ip, Here: true})
		if err != nil {
			return nil, err
		}
		id := owner.Net.Identity()
		if !owner.Attached || owner.HostNetwork || id.Same(host.Identity()) || id.Same(target.Net.Identity()) {
			_ = owner.Close() // was only looked at
			return nil, nil
		}
		return owner, nil
	}
	owner, err := open(ip.String())
	var failed *resolve.Error
	if !errors.As(err, &failed) || failed.Kind != resolve.KindNotFound {
		return owner, to
	}
	found, err := resolver.Resolve(ctx, resolve.Query{IP: ip.String()})
	if err == nil {
		_ = found.Close() // has come meanwhile
	}
	if !errors.As(err, &failed) || failed.Service == nil {
		return nil, to
	}
	i := slices.IndexFunc(failed.Service.Ports, func(p resolve.ServicePort) bool { return p.Port == int(to.Port()) })
	if i < 0 {
		return nil, to
	}
	port, err := strconv.ParseUint(failed.Service.Ports[i].TargetPort, 10, 16)
	if err != nil { // a name, which is each pod's own
		return nil, to
	}
	for _, e := range failed.Service.Endpoints {
		ip, err := netip.ParseAddr(e.Address)
		if err != nil {
			continue
		}
		if owner, _ := open(ip.String()); owner != nil {
			return owner, netip.AddrPortFrom(ip, uint16(port))
		}
	}
	return nil, to
}
