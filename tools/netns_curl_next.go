package tools

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/gather"
	"nsenter-mcp/tools/probe/fetch"
)

// curlNext are the calls that bring the search further, in the order in which
// an engineer would make them: what the target itself may lack, then the same
// from elsewhere.
func curlNext(ctx context.Context, env *dispatch.Env, f *fact.Fetch, target *resolve.Target, in NetnsCurlIn, environ []byte) []dispatch.Next {
	n := curlSteps{in: &in, target: target, fetch: f}
	failed := f.Outcome != fact.OutcomeOK
	own := isOwnPort(f)
	if more := longerTimeout(in.TimeoutMS); tooShort(f) && more > 0 {
		n.again("the same with more time: a lost SYN is repeated only after a second", func(in *NetnsCurlIn) { in.TimeoutMS = more })
	}
	if plain := plainURL(f, in); plain != "" {
		n.again("the same without TLS: the port speaks plain HTTP", func(in *NetnsCurlIn) { in.URL = plain })
	}
	switch f.ReasonCode {
	case fact.ReasonNoHTTP2, fact.ReasonHTTP11Required:
		n.again("the same over HTTP/1.1, as the server wants it", func(in *NetnsCurlIn) { in.HTTPVersion = string(fetch.HTTP1) })
	case fact.ReasonRetry:
		n.again("the same once more, as clients do after this answer", func(*NetnsCurlIn) {})
	}
	switch {
	case f.Outcome == fact.OutcomeTimeout && f.Conn.CannotSend() && !target.HostNetwork:
		n.showLink("the MTU of the interface and of its other end on the host: what is longer is dropped")
	case f.Stage == fact.StageDNS && f.DNS != nil:
		n.lookUp("what each name server says to each name of the search list")
		if ip, ok := serviceAddress(environ, f.DNS.Name, target.Workload.Namespace); ok && len(f.Redirects) == 0 {
			n.again("the same by the service's address, which the application's environment has: whether more than the name is wrong",
				func(in *NetnsCurlIn) { in.Resolve = pinned(f.DNS.Name, in.URL, ip.String()) })
		}
	case f.DNS != nil && f.DNS.AppWaitMS >= slowLookup:
		n.lookUp(fmt.Sprintf("the application waits %.0f ms for the name alone", f.DNS.AppWaitMS))
	case f.DNS != nil && f.DNS.Source == "hosts" && (f.Stage == fact.StageConnect || f.Stage == fact.StageTLS):
		n.lookUp("the address is from the hosts file; what DNS says instead")
	case f.DNS != nil && f.DNS.FoundAs != "" && (isClientError(f) || hasBadCertificate(f)):
		n.lookUp("the search list made another name of this one; what DNS says to each")
	case blamesLink(f) && !target.HostNetwork:
		n.showLink("state of the interface and of its other end on the host")
	case in.MSS > 0 && !failed:
		n.showLink("if only small packets get through: the MTU of the interface and of its other end on the host")
	}
	if p := f.Proxy; p != nil && !p.Used && p.Applies {
		n.again("the same through the proxy, as the container's application would send it", func(in *NetnsCurlIn) { in.UseProxy = true })
	} else if p != nil && !p.Used && p.ExemptRange != "" {
		n.again("the same through the proxy, as clients send it that do not understand ranges in NO_PROXY", func(in *NetnsCurlIn) { in.Proxy = p.Address })
	}
	if stalled(f) && in.MSS == 0 && !own {
		n.again("the same with small packets: if that works, large ones are lost on the way (MTU)", func(in *NetnsCurlIn) { in.MSS = smallSegment })
	}
	compare := failed && f.Stage != fact.StageDNS && !own && !isClientError(f) && !hasBadCertificate(f)
	slow := f.Timings.FirstByteMS != nil && *f.Timings.FirstByteMS >= slowAnswer
	refused := f.Outcome == fact.OutcomeRefused // so the way there and back works
	inside := !own && (slow || compare && f.ReasonCode != fact.ReasonTLSPort)
	if inside && (refused || slow) {
		n.fromInside(ctx, env)
	}
	if compare && !target.HostNetwork && !f.ECN.Blocks() {
		n.fromTheNode("the same from the node: whether the fault depends on where the request comes from")
	}
	if inside && !refused && !slow {
		n.fromInside(ctx, env)
	}
	if r := len(f.Redirects); r > 0 && f.Redirects[r-1].Why == fact.RedirectNotAsked {
		n.again("follow the redirect", func(in *NetnsCurlIn) { in.FollowRedirects = 5 })
	}
	return n.steps
}

