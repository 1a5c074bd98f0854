package diagnose

import (
	"net/netip"
	"slices"

	"nsenter-mcp/tools/fact"
)

// causeCode is the finding that a cause proves by itself, "" for none. Its
// wording is the fact.
func causeCode(c fact.Cause) string {
	switch c {
	case fact.CauseNoRoute:
		return "route.no_default" // a default route would have covered it
	case fact.CauseBlackhole:
		return "route.blackhole"
	case fact.CauseUnreachableRoute:
		return "route.unreachable"
	case fact.CauseProhibited:
		return "route.prohibit"
	case fact.CauseNoAddress:
		return "addr.no_source"
	case fact.CauseGatewaySilent:
		return "neigh.gateway_failed"
	case fact.CauseNeighbourSilent:
		return "neigh.failed"
	case fact.CauseWrongMAC, fact.CauseOtherMAC:
		return "neigh.wrong_mac"
	case fact.CauseReturned:
		return "svc.hairpin"
	case fact.CauseLocalnet:
		return "sysctl.route_localnet"
	case fact.CausePodDropOut, fact.CausePodDropIn:
		return "fw.pod_drop"
	case fact.CausePodReject:
		return "fw.pod_reject"
	case fact.CauseRedirected:
		return "fw.pod_redirect"
	case fact.CauseNotPermitted:
		return "fw.connect_denied"
	case fact.CauseReversePath:
		return "sysctl.rp_filter"
	case fact.CauseChecksum:
		return "tcp.bad_checksum"
	case fact.CausePortsExhausted:
		return "tcp.port_exhaustion"
	case fact.CauseNoListener:
		return "tcp.no_listener"
	case fact.CauseAcceptQueue:
		return "tcp.accept_queue_full"
	case fact.CauseResetAnswer:
		return "tcp.refused"
	case fact.CauseLocalError:
		return "tcp.local_error"
	case fact.CauseLost:
		return "tcp.timeout"
	case fact.CauseSlow:
		return "tcp.syn_retransmitted"
	}
	return ""
}

// Attempt returns what one connection attempt proves.
func Attempt(a *fact.Attempt) []fact.Finding {
	if code := causeCode(a.Cause); code != "" {
		return finding(code, "%s", a.Why)
	}
	switch a.Cause {
	case fact.CauseLinkDown:
		if a.Route != nil && a.Route.Dev == "lo" {
			return finding("link.lo_down", "%s", a.Why)
		}
		return finding("link.no_carrier", "%s", a.Why)
	case fact.CauseListenElsewhere:
		if !slices.ContainsFunc(a.Listeners, isNoLoopback) {
			return finding("tcp.listener_loopback", "%s", a.Why)
		}
		return finding("tcp.no_listener", "%s", a.Why)
	case fact.CauseOtherSource:
		if (explanation{a}).bridgeNFOff() {
			return finding("net.bridge_nf_off", "%s", a.Why)
		}
		return finding("nat.not_reversed", "%s", a.Why)
	case fact.CauseICMP:
		return finding(icmpCode(a), "%s", a.Why)
	case fact.CauseTooShort: // proves nothing
		return nil
	}
	switch a.Outcome {
	case fact.OutcomeTimeout:
		return finding("tcp.timeout", "%s", a.Why)
	case fact.OutcomeReset:
		return finding("tcp.reset", "%s", a.Why)
	case fact.OutcomeUnreachable:
		return finding("tcp.unreachable", "%s", a.Why)
	}
	return nil
}

// OnHost names findings as the node's that were made in the node's own network:
// the firewall that is called the pod's own elsewhere is the node's there.
func OnHost(findings []fact.Finding) []fact.Finding {
	for i, f := range findings {
		switch f.Code {
		case "fw.pod_drop":
			findings[i].Code = "fw.host_drop"
		case "fw.pod_reject":
			findings[i].Code = "fw.host_reject"
		}
	}
	return findings
}

func isNoLoopback(text string) bool {
	ip, err := netip.ParseAddr(text)
	return err != nil || !ip.IsLoopback()
}

// icmpCode names what an ICMP error of somebody else proves. That something is
// prohibited is said by filters alone; port unreachable, for TCP, is said by
// rules that reject, also in the name of a service without endpoints. Whose rule it is
// is known where the node answers in its own name.
func icmpCode(a *fact.Attempt) string {
	if a.Answer == nil {
		return "tcp.refused"
	}
	node := (explanation{a}).answererIsNode() && a.Answer.From != hostOf(a.Address)
	switch a.Answer.ICMP {
	case "net administratively prohibited", "host administratively prohibited", "administratively prohibited", "port unreachable":
		if node {
			return "fw.host_reject"
		}
		return "tcp.refused"
	case "time exceeded":
		return "route.loop"
	}
	if a.Outcome == fact.OutcomeRefused {
		return "tcp.refused"
	}
	return "route.unreachable"
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
			findings = append(findings, finding("tcp.timeout", "%s did not answer, another address did: %s", a.Address, a.Why)...)
		case !connected && a.Outcome == f.Outcome && a.Why == f.Reason:
			return append(findings, Attempt(a)...)
		}
	}
	return findings
}
