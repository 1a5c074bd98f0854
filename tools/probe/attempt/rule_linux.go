package attempt

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// The actions of a policy rule (linux/fib_rules.h) that are looked at. Those that
// refuse have the numbers of the types of routes that do.
const (
	ruleToTable = 1
	ruleNothing = 3
)

// policyRule is one rule of policy routing (ip-rule(8)).
type policyRule struct {
	action          uint8
	priority, table int
	suppress        int // prefixes up to this length do not count; -1 for none
	src, dst        netip.Prefix
	// foreign: it asks for what a socket of this process does not have, as a mark, a
	// TOS or another user.
	foreign  bool
	iif      string    // the interface by which packets come in; "" for every
	protocol uint8     // 0 for every
	ports    [2]uint16 // of the destination; 0 for every
	invert   bool
}

// parseRule reads struct fib_rule_hdr and its attributes (linux/fib_rules.h).
func parseRule(message []byte) (policyRule, error) {
	if len(message) < unix.SizeofRtMsg { // the same layout, with the action as the type
		return policyRule{}, errShortMessage
	}
	const flagInvert = 2
	head := nl.DeserializeRtMsg(message)
	attributes, err := nl.ParseRouteAttr(message[unix.SizeofRtMsg:])
	if err != nil {
		return policyRule{}, err
	}
	rule := policyRule{action: head.Type, table: int(head.Table), suppress: -1, invert: head.Flags&flagInvert != 0, foreign: head.Tos != 0}
	prefix := func(b []byte, bits uint8) netip.Prefix {
		ip, _ := netip.AddrFromSlice(b)
		return netip.PrefixFrom(ip, int(bits))
	}
	for _, a := range attributes {
		number := 0
		if len(a.Value) == 4 {
			number = int(int32(binary.NativeEndian.Uint32(a.Value))) //nolint:gosec // -1 for none
		}
		switch a.Attr.Type {
		case nl.FRA_SRC:
			rule.src = prefix(a.Value, head.Src_len)
		case nl.FRA_DST:
			rule.dst = prefix(a.Value, head.Dst_len)
		case nl.FRA_PRIORITY:
			rule.priority = number
		case nl.FRA_TABLE:
			rule.table = number
		case nl.FRA_SUPPRESS_PREFIXLEN:
			rule.suppress = number
		case nl.FRA_IP_PROTO:
			rule.protocol = a.Value[0]
		case nl.FRA_DPORT_RANGE:
			if len(a.Value) == 4 {
				rule.ports = [2]uint16{binary.NativeEndian.Uint16(a.Value), binary.NativeEndian.Uint16(a.Value[2:])}
			}
		case nl.FRA_IIFNAME:
			rule.iif = unix.ByteSliceToString(a.Value)
		case nl.FRA_UID_RANGE: // this process is root, and the first number is the lowest user
			rule.foreign = rule.foreign || len(a.Value) == 8 && binary.NativeEndian.Uint32(a.Value) != 0
		case nl.FRA_FWMARK:
			rule.foreign = rule.foreign || number != 0
		case nl.FRA_OIFNAME, nl.FRA_TUN_ID, nl.FRA_SPORT_RANGE, nl.FRA_L3MDEV:
			rule.foreign = true
		}
	}
	return rule, nil
}

// applies reports whether the kernel would take a rule for a packet without a mark
// (fib_rule_match in net/core/fib_rules.c). What is sent from here comes from loopback. Where the source is
// not yet chosen, a rule that asks for one does not apply.
func (rule *policyRule) applies(l lookup) bool {
	within := func(p netip.Prefix, ip netip.Addr) bool { return !p.IsValid() || p.Contains(ip.WithZone("")) }
	match := !rule.foreign && (rule.iif == "" || rule.iif == cmp.Or(l.in, "lo")) && within(rule.src, l.from) && within(rule.dst, l.to.Addr()) &&
		(rule.protocol == 0 || rule.protocol == l.proto()) &&
		(rule.ports == [2]uint16{} || rule.ports[0] <= l.to.Port() && l.to.Port() <= rule.ports[1])
	return match != rule.invert
}

// text names a policy rule; "" for the three that every namespace has.
func (rule *policyRule) text() string {
	const local, mainTable, standard = 0, 32766, 32767
	switch rule.priority {
	case local, mainTable, standard:
		return ""
	}
	return fmt.Sprintf("%d: lookup %d", rule.priority, rule.table)
}

