package gather

import (
	"bytes"
	"context"
	"net/netip"
	"sync"

	"nsenter-mcp/internal/dispatch/destination"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/probe/attempt"
)

// Allowed returns the policy's word on destinations of target, for the hook that
// opens connections. The target's own gateway and name servers are looked up
// only where something would be refused.
func Allowed(ctx context.Context, p destination.Policy, target *resolve.Target) func(netip.AddrPort) error {
	exempt := sync.OnceValue(func() destination.Exempt { return exemptDestinations(ctx, target) })
	return func(to netip.AddrPort) error {
		if p.Check(to, destination.Exempt{}) == nil {
			return nil
		}
		return p.Check(to, exempt())
	}
}

// exemptDestinations are the target's gateways and the name servers of its
// resolv.conf. What cannot be read is not excepted from the policy.
func exemptDestinations(ctx context.Context, target *resolve.Target) destination.Exempt {
	var exempt destination.Exempt
	if gateways, err := attempt.Gateways(ctx, target.Net); err == nil {
		exempt.Gateways = gateways
	}
	const most = 64 << 10
	if file, err := target.ReadFile(ctx, "/etc/resolv.conf", most); err == nil {
		exempt.Nameservers = nameservers(file.Data)
	}
	return exempt
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
