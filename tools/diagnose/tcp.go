package diagnose

import (
	"net/netip"
	"slices"

	"nsenter-mcp/tools/fact"
)

// causeCode is the finding that a cause proves by itself, "" for none. Its
// wording is the fact.
func causeCode(c fact.Cause) fact.Code {
	switch c {
	case fact.CauseNoRoute:
		return RouteNoDefault // a default route would have covered it
	case fact.CauseBlackhole:
		return RouteBlackhole
	case fact.CauseUnreachableRoute:
		return RouteUnreachable
	case fact.CauseProhibited:
		return RouteProhibit
	case fact.CauseNoAddress:
		return AddrNoSource
	case fact.CauseGatewaySilent:
		return NeighGatewayFailed
	case fact.CauseNeighbourSilent:
		return NeighFailed
	case fact.CauseWrongMAC, fact.CauseOtherMAC:
		return NeighWrongMAC
	case fact.CauseReturned, fact.CauseHairpin:
		return ServiceHairpin
	case fact.CauseDeadBackend:
		return ServiceDeadBackend
	case fact.CauseLocalnet:
		return SysctlRouteLocalnet
	case fact.CausePodDropOut, fact.CausePodDropIn:
		return FirewallPodDrop
	case fact.CauseNodeDrop:
		return FirewallHostDrop
	case fact.CausePeerDrop:
		return FirewallPeerDrop
	case fact.CausePodReject:
		return FirewallPodReject
	case fact.CauseRedirected:
		return FirewallPodRedirect
	case fact.CauseNotPermitted:
		return FirewallConnectDenied
	case fact.CauseNotForwarding:
		return SysctlIPForward
	case fact.CauseNoReturn:
		return RouteNoReturn
	case fact.CauseReversePath:
		return SysctlRPFilter
	case fact.CauseChecksum:
		return TCPBadChecksum
	case fact.CausePortsExhausted:
		return TCPPortExhaustion
	case fact.CauseNoListener:
		return TCPNoListener
	case fact.CauseLoopbackOnly:
		return TCPListenerLoopback
	case fact.CauseAcceptQueue:
		return TCPAcceptQueueFull
	case fact.CauseResetAnswer:
		return TCPRefused
	case fact.CauseLocalError:
		return TCPLocalError
	case fact.CauseLost:
		return TCPTimeout
	case fact.CauseSlow:
		return TCPSynRetransmitted
	}
	return ""
}

// Attempt returns what one connection attempt proves.
func Attempt(a *fact.Attempt) []fact.Finding {
	if code := causeCode(a.Cause); code != "" {
		return finding(code, "%s", a.Why)
	}
	switch a.Cause {
	case fact.CauseUnknown:
		if a.Packet != "" {
			return nil
		}
	case fact.CauseLinkDown:
		if a.Route != nil && a.Route.Dev == "lo" {
			return finding(LinkLoDown, "%s", a.Why)
		}
		return finding(LinkNoCarrier, "%s", a.Why)
	case fact.CauseListenElsewhere:
		if !slices.ContainsFunc(onPort(a.Listeners, a.Address), isNoLoopback) {
			return finding(TCPListenerLoopback, "%s", a.Why)
		}
		return finding(TCPNoListener, "%s", a.Why)
	case fact.CauseOtherSource:
		if (explanation{a}).bridgeNFOff() {
			return finding(NetBridgeNFOff, "%s", a.Why)
		}
		return finding(NATNotReversed, "%s", a.Why)
	case fact.CauseICMP:
		return finding(icmpCode(a), "%s", a.Why)
	case fact.CauseTooShort: // proves nothing
		return nil
	}
	switch a.Outcome {
	case fact.OutcomeTimeout:
		return finding(TCPTimeout, "%s", a.Why)
	case fact.OutcomeReset:
		return finding(TCPReset, "%s", a.Why)
	case fact.OutcomeUnreachable:
		return finding(TCPUnreachable, "%s", a.Why)
	}
	return nil
}

// OnHost names findings as the node's that were made in the node's own network:
// the firewall that is called the pod's own elsewhere is the node's there.
func OnHost(findings []fact.Finding) []fact.Finding {
	for i, f := range findings {
		switch f.Code {
		case FirewallPodDrop:
			findings[i].Code = FirewallHostDrop
		case FirewallPodReject:
			findings[i].Code = FirewallHostReject
		}
	}
	return findings
}

func isNoLoopback(text string) bool {
	at, err := netip.ParseAddrPort(text)
	return err != nil || !at.Addr().IsLoopback()
}

// icmpCode names what an ICMP error of somebody else proves. That something is
// prohibited is said by filters alone; port unreachable, for TCP, is said by
// rules that reject, also in the name of a service without endpoints. Whose rule it is
// is known where the node answers in its own name.
func icmpCode(a *fact.Attempt) fact.Code {
	if a.Answer == nil {
		return TCPRefused
	}
	node := (explanation{a}).answererIsNode() && a.Answer.From != hostOf(a.Address)
	switch {
	case rejects(a.Answer.ICMP) && node:
		return FirewallHostReject
	case a.Answer.ICMP == "time exceeded":
		return RouteLoop
	case rejects(a.Answer.ICMP), a.Outcome == fact.OutcomeRefused:
		return TCPRefused
	}
	return RouteUnreachable
}

// Connecting explains the attempts of a fetch, and where none of them connected, sets
// the outcome and its reason by the attempt that tells most: an answer tells more than
// silence, and silence more than that nothing was sent.
func Connecting(f *fact.Fetch) {
	order := [...]fact.Outcome{
		fact.OutcomeOK, fact.OutcomeRefused, fact.OutcomeReset, fact.OutcomeBlockedLocally, fact.OutcomeTimeout,
		fact.OutcomeNoPort, fact.OutcomeUnreachable, fact.OutcomeDenied,
	}
	rank := func(a *fact.Attempt) int { return slices.Index(order[:], a.Outcome) }
	var telling *fact.Attempt
	for i := range f.Attempts {
		a := &f.Attempts[i]
		Explain(a)
		if rank(a) >= 0 && (telling == nil || rank(a) < rank(telling)) {
			telling = a
		}
	}
	if f.Stage == fact.StageConnect && telling != nil {
		f.Outcome, f.Reason = telling.Outcome, telling.Why
	}
}

// connecting judges how a fetch got its connection, or did not.
func connecting(f *fact.Fetch) []fact.Finding {
	var findings []fact.Finding
	for i := range f.Attempts {
		a := &f.Attempts[i]
		connected := f.Stage != fact.StageConnect
		switch {
		case connected && a.Cause == fact.CauseSlow:
			findings = append(findings, Attempt(a)...)
		case connected && a.Outcome == fact.OutcomeTimeout:
			// An address that failed at once costs an application nothing.
			findings = append(findings, finding(TCPTimeout, "%s did not answer, another address did: %s", a.Address, a.Why)...)
		case !connected && a.Outcome == f.Outcome && a.Why == f.Reason:
			return append(findings, Attempt(a)...)
		}
	}
	return findings
}
