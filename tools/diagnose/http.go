package diagnose

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

// fetchRules in the order of gravity: what is lower explains what is higher.
var fetchRules = [...]func(*fact.Fetch) []fact.Finding{
	throughProxy,
	askingForECN,
	handshake,
	broken,
	status,
	redirectLoop,
	slowFirstByte,
}

// Fetch returns the faults that the answer to one request proves, the gravest first. It
// sets the outcome and the reason of the answer by its attempts.
func Fetch(e *fact.FetchEvidence) []fact.Finding {
	f := e.Fetch
	forgetServiceRoute(e)
	Connecting(f)
	if why := ecn(f); why != "" {
		f.Reason = why
	}
	findings := append(smallPeer(f, e.Egress), fetchFindings(f)...)
	if e.Lookup != nil {
		findings = append(findings, FailedLookup(e.Lookup)...)
	}
	findings = notTheRoute(f, missingRoute(e, findings))
	roots := linkRoots(e.Links, deviceOf(f.Attempts))
	if e.Lookup != nil {
		roots = lookupRoots(e.Lookup, e.Links)
	}
	if f.Conn != nil { // it came about
		roots = nil
	}
	if roots == nil {
		roots = serviceFault(f.Service, f.Outcome, f.Attempts)
	}
	for i := 0; i < len(f.Attempts) && roots == nil && f.Stage == fact.StageConnect; i++ {
		a := &f.Attempts[i]
		roots = untranslated(f.Service, newTrail(a.Journey, "the SYN", a.Address), e.Host)
	}
	if roots != nil {
		findings = withRoots(roots, findings)
		f.Reason = roots[0].Fact + "; so " + f.Reason
	}
	findings = withRoots(tries(f.Tries), findings)
	if e.Host {
		return OnHost(findings)
	}
	return findings
}

// missingRoute leaves out that a default route is missing where a table has one: then
// the policy rules do not lead to that table.
func missingRoute(e *fact.FetchEvidence, findings []fact.Finding) []fact.Finding {
	for i, f := range findings {
		if e.Links != nil && f.Code == RouteNoDefault && slices.ContainsFunc(e.Attempts, func(a fact.Attempt) bool {
			to, err := netip.ParseAddrPort(a.Address)
			return err == nil && a.Why == f.Fact && hasDefault(e.Links, to.Addr().Unmap().Is6())
		}) {
			findings[i].Code = TCPUnreachable
		}
	}
	return findings
}

func fetchFindings(f *fact.Fetch) []fact.Finding {
	var findings []fact.Finding
	for _, rule := range fetchRules {
		findings = append(findings, rule(f)...)
	}
	return findings
}

// throughProxy: the container's own variables lead to a proxy that fails.
func throughProxy(f *fact.Fetch) []fact.Finding {
	if f.Proxy == nil || !f.Proxy.Used {
		return nil
	}
	tooShort := func(a fact.Attempt) bool { return a.Cause == fact.CauseTooShort && a.Why == f.Reason }
	if slices.ContainsFunc(f.Attempts, tooShort) {
		return nil
	}
	if f.Stage == fact.StageConnect || f.Stage == fact.StageProxy || f.Stage == fact.StageDNS {
		return finding(HTTPProxyEnv, "the container's variables lead to the proxy %s, which fails: %s", f.Proxy.Address, f.Reason)
	}
	return nil
}

// askingForECN: what its SYNs ask for explains a connection that was refused or slow.
func askingForECN(f *fact.Fetch) []fact.Finding {
	if why := ecn(f); why != "" {
		return finding(TCPECNBlocked, "%s", why)
	}
	return connecting(f)
}

// ecn says that only what the target's SYNs ask for is refused; "" where that is not
// so. A comparison from another network, which does not ask for it, hides that.
func ecn(f *fact.Fetch) string {
	if !f.ECN.Blocks() {
		return ""
	}
	how := "dropped"
	if f.ECN.ResetECN > 0 {
		how = "reset"
	}
	return fmt.Sprintf("SYNs with ECN to %s are %s, SYNs without ECN are answered (%d of each): "+
		"a firewall on the way or the server does not know ECN (net.ipv4.tcp_ecn)", f.ECN.Address, how, f.ECN.Sent)
}

