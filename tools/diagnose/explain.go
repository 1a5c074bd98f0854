package diagnose

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

// Explain sets from the facts of an attempt its outcome, its cause and their wording.
// What the facts do not prove is worded as a possibility, under a cause without a
// finding of its own. An attempt that was refused by policy or given up keeps what it
// has.
func Explain(a *fact.Attempt) {
	if a.Outcome == fact.OutcomeDenied || a.Outcome == fact.OutcomeAbandoned {
		return
	}
	if a.Outcome == fact.OutcomeOK {
		explainSlow(a)
		return
	}
	e := explanation{a}
	if a.Packet != "" {
		e.question()
		return
	}
	switch a.Errno {
	case "ECONNREFUSED":
		e.refused()
	case "ETIMEDOUT":
		e.silent()
	case "ENETUNREACH", "EHOSTUNREACH", "EINVAL", "EACCES", "EHOSTDOWN", "EPROTO", "EOPNOTSUPP", "ENOPROTOOPT", "EAFNOSUPPORT":
		e.unreachable()
	case "EADDRNOTAVAIL":
		e.noAddress()
	case "EPERM":
		e.set(fact.OutcomeBlockedLocally, fact.CauseNotPermitted,
			"connect was not permitted: a BPF program on the cgroup or a security module on this node refuses it")
	case "ECONNRESET":
		e.set(fact.OutcomeReset, fact.CauseUnknown, "the connection was reset while it was being made")
	default:
		e.set(fact.OutcomeUnreachable, fact.CauseLocalError, "the target's own kernel answered %s", a.Errno)
	}
}

// explainSlow: the timer of the first SYN is one second (RFC 6298), so a
// connection that needed repetitions took that much longer.
func explainSlow(a *fact.Attempt) {
	if a.AgainAfterMS > 0 {
		a.Why = fmt.Sprintf("connected at the second try: the first met, after %s, the end of a search for the next hop that had begun before", ms(a.AgainAfterMS))
	}
	if a.SYNRetransmits == 0 {
		return
	}
	a.Cause = fact.CauseSlow
	a.Why = fmt.Sprintf("connected only after the SYN was sent %s: %s unanswered",
		times(a.SYNRetransmits+1), plural(a.SYNRetransmits, "SYN was", "SYNs were"))
}

type explanation struct{ *fact.Attempt }

func (e explanation) set(outcome fact.Outcome, cause fact.Cause, format string, args ...any) {
	e.Outcome, e.Cause = outcome, cause
	e.Why = fmt.Sprintf(format, args...)
}

// to is where the connection went after the target's own NAT.
func (e explanation) to() string {
	if e.SentTo != "" {
		return e.SentTo
	}
	return e.Address
}

// asked names the destination, and where the target's own NAT led instead.
func (e explanation) asked() string {
	if e.SentTo == "" {
		return e.Address
	}
	return fmt.Sprintf("%s, rewritten by the target's own NAT to %s,", e.Address, e.SentTo)
}

// local reports whether the destination is in the namespace itself.
func (e explanation) local() bool { return e.Route != nil && e.Route.Type == fact.RouteLocal }

// ownRST: a RST that a firewall makes is not counted, one of TCP itself is. So
// where none was counted, a RST that was made in the namespace is a firewall's.
func (e explanation) ownRST() bool { return e.Counters["Tcp.OutRsts"] > 0 }

