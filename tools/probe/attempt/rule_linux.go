package attempt

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// maxRoutes bounds a table that is searched for the route that refuses.
const maxRoutes = 10_000

// blame finds the rule, or the route, that refuses a look-up as route.Type says. The
// kernel does not tell: it answers such a look-up with an error alone.
func (r *routes) blame(l lookup, route *fact.AttemptRoute) {
	if route.Type == fact.RouteNone {
		return
	}
	r.ruleOf(l, func(rule *netlink.Rule) (done bool) {
		switch {
		case rule.Goto >= 0:
			return true // not followed
		case rule.Table == unix.RT_TABLE_UNSPEC: // the rule itself refuses; the library does not read how
			route.Rule = fmt.Sprintf("%d: %s", rule.Priority, route.Type)
			return true
		}
		match := r.longest(l, rule.Table)
		if match == nil || match.Type == unix.RTN_THROW || prefixLength(match) <= rule.SuppressPrefixlen {
			return false
		}
		if routeType(uint8(match.Type)) == route.Type { //nolint:gosec // a type of route
			describeMatch(route, match)
			route.Rule = ruleText(rule)
		}
		return true
	})
}

// refusing returns what answers as a route of a type, with its prefix where there is
// only one; nil where no route does.
func (r *routes) refusing(kind string, family uint8) *fact.AttemptRoute {
	route := &fact.AttemptRoute{Type: kind}
	if kind == fact.RouteNone {
		return route
	}
	list, err := r.RouteListFiltered(int(family), &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	list = slices.DeleteFunc(list, func(r netlink.Route) bool { return routeType(uint8(r.Type)) != kind }) //nolint:gosec // a type of route
	if err != nil || len(list) == 0 {
		return nil
	}
	if len(list) == 1 {
		describeMatch(route, &list[0])
	}
	return route
}

// describeMatch adds the prefix of a route, and its table where it is neither main nor
// local.
func describeMatch(to *fact.AttemptRoute, match *netlink.Route) {
	to.Dst = "default"
	if match.Dst != nil {
		ip, _ := netip.AddrFromSlice(match.Dst.IP)
		to.Dst = prefixText(ip, prefixLength(match))
	}
	if match.Table != unix.RT_TABLE_MAIN && match.Table != unix.RT_TABLE_LOCAL {
		to.Table = match.Table
	}
}

// ruleOf returns the first policy rule, in the kernel's order, that applies to a
// look-up and that enough accepts; nil for none.
func (r *routes) ruleOf(l lookup, enough func(*netlink.Rule) bool) *netlink.Rule {
	rules, err := r.RuleList(int(familyOf(l.to.Addr())))
	if err != nil {
		return nil
	}
	slices.SortStableFunc(rules, func(a, b netlink.Rule) int { return a.Priority - b.Priority })
	for i := range rules {
		if applies(&rules[i], l) && enough(&rules[i]) {
			return &rules[i]
		}
	}
	return nil
}

// applies reports whether the kernel would take a rule for what a local socket
// without a mark sends (fib_rule_match in net/core/fib_rules.c). Where the source is
// not yet chosen, a rule that asks for one does not apply.
func applies(rule *netlink.Rule, l lookup) bool {
	within := func(n *net.IPNet, ip netip.Addr) bool { return n == nil || n.IP == nil || n.Contains(ip.AsSlice()) }
	port := int(l.to.Port())
	match := within(rule.Src, l.from) && within(rule.Dst, l.to.Addr()) &&
		(rule.IifName == "" || rule.IifName == "lo") && rule.OifName == "" && // a socket bound to no interface
		rule.Mark == 0 && rule.Tos == 0 && rule.TunID == 0 &&
		(rule.IPProto <= 0 || rule.IPProto == unix.IPPROTO_TCP) &&
		rule.Sport == nil && (rule.Dport == nil || int(rule.Dport.Start) <= port && port <= int(rule.Dport.End)) &&
		(rule.UIDRange == nil || rule.UIDRange.Start == 0) // this process is root
	return match != rule.Invert
}

// longest returns the route of a table that covers a look-up's destination with the
// longest prefix; nil for none.
func (r *routes) longest(l lookup, table int) *netlink.Route {
	list, err := r.RouteListFiltered(int(familyOf(l.to.Addr())), &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
	if err != nil || len(list) > maxRoutes {
		return nil
	}
	var best *netlink.Route
	bits := -1
	for i := range list {
		covers := list[i].Dst == nil || list[i].Dst.Contains(l.to.Addr().AsSlice())
		length := prefixLength(&list[i])
		if covers && (length > bits || length == bits && list[i].Priority < best.Priority) {
			best, bits = &list[i], length
		}
	}
	return best
}

func prefixLength(r *netlink.Route) int {
	if r.Dst == nil {
		return 0
	}
	bits, _ := r.Dst.Mask.Size()
	return bits
}

// ruleText names a policy rule; "" for the three that every namespace has.
func ruleText(rule *netlink.Rule) string {
	const local, mainTable, standard = 0, 32766, 32767
	switch rule.Priority {
	case local, mainTable, standard:
		return ""
	}
	return fmt.Sprintf("%d: lookup %d", rule.Priority, rule.Table)
}

func prefixText(ip netip.Addr, bits int) string {
	if bits == 0 || !ip.IsValid() {
		return "default"
	}
	return netip.PrefixFrom(ip.Unmap(), bits).String()
}