// broken: the connection stood, and no whole answer came.
func broken(f *fact.Fetch) []fact.Finding {
	switch f.Stage {
	case fact.StageTLS, fact.StageRequest, fact.StageResponse, fact.StageBody:
	default:
		return nil
	}
	switch {
	case f.Outcome == fact.OutcomeReset:
		return finding(TCPReset, "%s", f.Reason)
	case f.Outcome == fact.OutcomeTimeout && f.Stage == fact.StageBody:
		return finding(HTTPBodyStalled, "%s", f.Reason)
	case f.Outcome == fact.OutcomeTimeout && f.Stage != fact.StageTLS && f.Conn != nil && f.Conn.Unacked > 0:
		return finding(TCPTimeout, "%s", f.Reason)
	case f.Outcome == fact.OutcomeTimeout && f.Stage != fact.StageTLS:
		return finding(HTTPNoResponse, "%s", f.Reason)
	}
	switch f.ReasonCode {
	case fact.ReasonCut, fact.ReasonHTTP2Error:
		return finding(HTTPNoResponse, "%s", f.Reason)
	case fact.ReasonClosed:
		if promisedHTTP(f) {
			return finding(HTTPNoResponse, "%s", f.Reason)
		}
	case fact.ReasonNotHTTP:
		if promisedHTTP(f) {
			return finding(HTTPNotHTTP, "%s", f.Reason)
		}
	case fact.ReasonTLSPort:
		return finding(HTTPTLSExpected, "%s", f.Reason)
	case fact.ReasonMalformed, fact.ReasonHeaderTooLong, fact.ReasonNoHTTP2, fact.ReasonBodyMalformed:
		return finding(HTTPNotHTTP, "%s", f.Reason)
	case fact.ReasonBodyBrokeOff:
		return finding(HTTPBodyCut, "%s", f.Reason)
	}
	return nil
}

// promisedHTTP reports whether the server agreed to speak HTTP (ALPN). One that did
// not may be a healthy server of another protocol: PostgreSQL closes, and MySQL,
// Redis, SMTP and SSH speak their own.
func promisedHTTP(f *fact.Fetch) bool { return f.TLS != nil && f.TLS.ALPN != "" }

func status(f *fact.Fetch) []fact.Finding {
	if f.Status == nil || f.Outcome != fact.OutcomeHTTPError {
		return nil
	}
	answered := fmt.Sprintf("the server answered with status %d", *f.Status)
	if p := f.Proxy; p != nil && p.Used && f.TLS == nil {
		answered = fmt.Sprintf("status %d came through the proxy %s: from the proxy, or from the server behind the proxy", *f.Status, p.Address)
	}
	switch {
	case *f.Status >= 500:
		return finding(HTTPServerError, "%s", answered)
	case *f.Status == 400 && saysTLSExpected(f):
		return finding(HTTPTLSExpected, "the server answered plain HTTP with status 400, and the answer's text says that the port speaks TLS")
	}
	return finding(HTTPClientError, "%s", answered)
}

// tlsExpected is what servers write to whom speaks plain HTTP to their TLS port:
// nginx, Go's net/http and Apache httpd.
var tlsExpected = [...]string{
	"plain HTTP request was sent to HTTPS port",
	"sent an HTTP request to an HTTPS server",
	"speaking plain HTTP to an SSL-enabled server port",
}

func saysTLSExpected(f *fact.Fetch) bool {
	if f.Untrusted == nil || !strings.HasPrefix(f.URL, "http:") {
		return false
	}
	return slices.ContainsFunc(tlsExpected[:], func(text string) bool { return strings.Contains(f.Untrusted.Body, text) })
}

func redirectLoop(f *fact.Fetch) []fact.Finding {
	if !slices.ContainsFunc(f.Redirects, func(r fact.Redirect) bool { return r.Why == fact.RedirectLoop }) {
		return nil
	}
	return finding(HTTPRedirectLoop, "redirect %d leads back to a URL that was requested before", len(f.Redirects))
}

func slowFirstByte(f *fact.Fetch) []fact.Finding {
	if !f.SlowFirstByte() {
		return nil
	}
	return finding(HTTPSlowFirstByte, "the first byte of the answer came %.0f ms after the request; connecting took %.0f ms",
		*f.Timings.FirstByteMS, value(f.Timings.ConnectMS))
}

func value(ms *float64) float64 {
	if ms == nil {
		return 0
	}
	return *ms
}
