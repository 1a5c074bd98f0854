package tools

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/gather"
	"nsenter-mcp/tools/probe"
)

// blameMTU looks, where the target's kernel could not send on an established
// connection, at the interface that it was to leave by. Where its other end on the
// host has too small an MTU for the segments, it changes the reason and returns the
// finding: of the same symptom a firewall would be suspected first, in vain.
func blameMTU(ctx context.Context, env *dispatch.Env, target *resolve.Target, f *fact.Fetch) []fact.Finding {
	if f.Outcome != fact.OutcomeTimeout || !f.Conn.CannotSend() || target.HostNetwork || env.Host == nil {
		return nil
	}
	from, err := netip.ParseAddrPort(f.Local)
	if err != nil {
		return nil
	}
	list, err := probe.Links(ctx, target.Net, probe.LinkOptions{})
	if err != nil || probe.HostPeers(ctx, target.Net, env.Host, list.Links, probe.LinkOptions{}) != nil {
		return nil // the reason stands as a guess
	}
	ip := from.Addr().Unmap().WithZone("")
	i := slices.IndexFunc(list.Links, func(l fact.Link) bool { return gather.HasAddress(&l, ip) })
	if i < 0 {
		return nil
	}
	l := &list.Links[i]
	segment := diagnose.TooLongForPeer(f.Conn, ip, l)
	if segment == 0 {
		return nil
	}
	f.Reason = fmt.Sprintf("the target's own kernel cannot send segments of %d bytes on the established connection: "+
		"%s, the other end of %s on the host, has mtu %d and drops what is longer", segment, words.Printable(l.HostPeer.Name), words.Printable(l.Name), l.HostPeer.MTU)
	return diagnose.MTUMismatch(l)
}