// ruleOf returns the first policy rule, in the kernel's order, that applies to a
// look-up and that enough accepts; nil for none.
func (r *routes) ruleOf(ctx context.Context, l lookup, enough func(*policyRule) bool) *policyRule {
	messages, complete, err := r.Dump(ctx, unix.RTM_GETRULE, unix.RTM_NEWRULE, &nl.RtMsg{RtMsg: unix.RtMsg{Family: familyOf(l.to.Addr())}})
	if err != nil || !complete {
		return nil
	}
	rules := make([]policyRule, len(messages))
	for i, b := range messages {
		if rules[i], err = parseRule(b); err != nil {
			return nil
		}
	}
	slices.SortStableFunc(rules, func(a, b policyRule) int { return a.priority - b.priority })
	for i := range rules {
		if rules[i].applies(l) && enough(&rules[i]) {
			return &rules[i]
		}
	}
	return nil
}

// blame finds the rule, or the route, that refuses a look-up as route.Type says. The
// kernel does not tell: it answers such a look-up with an error alone. Only routes of
// this type are looked at: had another one matched, there would be no such error.
func (r *routes) blame(ctx context.Context, l lookup, route *fact.AttemptRoute) {
	if route.Type == fact.RouteNone {
		return
	}
	r.ruleOf(ctx, l, func(rule *policyRule) (done bool) {
		switch {
		case rule.action == ruleNothing:
			return false
		case routeType(rule.action) == route.Type && rule.action != ruleToTable:
			route.Rule = fmt.Sprintf("%d: %s", rule.priority, route.Type)
			return true
		case rule.action != ruleToTable:
			return true // not followed
		}
		match, err := r.longest(ctx, l, rule.table, route.Type)
		if match == nil || int(match.bits) <= rule.suppress {
			return err != nil
		}
		describeMatch(route, match)
		route.Rule = rule.text()
		return true
	})
}

// longest returns the route of a type that covers a look-up's destination with the
// longest prefix in a table; nil for none, and where a route of type throw covers it
// with one as long, which leads on to the next rule.
func (r *routes) longest(ctx context.Context, l lookup, table int, kind string) (best *found, err error) {
	throws := -1
	for _, number := range [...]uint8{unix.RTN_THROW, refusing[kind]} {
		err := eachRoute(ctx, r.of, familyOf(l.to.Addr()), table, number, func(way found) bool {
			covers := way.bits == 0 || netip.PrefixFrom(way.dst, int(way.bits)).Contains(l.to.Addr().WithZone(""))
			switch {
			case way.special || !covers:
			case number == unix.RTN_THROW:
				throws = max(throws, int(way.bits))
			case best == nil || way.bits > best.bits:
				best = &way
			}
			return true
		})
		if err != nil {
			return nil, err
		}
	}
	if best != nil && throws >= int(best.bits) {
		return nil, nil
	}
	return best, nil
}

// refusing are the types of routes that refuse.
var refusing = map[string]uint8{
	fact.RouteBlackhole: unix.RTN_BLACKHOLE, fact.RouteUnreachable: unix.RTN_UNREACHABLE, fact.RouteProhibit: unix.RTN_PROHIBIT,
}

// refuses returns what answers as a route of a type, with its prefix where there is
// only one; nil where no route does.
func (r *routes) refuses(ctx context.Context, kind string, family uint8) *fact.AttemptRoute {
	route := &fact.AttemptRoute{Type: kind}
	if kind == fact.RouteNone {
		return route
	}
	var first *found
	count := 0
	err := eachRoute(ctx, r.of, family, unix.RT_TABLE_UNSPEC, refusing[kind], func(way found) bool {
		if count++; first == nil {
			first = &way
		}
		return true
	})
	if err != nil || first == nil {
		return nil
	}
	if count == 1 {
		describeMatch(route, first)
	}
	return route
}

// describeMatch adds the prefix of a route, and its table where it is neither main nor
// local.
func describeMatch(to *fact.AttemptRoute, match *found) {
	to.Dst = prefixText(match.dst, int(match.bits))
	if match.table != unix.RT_TABLE_MAIN && match.table != unix.RT_TABLE_LOCAL {
		to.Table = match.table
	}
}

func prefixText(ip netip.Addr, bits int) string {
	if bits == 0 || !ip.IsValid() {
		return "default"
	}
	return netip.PrefixFrom(ip.Unmap(), bits).String()
}
