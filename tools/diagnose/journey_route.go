package diagnose

import (
	"fmt"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

// byRouting reports whether a step is a drop by the routing of its network. Kernels
// before 6.0 or so give no reason there, and of a blackhole none does (ip_error in
// net/ipv4/route.c, ip6_forward and ip6_pkt_drop in net/ipv6/).
func byRouting(s *dropped) bool {
	if s.What != fact.StepDropped {
		return false
	}
	switch s.Reason {
	case dropAddressErrors, dropNoRouteIn, dropNoRouteOut:
		return true
	}
	return s.Function == "ip_error" || s.Function == "ip6_forward" || strings.HasPrefix(s.Function, "ip6_pkt_") || strings.HasPrefix(s.Function, "dst_discard")
}

// notForwarding: the node should have passed the packet on and does not forward. The
// reason alone says that of other packets too, so the sysctl decides. A network that is
// not the node's need not forward: a packet for others may have come to it by mistake.
func notForwarding(t *trail) (fact.Cause, string) {
	d := t.end
	if !byRouting(d) || d.Place != fact.PlaceNode || t.doubtful || t.End == nil || t.End.Forwarding == nil || *t.End.Forwarding {
		return "", ""
	}
	sysctl := "net.ipv4.conf." + d.Dev + ".forwarding"
	if isIPv6(d.Dst) {
		sysctl = "net.ipv6.conf.all.forwarding"
	}
	return fact.CauseNotForwarding, fmt.Sprintf("%s is dropped %s, which does not forward: %s is 0 there (%s)", t.subject(), d.where(), sysctl, d.by())
}

// routeRefuses: a route, a rule or the want of one ends the packet on the node, or its
// answer, as the network says when it is asked for the packet's way.
func routeRefuses(t *trail) (fact.Cause, string) {
	d := t.end
	if !byRouting(d) || d.Place == fact.PlaceTarget || d.Place != fact.PlaceNode && !d.Back || t.doubtful || t.End == nil {
		return "", ""
	}
	cause, what := refusing(t.End.Route)
	if cause == "" {
		return "", ""
	}
	if d.Back {
		cause = fact.CauseNoReturn
	}
	return cause, fmt.Sprintf("%s is dropped %s: for %s there is %s there (%s)", t.subject(), d.where(), hostOf(d.Dst), what, d.by())
}

// noReturn: the packet arrived in the network of its destination, from which nothing
// leads back to its source.
func noReturn(t *trail) (fact.Cause, string) {
	d := t.end
	if d.Back || t.doubtful || d.What == fact.StepQueued || t.End == nil {
		return "", ""
	}
	if r := t.End.Route; r != nil && r.Type != fact.RouteLocal {
		return "", "" // not its destination
	}
	cause, what := refusing(t.End.Return)
	if cause == "" {
		return "", ""
	}
	return fact.CauseNoReturn, fmt.Sprintf("%s arrived %s, and no answer can leave: for %s there is %s there", t.subject(), d.where(), hostOf(d.Src), what)
}

// refusing words the route that lets nothing through; "" where it does.
func refusing(r *fact.AttemptRoute) (fact.Cause, string) {
	if r == nil {
		return "", ""
	}
	cause := map[string]fact.Cause{
		fact.RouteNone: fact.CauseUnreachableRoute, fact.RouteBlackhole: fact.CauseBlackhole,
		fact.RouteUnreachable: fact.CauseUnreachableRoute, fact.RouteProhibit: fact.CauseProhibited,
	}[r.Type]
	switch {
	case cause == "":
		return "", ""
	case r.Type == fact.RouteNone:
		return cause, "no route"
	case r.Dst == "" && r.Rule != "":
		return cause, "a policy rule of type " + r.Type + matched(r)
	}
	return cause, "a route of type " + r.Type + matched(r)
}

// neighbourOnTheWay: beyond the target, a next hop has no link-layer address, and so
// nothing was ever handed to the device that leads there. Such drops come late, when the
// kernel gives up (arp(7)), so that they may be those of earlier packets.
func neighbourOnTheWay(t *trail) (fact.Cause, string) {
	var d *dropped
	for i := range t.Steps {
		if s := &t.Steps[i]; isUnresolved(s) && !s.Back && s.Place != fact.PlaceTarget {
			d = &dropped{JourneyStep: s}
		}
	}
	if d == nil || t.answered() || slices.ContainsFunc(t.Steps, func(s fact.JourneyStep) bool {
		return s.What == fact.StepQueued && s.NetnsInode == d.NetnsInode && s.Ifindex == d.Ifindex && !s.Back
	}) {
		return "", ""
	}
	hop := "the next hop"
	if n := t.NextHop; d.Place == fact.PlaceNode && n != nil {
		if hop += ", " + n.Dst + ","; n.Dst == hostOf(d.Dst) {
			hop = n.Dst
		}
	}
	return fact.CauseNeighbourSilent, fmt.Sprintf("%s gets no further %s: %s answers no %s there (%s)", t.subjectAt(d.JourneyStep), d.where(), hop, resolution(d.Dst), d.by())
}

// resolution names how a link-layer address is asked for.
func resolution(address string) string {
	if isIPv6(address) {
		return "neighbour discovery"
	}
	return "ARP"
}

// isIPv6 reports whether an address, with or without a port, is one of IPv6.
func isIPv6(address string) bool { return strings.Count(address, ":") > 1 }
