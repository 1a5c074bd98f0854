package attempt

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

// The types of routes by which an attempt is judged.
const (
	routeNone        = "none"
	routeLocal       = "local"
	routeBlackhole   = "blackhole"
	routeUnreachable = "unreachable"
	routeProhibit    = "prohibit"
)

// Explain sets the outcome of an attempt that failed, and of any attempt the
// cause and its wording, from the facts that the attempt already holds.
func Explain(a *fact.Attempt) {
	if a.Outcome == fact.OutcomeOK {
		explainSlow(a)
		return
	}
	e := explanation{a}
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
		e.set(fact.OutcomeUnreachable, fact.CauseUnknown, "the kernel answered %s", a.Errno)
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

// local reports whether the destination is in the namespace itself.
func (e explanation) local() bool { return e.Route != nil && e.Route.Type == routeLocal }

func (e explanation) refused() {
	switch answer := e.Answer; {
	case answer == nil && e.Counters["Icmp.InDestUnreachs"]+e.Counters["Icmp6InDestUnreachs"] > 0:
		e.set(fact.OutcomeRefused, fact.CauseICMP,
			"refused, probably by an ICMP error, as the counter of those moved: a firewall, or a service without endpoints")
	case answer == nil && !e.local():
		e.reset(e.Address)
	case answer != nil && answer.Kind == "icmp" && answer.Own:
		e.set(fact.OutcomeBlockedLocally, fact.CausePodReject,
			"refused by the target's own firewall: it made the ICMP error (%s) itself", answer.ICMP)
	case answer != nil && answer.Kind == "icmp":
		e.byICMP(fact.OutcomeRefused)
	case e.local():
		e.refusedHere()
	case answer.Own && e.Counters["Tcp.OutRsts"] > 0:
		// A RST that a firewall makes is not counted, one of TCP itself is.
		e.set(fact.OutcomeRefused, fact.CauseRedirected,
			"the target's own NAT redirects the connection to the target itself, where nothing listens: a service mesh's proxy that is not running?")
	case answer.Own:
		e.set(fact.OutcomeBlockedLocally, fact.CausePodReject,
			"refused by the target's own firewall: the RST in the name of %s was made in the target itself", e.Address)
	default:
		e.reset(answer.From)
	}
}

// reset: a RST came in the name of from, which somebody else may have made where
// the target's own NAT leads elsewhere.
func (e explanation) reset(from string) {
	if e.Wire != nil && e.Wire.SentTo != "" {
		e.set(fact.OutcomeRefused, fact.CauseResetAnswer,
			"a RST came back; the target's own NAT had rewritten %s to %s: nothing listens there, or a firewall there resets", e.Address, e.Wire.SentTo)
		return
	}
	e.set(fact.OutcomeRefused, fact.CauseResetAnswer, "%s answered with RST: nothing listens there, or a firewall there resets", from)
}

// refusedHere: both ends are in the namespace, so its sockets are known.
func (e explanation) refusedHere() {
	port := portOf(e.Address)
	switch {
	case e.Listeners == nil:
		e.set(fact.OutcomeRefused, fact.CauseResetAnswer, "%s, an address of the target itself, answered with RST", e.Address)
	case len(e.Listeners) == 0:
		e.set(fact.OutcomeRefused, fact.CauseNoListener,
			"%s is the target itself, and nothing in it listens on port %s", e.Address, port)
	case !listensOn(e.Listeners, e.Address):
		e.set(fact.OutcomeRefused, fact.CauseListenElsewhere,
			"%s is the target itself, where port %s is listened on only at %s", e.Address, port, strings.Join(e.Listeners, ", "))
	default:
		e.set(fact.OutcomeBlockedLocally, fact.CausePodReject,
			"refused by the target's own firewall: %s is the target itself, and something does listen there", e.Address)
	}
}

func (e explanation) unreachable() {
	answer := e.Answer
	kind := ""
	if e.Route != nil {
		kind = e.Route.Type
	}
	switch {
	case answer != nil && !answer.Own:
		e.byICMP(fact.OutcomeUnreachable)
	case e.unresolved():
		e.noNeighbour(fact.OutcomeUnreachable)
	case answer != nil: // made here, and not because of the next hop
		e.set(fact.OutcomeBlockedLocally, fact.CausePodReject,
			"refused by the target's own firewall: it made the ICMP error (%s) itself", answer.ICMP)
	case e.Errno == "EAFNOSUPPORT":
		e.set(fact.OutcomeUnreachable, fact.CauseNoAddress, "this kernel has no IPv6")
	case kind == routeNone:
		e.set(fact.OutcomeUnreachable, fact.CauseNoRoute, "the target has no route to %s", hostOf(e.Address))
	case kind == routeBlackhole:
		e.set(fact.OutcomeUnreachable, fact.CauseBlackhole, "a blackhole route in the target discards what goes to %s", hostOf(e.Address))
	case kind == routeUnreachable:
		e.set(fact.OutcomeUnreachable, fact.CauseUnreachableRoute,
			"a route or rule of type unreachable in the target covers %s", hostOf(e.Address))
	case kind == routeProhibit:
		e.set(fact.OutcomeUnreachable, fact.CauseProhibited,
			"a route or rule of type prohibit in the target covers %s", hostOf(e.Address))
	default:
		e.set(fact.OutcomeUnreachable, fact.CauseUnknown, "the kernel answered %s, though its routes lead to %s", e.Errno, hostOf(e.Address))
	}
}

// passesOn: the ICMP error is one by which a router says that it cannot pass a
// packet on, which a destination has no need to. In its name they come where its
// address is translated: conntrack writes that into what a router behind it answers
// (nf_nat_icmp_reply_translation in the kernel's net/netfilter/nf_nat_proto.c).
func passesOn(icmp string) bool {
	switch icmp {
	case "host unreachable", "address unreachable", "net unreachable", "no route", "time exceeded":
		return true
	}
	return false
}

// byICMP: somebody else on the way said no.
func (e explanation) byICMP(outcome fact.Outcome) {
	who := "router " + e.Answer.From
	switch {
	case e.Answer.From == hostOf(e.Address) && passesOn(e.Answer.ICMP):
		e.set(outcome, fact.CauseICMP, "ICMP %s came back in the destination's own name: its address is translated (a service), "+
			"and what is behind it cannot be reached; or a firewall there answers so", e.Answer.ICMP)
		return
	case e.Answer.From == hostOf(e.Address):
		who = "the destination itself"
	case e.Route != nil && e.Answer.From == e.Route.Gateway:
		who = "the gateway " + e.Answer.From
	}
	meaning := ""
	switch e.Answer.ICMP {
	case "port unreachable":
		meaning = ": a firewall rule, or a service without endpoints"
	case "net administratively prohibited", "host administratively prohibited", "administratively prohibited":
		meaning = ": a firewall rule"
	case "host unreachable", "address unreachable":
		meaning = ": it cannot reach the destination on its own link"
	case "net unreachable", "no route":
		meaning = ": it has no route"
	case "time exceeded":
		meaning = ": a routing loop"
	}
	e.set(outcome, fact.CauseICMP, "%s answered with ICMP %s%s", who, e.Answer.ICMP, meaning)
}

// unresolved: the next hop's link-layer address was asked for in vain.
func (e explanation) unresolved() bool {
	return e.Neigh != nil && (e.Neigh.State == "FAILED" || e.Neigh.State == "INCOMPLETE")
}

// stale: the kernel still has a link-layer address of the next hop, but nobody
// answers for it any more. Entries that were set by hand (some CNIs do) need no
// answer.
func (e explanation) stale() bool {
	const tries = 2
	return e.Neigh != nil && e.Neigh.State != "PERMANENT" && e.Neigh.State != "NOARP" &&
		e.Wire != nil && e.Wire.Asked >= tries && e.Wire.Answered == 0
}

func (e explanation) noNeighbour(outcome fact.Outcome) {
	protocol := "ARP"
	if ip, err := netip.ParseAddr(e.Neigh.Dst); err == nil && ip.Is6() {
		protocol = "neighbour discovery"
	}
	switch {
	case e.Route.OperState != "":
		e.linkDown(outcome)
	case e.Route.Gateway != "":
		e.set(outcome, fact.CauseGatewaySilent,
			"the gateway %s does not answer %s on %s, %s", e.Route.Gateway, protocol, e.Route.Dev, e.sentOrNot())
	default:
		e.set(outcome, fact.CauseNeighbourSilent,
			"%s should be on the link of %s, but does not answer %s, %s", e.Neigh.Dst, e.Route.Dev, protocol, e.sentOrNot())
	}
}

func (e explanation) sentOrNot() string {
	if e.unresolved() {
		return "so nothing was sent"
	}
	return "and what is sent to its old address is lost"
}

func (e explanation) linkDown(outcome fact.Outcome) {
	e.set(outcome, fact.CauseLinkDown, "the route leads out by %s, whose state is %s", e.Route.Dev, e.Route.OperState)
}

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

// firstRepeat is when a SYN is repeated for the first time, in milliseconds
// (RFC 6298, section 2.1), with what a busy machine may add.
const firstRepeat = 1200

// silent: nothing came back.
func (e explanation) silent() {
	sent, seen := e.SYNRetransmits > 0, e.Wire != nil && e.Wire.SYNOut > 0
	switch {
	case e.Wire != nil && e.Wire.SYNACKIn > 0:
		e.answerDropped()
	case e.Wire != nil && e.Wire.SentTo != "":
		e.lostElsewhere()
	case e.local():
		e.silentHere()
	case e.unresolved():
		e.noNeighbour(fact.OutcomeTimeout)
	case e.Route != nil && e.Route.OperState != "":
		e.linkDown(fact.OutcomeTimeout)
	case sent && !seen && e.eachSendFailed():
		e.set(fact.OutcomeBlockedLocally, fact.CausePodDropOut,
			"the target's own firewall or traffic control drops the SYN: the kernel was refused each time it tried to send it again")
	case e.stale():
		e.noNeighbour(fact.OutcomeTimeout)
	case sent || seen:
		e.lost()
	case e.MS < firstRepeat:
		e.set(fact.OutcomeTimeout, fact.CauseTooShort,
			"no answer within %s; a lost SYN is repeated only after a second, so allow more time to tell why", ms(e.MS))
	default:
		e.set(fact.OutcomeTimeout, fact.CauseUnknown, "no answer within %s", ms(e.MS))
	}
}

// eachSendFailed: at least as many repetitions could not be sent, in the whole
// namespace, as this connection had.
func (e explanation) eachSendFailed() bool {
	return e.Counters["TcpExt.TCPRetransFail"] >= uint64(max(e.SYNRetransmits, 0))
}

// answerDropped: the answer was at an interface of the target, and TCP did not
// get it.
func (e explanation) answerDropped() {
	switch {
	case e.Counters["TcpExt.IPReversePathFilter"] > 0:
		e.set(fact.OutcomeBlockedLocally, fact.CauseReversePath,
			"the answer arrived and was dropped by rp_filter: it came in by another interface than the one the route uses")
	case e.Counters["Tcp.InCsumErrors"] > 0:
		e.set(fact.OutcomeTimeout, fact.CauseChecksum, "the answer arrived with a wrong checksum and was dropped")
	default:
		e.set(fact.OutcomeBlockedLocally, fact.CausePodDropIn,
			"the answer arrived at the target and was dropped inside it: its own firewall, on the way in")
	}
}

// silentHere: both ends are in the namespace.
func (e explanation) silentHere() {
	switch {
	case e.Route.OperState != "":
		e.linkDown(fact.OutcomeTimeout)
	case e.Counters["TcpExt.ListenOverflows"] > 0 && len(e.Listeners) > 0:
		e.set(fact.OutcomeTimeout, fact.CauseAcceptQueue,
			"%s is the target itself, and its listener's accept queue is full: the application does not accept", e.Address)
	case len(e.Listeners) > 0 && !listensOn(e.Listeners, e.Address), e.Listeners != nil && len(e.Listeners) == 0,
		e.Wire != nil && e.Wire.SYNOut > 0:
		e.set(fact.OutcomeBlockedLocally, fact.CausePodDropIn,
			"%s is the target itself: only its own firewall can keep the answer back", e.Address)
	case e.Counters["TcpExt.TCPRetransFail"] > 0:
		e.set(fact.OutcomeBlockedLocally, fact.CausePodDropOut, "the target's own firewall drops the SYN on its way out")
	default:
		e.set(fact.OutcomeTimeout, fact.CauseUnknown, "%s is the target itself, and does not answer within %s", e.Address, ms(e.MS))
	}
}

// lost: the SYN went to a next hop that is there, as far as the kernel knows. A
// gateway may be dead and still have a link-layer address in the kernel's table:
// only one that answered meanwhile is past suspicion.
func (e explanation) lost() {
	where := "beyond the target"
	to := ""
	if e.Route != nil && e.Route.Dev != "" {
		to = " by " + e.Route.Dev
		where = "on the way, or dropped by the destination"
		if e.Route.Gateway != "" {
			to += " to the gateway " + e.Route.Gateway
			where = "at or beyond the gateway"
			if e.Wire != nil && e.Wire.Answered > 0 {
				where = "beyond the gateway"
			}
		}
	}
	if e.Neigh != nil && e.Neigh.Resolved() && e.Neigh.Lladdr != "" {
		if e.Route != nil && e.Route.Gateway != "" {
			to += " (" + e.Neigh.Lladdr + ")"
		} else {
			to += " to next hop " + e.Neigh.Lladdr
		}
	}
	e.set(fact.OutcomeTimeout, fact.CauseLost, "the SYN was sent %s%s and nothing came back: it is lost %s",
		times(e.SYNRetransmits+1), to, where)
}

// lostElsewhere: the target's own NAT made the SYN go to another address. The
// route and the next hop that were measured are not those of its way.
func (e explanation) lostElsewhere() {
	where := "it is lost on the way, or dropped by the destination"
	if e.Wire.Dev == "lo" {
		where = "that is the target itself, where the accept queue is full or its own firewall drops it"
	}
	e.set(fact.OutcomeTimeout, fact.CauseLost, "the SYN was sent %s by %s, rewritten by the target's own NAT to %s, and nothing came back: %s",
		times(e.SYNRetransmits+1), e.Wire.Dev, e.Wire.SentTo, where)
}

// listensOn reports whether one of the listeners would take a connection to
// address.
func listensOn(listeners []string, address string) bool {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return false
	}
	ip := to.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(listeners, func(text string) bool {
		at, err := netip.ParseAddr(text)
		if err != nil {
			return false
		}
		// Whether [::] takes IPv4 as well is up to the listener (IPV6_V6ONLY).
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
