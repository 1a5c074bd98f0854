package diagnose

import (
	"fmt"
	"net/netip"

	"nsenter-mcp/tools/fact"
)

// firstRepeat is when a SYN is repeated for the first time, in milliseconds
// (RFC 6298, section 2.1), with what a busy machine may add.
const firstRepeat = 1200

// silent: TCP got no answer.
func (e explanation) silent() {
	wire := e.Wire
	if wire == nil {
		wire = &fact.Wire{}
	}
	switch {
	case e.onTheWay():
	case e.notSent():
	case wire.SYNACKIn > 0:
		e.answerLost()
	case wire.Returned != "":
		e.set(fact.OutcomeTimeout, fact.CauseReturned,
			"the SYN to %s came back, sent on to %s: "+
				"nobody masquerades the connection, so the kernel discards a SYN from the target's own address", e.Address, wire.Returned)
	case e.local():
		e.silentHere()
	case e.Route != nil && e.Route.OperState != "":
		e.linkDown()
	case e.Neigh.Failed():
		e.noNeighbour(fact.OutcomeTimeout)
	case e.wrongMAC():
		e.set(fact.OutcomeTimeout, fact.CauseWrongMAC,
			"the neighbour entry of %s is %s, set by hand (PERMANENT), but %s answers with %s: packets go to the wrong MAC address",
			e.Neigh.Dst, e.Neigh.Lladdr, e.Neigh.Dst, wire.AnsweredBy)
	case e.stale():
		e.noNeighbour(fact.OutcomeTimeout)
	case wire.SYNOut > 0, e.SYNRetransmits > 0 && e.Counters["TcpExt.TCPRetransFail"] == 0:
		e.lost()
	case e.SYNRetransmits > 0 && e.Counters["TcpExt.TCPRetransFail"] >= uint64(max(e.SYNRetransmits, 0)):
		e.set(fact.OutcomeTimeout, fact.CauseNotSent, "the target's own kernel failed to send each repeated SYN: "+
			"perhaps a firewall, traffic control, or NAT or a mark without a route")
	case e.SYNRetransmits > 0:
		e.lost()
	case e.MS < firstRepeat:
		e.set(fact.OutcomeTimeout, fact.CauseTooShort,
			"no answer within %s; a lost SYN is repeated only after a second, so allow more time to tell why", ms(e.MS))
	default:
		e.set(fact.OutcomeTimeout, fact.CauseUnknown, "no answer within %s", ms(e.MS))
	}
}

// notSent: the kernel said why it cannot send the SYN. A packet filter's drop is
// EPERM, traffic control's ENOBUFS. A route's error follows a second look-up, after NAT
// or a mark, as the first one has let the connection begin; Route is what was found
// that answers so.
func (e explanation) notSent() bool {
	switch {
	case e.SendErrno == "":
		return false
	case e.SendErrno == "EPERM":
		e.set(fact.OutcomeBlockedLocally, fact.CausePodDropOut,
			"the target's own firewall drops the SYN on its way out: the kernel answers EPERM to each that is sent")
	case e.SendErrno == "ENOBUFS":
		e.set(fact.OutcomeBlockedLocally, fact.CausePodDropOut,
			"traffic control in the target drops the SYN on its way out: the kernel answers ENOBUFS to each that is sent")
	case e.SendErrno == "EINVAL" && fromLoopback(e.Local) && e.RouteLocalnet != nil && !*e.RouteLocalnet:
		e.set(fact.OutcomeUnreachable, fact.CauseLocalnet, "the target's own NAT leads the SYN to %s out by another interface than lo, "+
			"and route_localnet is 0: loopback packets may not leave", e.Address)
	case e.Route != nil && !fromLoopback(e.Local):
		e.set(fact.OutcomeUnreachable, map[string]fact.Cause{
			fact.RouteNone: fact.CauseNoRoute, fact.RouteBlackhole: fact.CauseBlackhole,
			fact.RouteUnreachable: fact.CauseUnreachableRoute, fact.RouteProhibit: fact.CauseProhibited,
		}[e.Route.Type], "the SYN to %s meets %s after the target's own NAT or a mark: the kernel answers %s to each that is sent",
			e.Address, e.refusing(), e.SendErrno)
	default:
		e.set(fact.OutcomeTimeout, fact.CauseNotSent, "the target's own kernel answers %s to each SYN to %s that is sent, after NAT or a mark", e.SendErrno, e.Address)
	}
	return true
}

