package diagnose

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

// Move is a call that tells more after a request: another tool, or the same request
// with one thing changed.
type Move int

// The moves.
const (
	LookUpName Move = iota
	ShowLink
	Again
	WithMoreTime
	WithoutTLS
	OverHTTP11
	AtServiceAddress
	ThroughProxy        // that of the container's variables
	ThroughProxyOfRange // that which a range in NO_PROXY exempts from
	WithSmallPackets
	FollowRedirect
	FromNode
	FromInside // of the destination; the caller names it before Why
	AsServer   // a lookup as the nameserver itself makes it, in its network; likewise
	ShowPod    // the state of the pod Name
	ShowPodLink
)

// Step is a move, and why it is made. Name is what is to be looked up, where the move
// is one of a lookup, or namespace and name of a pod.
type Step struct {
	Move      Move
	Name, Why string
}

// slowLookup is from when the lookup of a name is worth a look, in milliseconds.
const slowLookup = 1000

// AfterFetch returns the moves that bring the search further, in the order in which an
// engineer would make them: what the target itself may lack, then the same from
// elsewhere.
// Where a finding settles the cause, nothing is compared any more.
func AfterFetch(e *fact.FetchEvidence, findings []fact.Finding) []Step {
	f, failed, own, settled := e.Fetch, e.Outcome != fact.OutcomeOK, isOwnPort(e.Fetch), Settled(findings)
	steps := showBackend(f.Service, findings)
	if !settled {
		steps = append(steps, showBackendLink(f.Service)...)
	}
	if e.Lookup != nil {
		steps = showServices(e.Lookup, findings)
	}
	add := func(move Move, format string, args ...any) {
		steps = append(steps, Step{Move: move, Why: fmt.Sprintf(format, args...)})
	}
	if tooShort(f) {
		add(WithMoreTime, "the same with more time: a lost SYN is repeated only after a second")
	}
	if speaksPlainHTTP(f) {
		add(WithoutTLS, "the same without TLS: the port speaks plain HTTP")
	}
	switch f.ReasonCode {
	case fact.ReasonNoHTTP2, fact.ReasonHTTP11Required:
		add(OverHTTP11, "the same over HTTP/1.1, which the server asks for")
	case fact.ReasonRetry:
		add(Again, "the same once more, as clients do after this answer")
	}
	switch {
	case f.Outcome == fact.OutcomeTimeout && f.Conn.CannotSend() && !e.Host:
		add(ShowLink, "the MTU of the interface and of the interface's other end on the host: longer packets are dropped")
	case f.Stage == fact.StageDNS && f.DNS != nil:
		add(LookUpName, "the answer of each nameserver to each name of the search list")
		if e.ServiceAddress != "" && len(f.Redirects) == 0 {
			add(AtServiceAddress, "the same by the service's address, which the application's environment has: whether more than the name is wrong")
		}
	case f.DNS != nil && f.DNS.AppWaitMS >= slowLookup:
		add(LookUpName, "the application waits %.0f ms for the name alone", f.DNS.AppWaitMS)
	case f.DNS != nil && f.DNS.Source == "hosts" && (f.Stage == fact.StageConnect || f.Stage == fact.StageTLS || f.Outcome == fact.OutcomeHTTPError):
		add(LookUpName, "the address is from the hosts file; DNS may say another")
	case f.DNS != nil && f.DNS.FoundAs != "" && (isClientError(f) || hasBadCertificate(f)):
		add(LookUpName, "the search list made another name of this one; DNS may answer each name differently")
	case blamesLink(f) && !e.Host && !settled:
		add(ShowLink, "state of the interface and of the interface's other end on the host")
	case e.MSS > 0 && !failed:
		add(ShowLink, "if only small packets get through: the MTU of the interface and of the interface's other end on the host")
	}
	if p := f.Proxy; p != nil && !p.Used && p.Applies {
		add(ThroughProxy, "the same through the proxy, as the container's application would send it")
	} else if p != nil && !p.Used && p.ExemptRange != "" {
		add(ThroughProxyOfRange, "the same through the proxy, as clients do that ignore ranges in NO_PROXY")
	}
	if stalled(f) && e.MSS == 0 && !own && !settled {
		add(WithSmallPackets, "the same with small packets: if that works, large ones are lost on the way (MTU)")
	}
	lossy := slices.ContainsFunc(findings, func(f fact.Finding) bool { return f.Code == LossPackets })
	compare := (failed || lossy) && !settled && f.Stage != fact.StageDNS && !own && !isClientError(f) && !hasBadCertificate(f)
	slow := f.SlowFirstByte()
	inside := !own && (slow || e.Compared && !failed || compare && f.ReasonCode != fact.ReasonTLSPort)
	first := slow || f.Outcome == fact.OutcomeRefused // so the way there and back works
	whyInside := "whether anything listens and accepts there"
	if f.Status != nil {
		whyInside = "whether the server answers the same to itself"
	}
	if inside && first {
		add(FromInside, "%s", whyInside)
	}
	if compare && !e.Host && !f.ECN.Blocks() {
		add(FromNode, "the same from the node: whether the fault depends on where the request comes from")
	}
	if inside && !first {
		add(FromInside, "%s", whyInside)
	}
	if r := len(f.Redirects); r > 0 && f.Redirects[r-1].Why == fact.RedirectNotAsked {
		add(FollowRedirect, "follow the redirect")
	}
	return steps
}