func (e explanation) refused() {
	switch answer := e.Answer; {
	case answer == nil && e.Counters["Icmp.InDestUnreachs"]+e.Counters["Icmp6InDestUnreachs"] > 0:
		e.set(fact.OutcomeRefused, fact.CauseICMP,
			"refused, probably by an ICMP error, as the counter of those moved: a firewall, or a service without endpoints")
	case answer != nil && answer.Kind == "icmp" && answer.Own:
		e.ownICMP()
	case answer != nil && answer.Kind == "icmp":
		e.byICMP(fact.OutcomeRefused)
	case e.local() && e.SentTo != "":
		e.redirected()
	case e.local():
		e.refusedHere()
	case answer != nil && answer.Own && (e.SendErrno == "EPERM" || !e.ownRST()):
		e.set(fact.OutcomeBlockedLocally, fact.CausePodReject,
			"refused by the target's own firewall: the RST in the name of %s was made in the target itself", e.Address)
	case answer != nil && answer.Own:
		e.set(fact.OutcomeRefused, fact.CauseResetAnswer,
			"the target itself made the RST in the name of %s: by a firewall rule, or by NAT to a closed port of the target", e.Address)
	case e.SentTo != "":
		e.set(fact.OutcomeRefused, fact.CauseResetAnswer,
			"a RST came back; the target's own NAT had rewritten %s to %s: nothing listens there, or a firewall there or on the way resets", e.Address, e.SentTo)
	default:
		e.set(fact.OutcomeRefused, fact.CauseResetAnswer,
			"a RST came back in the name of %s: nothing listens there, or a firewall there or on the way resets", e.Address)
	}
}

// redirected: the target's own NAT leads to the target itself.
func (e explanation) redirected() {
	if listensOn(e.Listeners, e.SentTo) {
		e.set(fact.OutcomeRefused, fact.CauseResetAnswer,
			"a RST came back; the target's own NAT redirects %s to %s in the target itself, where something listens by now", e.Address, e.SentTo)
		return
	}
	e.set(fact.OutcomeRefused, fact.CauseRedirected,
		"the target's own NAT redirects %s to %s in the target itself, where nothing listens: a service mesh's proxy that is not running?", e.Address, e.SentTo)
}

// refusedHere: both ends are in the namespace, so its sockets are known.
func (e explanation) refusedHere() {
	port := portOf(e.Address)
	on := onPort(e.Listeners, e.Address)
	switch {
	case e.Listeners == nil:
		e.set(fact.OutcomeRefused, fact.CauseResetAnswer, "%s, an address of the target itself, answered with RST", e.Address)
	case len(e.Listeners) == 0:
		e.set(fact.OutcomeRefused, fact.CauseNoListener, "%s is the target itself, and nothing in the target listens on any TCP port", e.Address)
	case len(on) == 0:
		e.set(fact.OutcomeRefused, fact.CauseNoListener,
			"%s is the target itself, and nothing in the target listens on port %s, but on %s", e.Address, port, some(e.Listeners))
	case !listensOn(e.Listeners, e.Address):
		e.set(fact.OutcomeRefused, fact.CauseListenElsewhere,
			"%s is the target itself, where port %s is listened on only at %s", e.Address, port, strings.Join(on, ", "))
	case !e.ownRST():
		e.set(fact.OutcomeBlockedLocally, fact.CausePodReject,
			"refused by the target's own firewall: %s is the target itself, something does listen there, and TCP made no RST", e.Address)
	default:
		e.set(fact.OutcomeRefused, fact.CauseResetAnswer,
			"%s is the target itself and answered with RST; port %s has a listener at %s, which does not take this address or began only now",
			e.Address, port, strings.Join(on, ", "))
	}
}

// ownICMP: the namespace itself made the ICMP error. EPERM for the same SYN is the
// verdict of a packet filter.
func (e explanation) ownICMP() {
	if e.SendErrno == "EPERM" {
		e.set(fact.OutcomeBlockedLocally, fact.CausePodReject,
			"refused by the target's own firewall, which made the ICMP error (%s)", e.Answer.ICMP)
		return
	}
	if e.local() && e.Answer.Kind == "icmp" && rejects(e.Answer.ICMP) && e.SentTo == "" && listensOn(e.Listeners, e.Address) {
		e.set(fact.OutcomeBlockedLocally, fact.CausePodReject, "refused by the target's own firewall: %s is the target itself, a listener is there, "+
			"and the target made the ICMP error (%s), as TCP never does", e.Address, e.Answer.ICMP)
		return
	}
	e.set(e.Outcome, fact.CauseICMP, "the target itself made the ICMP error (%s): by a firewall rule, or because the SYN cannot be passed on", e.Answer.ICMP)
}