func (e explanation) refusing() string {
	if e.Route.Type == fact.RouteNone {
		return "no route"
	}
	return "a route of type " + e.Route.Type + e.matched()
}

func fromLoopback(address string) bool {
	a, err := netip.ParseAddrPort(address)
	return err == nil && a.Addr().Unmap().IsLoopback()
}

// answerLost: the answer was at an interface of the target, and TCP did not
// take it. Counters are those of the whole namespace, so each has to have moved as
// often as answers came.
func (e explanation) answerLost() {
	wire, seen := e.Wire, uint64(max(e.Wire.SYNACKIn, 1))
	between := e.Counters["TcpExt.IPReversePathFilter"] + e.Counters["Ip.InAddrErrors"] + e.Counters["Ip.InDiscards"] +
		e.Counters["Ip6InAddrErrors"] + e.Counters["Ip6InDiscards"]
	switch {
	case wire.OtherMAC:
		e.set(fact.OutcomeTimeout, fact.CauseOtherMAC,
			"the answer came in by %s in a frame for another MAC address: the sender has a wrong MAC address for the target", wire.Dev)
	case wire.AnswerFrom != "":
		e.otherSource()
	case e.Counters["TcpExt.IPReversePathFilter"] >= seen:
		e.set(fact.OutcomeBlockedLocally, fact.CauseReversePath,
			"rp_filter dropped the answer: the answer came in by another interface than the route uses")
	case e.Counters["Tcp.InCsumErrors"] >= seen:
		e.set(fact.OutcomeTimeout, fact.CauseChecksum, "the answer arrived with a wrong checksum and was dropped")
	case passedNone(wire.SYNACKPassed) && between == 0:
		e.set(fact.OutcomeBlockedLocally, fact.CausePodDropIn,
			"the answer arrived at %s and did not come up to TCP: the target's own firewall or traffic control drops it on the way in", wire.Dev)
	default:
		e.set(fact.OutcomeTimeout, fact.CauseNotTaken, "the answer arrived at the target, and the target's TCP did not take the answer; the reason is not known")
	}
}

// passedNone reports whether it was measured that nothing passed.
func passedNone(count *int) bool { return count != nil && *count == 0 }

// otherSource: what translated the SYN did not translate the answer.
func (e explanation) otherSource() {
	text := fmt.Sprintf("the answer came from %s, not from the address asked, %s", e.Wire.AnswerFrom, e.to())
	if e.bridgeNFOff() {
		text += fmt.Sprintf(": the answer passed the node's bridge %s without the node's NAT, as bridge-nf-call-iptables is 0", e.Node.Bridge)
	} else {
		text += ": the SYN was translated, and the answer was not translated back"
	}
	e.set(fact.OutcomeTimeout, fact.CauseOtherSource, "%s", text)
}

func (e explanation) bridgeNFOff() bool {
	return e.Node != nil && e.Node.Bridge != "" && e.Node.BridgeNF != nil && !*e.Node.BridgeNF
}

// silentHere: both ends are in the namespace.
func (e explanation) silentHere() {
	switch {
	case e.Route.OperState != "":
		e.linkDown()
	case e.Counters["TcpExt.ListenOverflows"] > 0 && len(onPort(e.Listeners, e.to())) > 0:
		e.set(fact.OutcomeTimeout, fact.CauseAcceptQueue,
			"%s is the target itself, and its listener's accept queue is full: the application does not accept", e.asked())
	case e.Wire != nil && e.Wire.SYNOut > 0 && passedNone(e.Wire.SYNPassed):
		e.set(fact.OutcomeBlockedLocally, fact.CausePodDropIn,
			"%s is the target itself, and the SYN does not come up to its TCP: the target's own firewall drops it on the way in", e.asked())
	default:
		e.set(fact.OutcomeTimeout, fact.CauseUnknown, "%s is the target itself, and does not answer within %s", e.asked(), ms(e.MS))
	}
}