// hasBadCertificate reports whether the server's certificate was not accepted; the
// node would get the same one.
func hasBadCertificate(f *fact.Fetch) bool {
	if f.TLS == nil || f.TLS.Error == nil || f.Stage != fact.StageTLS {
		return false
	}
	switch f.TLS.Error.Code {
	case fact.TLSExpired, fact.TLSNotYetValid, fact.TLSUnknownCA, fact.TLSNameMismatch, fact.TLSBadCertificate:
		return true
	}
	return false
}

// tooShort reports whether the call ended before it could tell why nobody
// answered.
func tooShort(f *fact.Fetch) bool {
	return f.Stage == fact.StageConnect && slices.ContainsFunc(f.Attempts, func(a fact.Attempt) bool {
		return a.Cause == fact.CauseTooShort && a.Why == f.Reason
	})
}

// speaksPlainHTTP reports whether the server answered TLS in plain HTTP.
func speaksPlainHTTP(f *fact.Fetch) bool {
	return f.TLS != nil && f.TLS.Error != nil && f.TLS.Error.Code == fact.TLSNotTLS && len(f.Redirects) == 0 &&
		f.Untrusted != nil && strings.HasPrefix(f.Untrusted.FirstBytes, "HTTP/")
}

// stalled reports whether an established connection fell silent, as it does
// where a path loses large packets.
func stalled(f *fact.Fetch) bool {
	return f.Outcome == fact.OutcomeTimeout && f.Conn != nil && f.Stage != fact.StageProxy
}

// blamesLink reports whether the failure may lie at the pod's interface.
func blamesLink(f *fact.Fetch) bool {
	for i := range f.Attempts {
		switch f.Attempts[i].Cause {
		case fact.CauseNoRoute, fact.CauseNoAddress, fact.CauseLinkDown, fact.CauseGatewaySilent, fact.CauseNeighbourSilent:
			return true
		case fact.CauseLost: // perhaps between the two ends of the pod's veth
			return f.Outcome == fact.OutcomeTimeout
		}
	}
	return false
}

// isOwnPort reports whether the request went to the target itself, which means
// something else on the node, and passes no link.
func isOwnPort(f *fact.Fetch) bool {
	return slices.ContainsFunc(f.Attempts, func(a fact.Attempt) bool {
		if a.Route != nil && a.Route.Type == fact.RouteLocal {
			return true
		}
		to, err := netip.ParseAddrPort(a.Address)
		from, _ := netip.ParseAddrPort(f.Local)
		return err == nil && (to.Addr().IsLoopback() || f.Remote == a.Address && from.Addr() == to.Addr())
	})
}

// isClientError reports whether the server answered that the request is wrong;
// it would be from anywhere.
func isClientError(f *fact.Fetch) bool {
	return f.Outcome == fact.OutcomeHTTPError && f.Status != nil && *f.Status < 500
}
