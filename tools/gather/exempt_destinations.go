package gather

import (
	"bytes"
	"context"
	"net/netip"
	"slices"
	"sync"

	"nsenter-mcp/internal/dispatch/destination"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
	"nsenter-mcp/tools/probe/attempt"
)

// allowed is a policy's word on where to a target may connect. own says that the
// target's own resolver asks there, on port 53.
type allowed func(to netip.AddrPort, own bool) error

// probes is the word on what is no lookup.
func (a allowed) probes(to netip.AddrPort) error { return a(to, false) }

// allowedFor returns the policy's word on destinations of target, for the hook that
// opens connections. The target's own gateway and name servers are looked up
// only where something would be refused.
func allowedFor(ctx context.Context, p destination.Policy, target *resolve.Target) allowed {
	known := destination.Target{Host: target.HostNetwork}
	exempt := sync.OnceValue(func() destination.Target { return exemptDestinations(ctx, target, known) })
	return func(to netip.AddrPort, own bool) error {
		known := known
		if own {
			known = destination.Target{Nameservers: []netip.Addr{to.Addr()}} // also where it is loopback
		}
		err := p.Check(to, known)
		if err == nil || own {
			return err
		}
		return p.Check(to, exempt())
	}
}

// exemptDestinations adds the target's gateways and the name servers of its
// resolv.conf. What cannot be read is not excepted from the policy.
func exemptDestinations(ctx context.Context, target *resolve.Target, exempt destination.Target) destination.Target {
	if gateways, err := attempt.Gateways(ctx, target.Net); err == nil && slices.ContainsFunc(gateways, netip.Addr.IsLinkLocalUnicast) {
		exempt.Gateways = onLink(ctx, target, gateways)
	}
	const most = 64 << 10
	if file, err := target.ReadFile(ctx, "/etc/resolv.conf", most); err == nil {
		exempt.Nameservers = nameservers(file.Data)
	}
	return exempt
}

// onLink are those of the gateways that are on the link by an address of an interface:
// a route alone (onlink) can claim any address.
func onLink(ctx context.Context, target *resolve.Target, gateways []netip.Addr) []netip.Addr {
	list, err := probe.Links(ctx, target.Net, probe.LinkOptions{})
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(gateways, func(gateway netip.Addr) bool {
		return !slices.ContainsFunc(list.Links, func(l fact.Link) bool {
			return slices.ContainsFunc(l.AddrInfo, func(a fact.Addr) bool {
				local, err := netip.ParseAddr(a.Local)
				return err == nil && netip.PrefixFrom(local, a.PrefixLen).Contains(gateway.WithZone(""))
			})
		})
	})
}

// nameservers are the addresses in a resolv.conf (resolv.conf(5)).
func nameservers(text []byte) []netip.Addr {
	var found []netip.Addr
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 2 || string(fields[0]) != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(string(fields[1])); err == nil {
			found = append(found, ip)
		}
	}
	return found
}
