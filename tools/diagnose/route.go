package diagnose

import (
	"net/netip"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

// noDefaultRoute: an interface of a pod is up and has an IPv4 address, and no table
// of either family has a default route. Which table a packet would be looked up in is
// not judged: a default route in any of them is one.
func noDefaultRoute(e LinkEvidence) []fact.Finding {
	if l := e.withoutDefault(); l != nil && e.Pod {
		return finding(RouteNoDefault, "no routing table has a default route: %s reaches %s", l.Name, destinations(e.Routes, l.Name))
	}
	return nil
}

// withoutDefault is an interface that has an IPv4 address, in a namespace where no
// table has a default route; nil for none.
func (e LinkEvidence) withoutDefault() *fact.Link {
	if !e.AllDefaults || slices.ContainsFunc(e.Routes, isDefault) {
		return nil
	}
	for l := range e.uplinks() {
		ipv4 := func(a fact.Addr) bool { return a.Family == "inet" && a.Scope == "global" }
		if l.Up() && slices.ContainsFunc(l.AddrInfo, ipv4) {
			return l
		}
	}
	return nil
}

// NoWayOut says that nothing leads out of the links' own networks; "" where something
// does, or where a finding says so. Outside of Kubernetes that may be on purpose.
func NoWayOut(e LinkEvidence) string {
	if kind := DefaultRejected(e.Routes); kind != "" {
		return "the IPv4 default route is of type " + kind
	}
	if !e.Pod && !e.Host && e.withoutDefault() != nil {
		return "no default route"
	}
	return ""
}

// isDefault also holds for a default route that rejects what it matches, which
// somebody has set on purpose, and for each part of a default route that was split,
// as 0.0.0.0/1 and 128.0.0.0/1 are by VPNs.
func isDefault(r fact.Route) bool {
	if r.Dst == "default" {
		return true
	}
	const longest = 7 // shorter than the prefix of any network that is given to somebody
	prefix, err := netip.ParsePrefix(r.Dst)
	return err == nil && prefix.Bits() <= longest && !prefix.Addr().IsMulticast()
}

// destinations names what an interface has IPv4 routes to.
func destinations(routes []fact.Route, dev string) string {
	var all []string
	for _, r := range routes {
		if r.Dev == dev && r.Family == "inet" && r.Type == "" {
			all = append(all, r.Dst)
		}
	}
	const most = 3
	switch {
	case len(all) == 0:
		return "nothing by IPv4"
	case len(all) > most:
		return strings.Join(all[:most], ", ") + " and a few more by IPv4"
	}
	return strings.Join(all, ", ") + " alone by IPv4"
}

// DefaultRejected is the type of the default route of an IPv4 table where each one
// rejects what it matches; "" where none does. It is no fault: somebody has set it.
func DefaultRejected(routes []fact.Route) string {
	kind := ""
	for _, r := range routes {
		switch {
		case r.Family != "inet" || r.Dst != "default":
		case r.Type == "":
			return ""
		default:
			kind = r.Type
		}
	}
	return kind
}
