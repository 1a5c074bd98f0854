package gather

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
)

// OwnerOf opens the network on this node that owns an address which could not be
// connected to, so that the same can be asked from inside it; nil where that
// is the target itself, the node, a service, or something on another node. The
// caller closes it.
//
// An address may have several owners on one machine: networks that do not reach
// each other, and whole clusters in containers. The one that counts is attached
// to this node.
func OwnerOf(ctx context.Context, resolver *resolve.Resolver, host *nsexec.Handle, target *resolve.Target, ip netip.Addr) *resolve.Target {
	if resolver == nil || host == nil || !ip.IsValid() || ip.IsLoopback() {
		return nil
	}
	owner, err := resolver.Resolve(ctx, resolve.Query{IP: ip.String(), Here: true})
	if err == nil {
		if isAttached(ctx, host, target, owner, ip) {
			return owner
		}
		_ = owner.Close() // was only looked at
		return nil
	}
	var several *resolve.Error
	if !errors.As(err, &several) || several.Kind != resolve.KindAmbiguous {
		return nil
	}
	for _, c := range several.Candidates {
		q := resolve.Query{Netns: c.Netns}
		if c.PID != 0 {
			q = resolve.Query{PID: &c.PID}
		}
		t, err := resolver.Resolve(ctx, q)
		if err != nil {
			continue
		}
		if owner == nil && isAttached(ctx, host, target, t, ip) {
			owner = t
			continue
		}
		_ = t.Close() // likewise
	}
	return owner
}

// isAttached reports whether ip is on an interface of t that leads to this node:
// no pair, or one whose other end is here.
func isAttached(ctx context.Context, host *nsexec.Handle, target, t *resolve.Target, ip netip.Addr) bool {
	id := t.Net.Identity()
	if t.HostNetwork || id.Same(host.Identity()) || id.Same(target.Net.Identity()) {
		return false
	}
	list, err := probe.Links(ctx, t.Net, probe.LinkOptions{})
	if err != nil || probe.HostPeers(ctx, t.Net, host, list.Links, probe.LinkOptions{}) != nil {
		return false
	}
	return slices.ContainsFunc(list.Links, func(l fact.Link) bool {
		pair := l.Kind() == "veth" || l.Kind() == "netkit"
		return HasAddress(&l, ip) && l.LinkType != "loopback" && (l.HostPeer != nil || !pair)
	})
}

// HasAddress reports whether ip is an address of the link.
func HasAddress(l *fact.Link, ip netip.Addr) bool {
	return slices.ContainsFunc(l.AddrInfo, func(a fact.Addr) bool { return a.Local == ip.String() })
}