// slowAnswer is from when the first byte of an answer is late, in milliseconds, as for
// http.slow_first_byte.
const slowAnswer = 2000

// serviceAddress is the address of the service that name means in a namespace, by the
// variables that Kubernetes gives to the containers beside it (API_SERVICE_HOST).
func serviceAddress(environ []byte, name, namespace string) (netip.Addr, bool) {
	service, rest, _ := strings.Cut(strings.TrimSuffix(name, "."), ".")
	if of, _, _ := strings.Cut(rest, "."); of != "" && of != namespace {
		return netip.Addr{}, false
	}
	variable := strings.ToUpper(strings.ReplaceAll(service, "-", "_")) + "_SERVICE_HOST="
	for entry := range strings.SplitSeq(string(environ), "\x00") {
		if text, ok := strings.CutPrefix(entry, variable); ok {
			ip, err := netip.ParseAddr(text)
			return ip, err == nil
		}
	}
	return netip.Addr{}, false
}

// pinned makes a call connect to addr for the host of its URL.
func pinned(name, rawURL, addr string) []string {
	port := "80"
	if !strings.Contains(rawURL, "://") {
		rawURL = "http://" + rawURL
	}
	if u, err := url.Parse(rawURL); err == nil {
		if u.Scheme == "https" {
			port = "443"
		}
		if u.Port() != "" {
			port = u.Port()
		}
	}
	return []string{strings.TrimSuffix(name, ".") + ":" + port + ":" + addr}
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

// curlSteps collects the next steps of one request.
type curlSteps struct {
	in     *NetnsCurlIn
	target *resolve.Target
	fetch  *fact.Fetch
	steps  []dispatch.Next
}

func (n *curlSteps) lookUp(why string) {
	in := NetnsDNSLookupIn{TargetArgs: dispatch.ArgumentsOf(n.target), Name: n.fetch.DNS.Name}
	n.steps = append(n.steps, dispatch.Propose(netnsDNSLookup, in, why))
}

func (n *curlSteps) showLink(why string) {
	n.steps = append(n.steps, dispatch.Propose(netnsIPAddr, NetnsIPAddrIn{TargetArgs: dispatch.ArgumentsOf(n.target)}, why))
}

// again repeats the request from the target with other arguments.
func (n *curlSteps) again(why string, change func(*NetnsCurlIn)) {
	n.repeat(why, dispatch.ArgumentsOf(n.target), change)
}

func (n *curlSteps) fromTheNode(why string) {
	n.repeat(why, dispatch.TargetArgs{Netns: "host"}, func(in *NetnsCurlIn) {
		in.UseProxy = false // the node's variables are others
		n.askTheSame(in)
	})
}

// fromInside repeats the request from inside the destination, where that is on
// this node: in there it is plain whether anything listens, on which addresses,
// and whether it accepts.
func (n *curlSteps) fromInside(ctx context.Context, env *dispatch.Env) {
	if len(n.fetch.Attempts) != 1 || n.fetch.Proxy != nil && n.fetch.Proxy.Used {
		return // several destinations, or the proxy
	}
	to, err := netip.ParseAddrPort(n.fetch.Attempts[0].Address)
	if err != nil {
		return
	}
	owner := gather.OwnerOf(ctx, env.Resolver, env.Host, n.target, to.Addr().Unmap().WithZone(""))
	if owner == nil {
		return
	}
	defer func() { _ = owner.Close() }() // was only looked at
	who := "the network that owns " + to.Addr().String()
	if owner.Workload.Pod != "" {
		who = "pod " + words.Printable(owner.Workload.Namespace+"/"+owner.Workload.Pod)
	}
	n.repeat("the same from inside the destination, "+who+": whether anything listens and accepts there", dispatch.ArgumentsOf(owner), n.askTheSame)
}

// repeat adds the same request from another target or with other arguments. Credentials
// do not go into an answer.
func (n *curlSteps) repeat(why string, target dispatch.TargetArgs, change func(*NetnsCurlIn)) {
	in := *n.in
	target.TimeoutMS = in.TimeoutMS
	clean, hidden := fetch.WithoutCredentials(in.URL, in.Headers)
	in.TargetArgs, in.URL, in.Headers, in.Proxy = target, clean.URL, clean.Headers, withoutUserinfo(in.Proxy)
	change(&in)
	if hidden {
		why += " (credentials are left out)"
	}
	n.steps = append(n.steps, dispatch.Propose(netnsCurl, in, why))
}

// tooShort reports whether the call ended before it could tell why nobody
// answered.
func tooShort(f *fact.Fetch) bool {
	return f.Stage == fact.StageConnect && slices.ContainsFunc(f.Attempts, func(a fact.Attempt) bool {
		return a.Cause == fact.CauseTooShort && a.Why == f.Reason
	})
}

// longerTimeout is enough for a SYN to be repeated twice, in milliseconds; 0
// where the call had the most time that there is.
func longerTimeout(had int) int {
	const enough = 5000
	if had == 0 {
		had = int(dispatch.DefaultDeadline.Milliseconds())
	}
	most := int(dispatch.MaxDeadline.Milliseconds())
	switch {
	case had < enough:
		return enough
	case had < most:
		return min(2*had, most)
	}
	return 0
}

// plainURL is that of the call with http instead of https, where the server
// answered TLS in plain HTTP; "" elsewhere. The port stays the same.
func plainURL(f *fact.Fetch, in NetnsCurlIn) string {
	plain := f.TLS != nil && f.TLS.Error != nil && f.TLS.Error.Code == fact.TLSNotTLS &&
		f.Untrusted != nil && strings.HasPrefix(f.Untrusted.FirstBytes, "HTTP/")
	if !plain || len(f.Redirects) > 0 {
		return ""
	}
	clean, _ := fetch.WithoutCredentials(in.URL, in.Headers)
	u, err := url.Parse(clean.URL)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	if u.Port() == "" {
		u.Host = strings.TrimSuffix(u.Host, ":") + ":443"
	}
	u.Scheme = "http"
	return u.String()
}

// slowLookup is from when the lookup of a name is worth a look, in
// milliseconds.
const slowLookup = 1000

// smallSegment fits through every path (RFC 879).
const smallSegment = 536

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
		if a.Route != nil && a.Route.Type == "local" {
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

// askTheSame makes a comparison ask the same question: through the same proxy, or of
// the addresses that the target found, for the node looks cluster names up elsewhere.
func (n *curlSteps) askTheSame(in *NetnsCurlIn) {
	f := n.fetch
	switch {
	case f.Proxy != nil && f.Proxy.Used:
		in.Proxy = f.Proxy.Address
	case f.DNS != nil && len(f.DNS.Addresses) > 0 && len(f.Attempts) > 0 && len(f.Redirects) == 0 && len(in.ConnectTo)+len(in.Resolve) == 0:
		in.Resolve = pinned(f.DNS.Name, in.URL, strings.Join(f.DNS.Addresses, ","))
	}
}

// withoutUserinfo is the address of a proxy without credentials.
func withoutUserinfo(proxy string) string {
	i := strings.LastIndexByte(proxy, '@')
	if i < 0 {
		return proxy
	}
	scheme, _, ok := strings.Cut(proxy, "://")
	if !ok {
		return proxy[i+1:]
	}
	return scheme + "://" + proxy[i+1:]
}