func (e explanation) unreachable() {
	if e.onTheWay() {
		return
	}
	kind := ""
	if e.Route != nil {
		kind = e.Route.Type
	}
	switch answer := e.Answer; {
	case answer != nil && !answer.Own:
		e.byICMP(fact.OutcomeUnreachable)
	case e.Neigh.Failed():
		e.noNeighbour(fact.OutcomeUnreachable)
	case answer != nil: // made here, and not because of the next hop
		e.ownICMP()
	case e.Errno == "EAFNOSUPPORT":
		e.set(fact.OutcomeUnreachable, fact.CauseNoAddress, "this kernel has no IPv6")
	case e.refusedByRoute(kind, "the target"):
	case e.Local == "": // connect(2) failed before it chose a port
		e.set(fact.OutcomeUnreachable, fact.CauseLocalError, "the target's own kernel answered %s at once, although routes lead to %s%s: "+
			"a BPF program on the cgroup, or a rule for this user or mark, may refuse", e.Errno, hostOf(e.Address), e.matched())
	default:
		e.set(fact.OutcomeUnreachable, fact.CauseUnknown, "the kernel answered %s after %s, although routes lead to %s%s: perhaps after an ICMP error that was not seen",
			e.Errno, ms(e.MS), hostOf(e.Address), e.matched())
	}
}

// refusedByRoute: the kernel found no way that it may take.
func (e explanation) refusedByRoute(kind, where string) bool {
	var cause fact.Cause
	what := "covers"
	switch kind {
	case fact.RouteNone:
		e.set(fact.OutcomeUnreachable, fact.CauseNoRoute, "%s has no route to %s", where, hostOf(e.Address))
		return true
	case fact.RouteBlackhole:
		cause, what = fact.CauseBlackhole, "discards what goes to"
	case fact.RouteUnreachable:
		cause = fact.CauseUnreachableRoute
	case fact.RouteProhibit:
		cause = fact.CauseProhibited
	default:
		return false
	}
	which := "route or rule of type " + kind
	switch {
	case e.Route.Dst != "":
		which = "route of type " + kind
	case e.Route.Rule != "":
		which = "policy rule of type " + kind
	}
	e.set(fact.OutcomeUnreachable, cause, "a %s in %s %s %s%s", which, where, what, hostOf(e.Address), e.matched())
	return true
}

// matched is the route that the kernel picked: prefix, table and policy rule.
func (e explanation) matched() string {
	if e.Route == nil {
		return ""
	}
	return matched(e.Route)
}