// wrongMAC: the next hop itself says that the entry that was set by hand is wrong.
func (e explanation) wrongMAC() bool {
	return e.Neigh != nil && e.Neigh.State == "PERMANENT" && e.SentTo == "" && e.Wire != nil &&
		e.Wire.AnsweredBy != "" && e.Wire.AnsweredBy != e.Neigh.Lladdr
}

// stale: the kernel still has a link-layer address of the next hop, but nobody
// answers for it any more. Entries that were set by hand (some CNIs do) need no
// answer.
func (e explanation) stale() bool {
	const tries = 2
	return e.Neigh != nil && e.Neigh.State != "PERMANENT" && e.Neigh.State != "NOARP" &&
		e.SentTo == "" && e.Wire != nil && e.Wire.Asked >= tries && e.Wire.Answered == 0
}

func (e explanation) noNeighbour(outcome fact.Outcome) {
	protocol := "ARP"
	if ip, err := netip.ParseAddr(e.Neigh.Dst); err == nil && ip.Is6() {
		protocol = "neighbour discovery"
	}
	sent := "and packets to the old address are lost"
	if e.Neigh.Failed() {
		sent = "so nothing was sent"
	}
	switch {
	case e.Route.OperState != "":
		e.linkDown()
		e.Outcome = outcome
	case e.Route.Gateway != "":
		e.set(outcome, fact.CauseGatewaySilent,
			"the gateway %s does not answer %s on %s, %s", e.Route.Gateway, protocol, e.Route.Dev, sent)
	default:
		e.set(outcome, fact.CauseNeighbourSilent,
			"%s should be on the link of %s, but does not answer %s, %s", e.Neigh.Dst, e.Route.Dev, protocol, sent)
	}
}

func (e explanation) linkDown() {
	e.set(fact.OutcomeTimeout, fact.CauseLinkDown, "the route leads out by %s, whose state is %s", e.Route.Dev, e.Route.OperState)
}

// lost: the SYN went to a next hop that is there, as far as the kernel knows. Whether
// the SYN is lost or the answer is known where the node's conntrack table tells.
func (e explanation) lost() {
	text := "the SYN was sent " + times(e.SYNRetransmits+1)
	if e.Wire != nil && e.Wire.SYNOut > 0 && e.Wire.SYNOut != e.SYNRetransmits+1 {
		text += fmt.Sprintf(" (the last %d were watched)", e.Wire.SYNOut)
	}
	where := "on the way, or dropped by the destination"
	if e.Route != nil && e.Route.Dev != "" {
		text += " by " + e.Route.Dev
		switch {
		case e.Route.Gateway != "":
			text += " to the gateway " + e.Route.Gateway
			where = "at the gateway or beyond"
			if e.Node != nil && e.Node.IsGateway {
				where = "at the gateway, which is the node, or beyond"
			}
		case e.Neigh != nil && e.Neigh.Resolved() && e.Neigh.Lladdr != "":
			text += " to next hop"
		}
		if e.Neigh != nil && e.Neigh.Resolved() && e.Neigh.Lladdr != "" {
			text += " " + e.Neigh.Lladdr
		}
	}
	if e.SentTo != "" {
		text += ", rewritten by the target's own NAT to " + e.SentTo + ","
	}
	text += " and nothing came back: "
	left := newTrail(e.Journey, "the SYN", e.Address).leftOpen()
	switch n := e.Node; {
	case left != "":
		text += left
	case n != nil && n.Replied:
		text += fmt.Sprintf("the node saw an answer%s, which did not arrive at the target", sentOn(" of ", n.SentTo))
	case n != nil && n.Tracked:
		text += fmt.Sprintf("the node let the SYN through%s and saw no answer", sentOn(", to ", n.SentTo))
	default:
		text += "the SYN or its answer is lost " + where
	}
	e.set(fact.OutcomeTimeout, fact.CauseLost, "%s", text)
}

func sentOn(before, to string) string {
	if to == "" {
		return ""
	}
	return before + to
}