func matched(r *fact.AttemptRoute) string {
	var parts []string
	if r.Dst != "" {
		parts = append(parts, "prefix "+r.Dst)
	}
	if r.Table != 0 {
		parts = append(parts, fmt.Sprintf("table %d", r.Table))
	}
	if r.Rule != "" {
		parts = append(parts, "rule "+r.Rule)
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// byICMP: somebody else on the way said no. An error in the destination's own name
// need not be the destination's: conntrack writes the address that was asked into
// what the node, or a router behind NAT, answers (nf_nat_icmp_reply_translation in
// the kernel's net/netfilter/nf_nat_proto.c), and so does a filter on a bridge.
func (e explanation) byICMP(outcome fact.Outcome) {
	meaning := ""
	switch e.Answer.ICMP {
	case "port unreachable":
		meaning = ": a firewall rule, or a service without endpoints"
	case "net administratively prohibited", "host administratively prohibited", "administratively prohibited":
		meaning = ": a firewall rule"
	case "host unreachable", "address unreachable":
		meaning = ": the destination does not answer on that host's link"
	case "net unreachable", "no route":
		meaning = ": that host has no route"
	case "time exceeded":
		meaning = ": a routing loop"
	}
	switch from := e.Answer.From; {
	case e.refusedByNode():
	case from == hostOf(e.Address) && passesOn(e.Answer.ICMP):
		e.set(outcome, fact.CauseICMP, "ICMP %s came back in the destination's own name: "+
			"the backend of a translated (service) address cannot be reached, or a firewall there answers so", e.Answer.ICMP)
	case from == hostOf(e.Address):
		e.set(outcome, fact.CauseICMP, "ICMP %s came back in the name of %s, from there or from a translating host%s",
			e.Answer.ICMP, from, meaning)
	case e.answererIsNode():
		e.set(outcome, fact.CauseICMP, "the node (%s) answered with ICMP %s%s", from, e.Answer.ICMP, meaning)
	case e.Route != nil && from == e.Route.Gateway:
		e.set(outcome, fact.CauseICMP, "the gateway %s answered with ICMP %s%s", from, e.Answer.ICMP, meaning)
	default:
		e.set(outcome, fact.CauseICMP, "router %s answered with ICMP %s%s", from, e.Answer.ICMP, meaning)
	}
}

// rejects: the ICMP error is one of packet filters. For a closed port TCP sends RST
// (tcp_v4_send_reset in the kernel's net/ipv4/tcp_ipv4.c).
func rejects(icmp string) bool {
	switch icmp {
	case "port unreachable", "net administratively prohibited", "host administratively prohibited", "administratively prohibited":
		return true
	}
	return false
}

// passesOn: the ICMP error is one by which a router says that it cannot pass a
// packet on, which a destination has no need to.
func passesOn(icmp string) bool {
	switch icmp {
	case "host unreachable", "address unreachable", "net unreachable", "no route", "time exceeded":
		return true
	}
	return false
}

// refusedByNode: the node's answer is that of a route, or of a rule, that refuses there
// (ip_error in net/ipv4/route.c).
func (e explanation) refusedByNode() bool {
	if !e.answererIsNode() {
		return false
	}
	cause, what := refusing(e.Node.Route)
	if cause == "" {
		return false
	}
	e.set(fact.OutcomeUnreachable, cause, "the node (%s) answered with ICMP %s: for %s there is %s there", e.Answer.From, e.Answer.ICMP, hostOf(cmp.Or(e.Node.SentTo, e.to())), what)
	return true
}

func (e explanation) answererIsNode() bool { return e.Node != nil && e.Node.IsAnswerer }

func (e explanation) noAddress() {
	ip, err := netip.ParseAddrPort(e.Address)
	switch {
	case err == nil && ip.Addr().Unmap().Is6() && (e.Route == nil || e.Route.PrefSrc == ""):
		e.PortRange = nil
		e.set(fact.OutcomeUnreachable, fact.CauseNoAddress, "the target has no IPv6 address to connect from")
	case len(e.PortRange) == 2:
		e.set(fact.OutcomeNoPort, fact.CausePortsExhausted,
			"all local ports for connections to %s are taken: ip_local_port_range is %d-%d", e.Address, e.PortRange[0], e.PortRange[1])
	default:
		e.set(fact.OutcomeNoPort, fact.CausePortsExhausted, "all local ports for connections to %s are taken", e.Address)
	}
}

// onPort returns the listeners on the port of address.
func onPort(listeners []string, address string) []string {
	port := ":" + portOf(address)
	return slices.DeleteFunc(slices.Clone(listeners), func(l string) bool { return !strings.HasSuffix(l, port) })
}

// some are the first of a list.
func some(list []string) string {
	const shown = 5
	if len(list) <= shown {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:shown], ", "), len(list)-shown)
}

// listensOn reports whether one of the listeners would take a connection to address.
func listensOn(listeners []string, address string) bool {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	ip := to.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(listeners, func(text string) bool {
		l, err := netip.ParseAddrPort(text)
		if err != nil || l.Port() != to.Port() {
			return false
		}
		// Whether [::] takes IPv4 as well is up to the listener (IPV6_V6ONLY).
		at := l.Addr()
		return at.Unmap() == ip || at == netip.IPv6Unspecified() || at == netip.IPv4Unspecified() && ip.Is4()
	})
}

func hostOf(address string) string {
	if a, err := netip.ParseAddrPort(address); err == nil {
		return a.Addr().Unmap().String()
	}
	return address
}

func portOf(address string) string {
	if a, err := netip.ParseAddrPort(address); err == nil {
		return fmt.Sprint(a.Port())
	}
	return ""
}

func times(n int) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func ms(value float64) string { return fmt.Sprintf("%.0f ms", math.Ceil(value)) }
