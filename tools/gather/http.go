package gather

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"nsenter-mcp/internal/dispatch/destination"
	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/attempt"
	"nsenter-mcp/tools/probe/fetch"
	"nsenter-mcp/tools/probe/journey"
)

type (
	// HTTPRequest is a request from inside a target.
	HTTPRequest = fetch.Request
	// HTTPVersion is the version of HTTP that a request speaks.
	HTTPVersion = fetch.Version
	// ArgumentError says what is wrong with a request.
	ArgumentError = fetch.ArgumentError
	// DeniedError says that the policy refuses the destination of a request.
	DeniedError = fetch.DeniedError
)

// HTTP11 makes a request speak HTTP/1.1.
const HTTP11 = fetch.HTTP1

// CheckMethod reports what the policy of a request forbids of it.
func CheckMethod(r HTTPRequest) error { return fetch.CheckMethod(r) }

// WithoutCredentials returns the URL, the headers and the proxy of a request as they
// may stand in an answer, and whether something was left out.
func WithoutCredentials(r HTTPRequest) (clean HTTPRequest, hidden bool) {
	clean, hidden = fetch.WithoutCredentials(r.URL, r.Headers)
	clean.Proxy = r.Proxy
	if at := strings.LastIndexByte(r.Proxy, '@'); at >= 0 {
		clean.Proxy = r.Proxy[at+1:]
		if scheme, _, ok := strings.Cut(r.Proxy, "://"); ok {
			clean.Proxy = scheme + "://" + clean.Proxy
		}
	}
	return clean, hidden
}

// Node is the machine from which targets are looked at.
type Node struct {
	Home         *nsexec.Home
	Host         *nsexec.Handle    // its own network; nil where that is not known
	Root         string            // the directory below which its files lie
	Resolver     *resolve.Resolver // knows pods and the cluster; nil for nobody
	Destinations destination.Policy
	// Tracer follows packets through the node; nil where the operator does not want it.
	Tracer *Tracer
}

// Tracer makes the journeys of packets. One serves a whole process; the zero value is
// ready.
type Tracer = journey.Tracer

// HTTP sends requests from inside. One serves a whole process; it is safe for
// concurrent use.
type HTTP struct{ prober *attempt.Prober }

// NewHTTP returns an HTTP.
func NewHTTP() *HTTP { return &HTTP{attempt.New()} }

// Do sends a request and gathers what its answer is judged by. What the network did is
// no error; errors are [*ArgumentError], [*DeniedError], and what kept from measuring.
func (h *HTTP) Do(ctx context.Context, node Node, target *resolve.Target, r HTTPRequest) (*fact.FetchEvidence, error) {
	return h.do(ctx, node, target, r, true)
}

// do is Do; inquire says whether the service behind a failure is asked about.
func (h *HTTP) do(ctx context.Context, node Node, target *resolve.Target, r HTTPRequest, inquire bool) (*fact.FetchEvidence, error) {
	environ, cut := applicationEnviron(ctx, target)
	variables := fetch.ParseEnviron(environ)
	allow := allowedFor(ctx, node.Destinations, target)
	var roots fetch.Roots
	var lookups []*fact.DNSLookup // one after the other
	asking, cancel := context.WithCancel(ctx)
	defer cancel()
	inquiry := &inquiry{to: place{protocol: "TCP"}, ask: func(to place) (*fact.Service, string) {
		return h.behind(asking, node, target, r, allow, to)
	}}
	client := fetch.Client{
		Prober: h.prober, Tracer: node.Tracer, Target: target.Net, Environ: variables,
		Allow: func(to netip.AddrPort) error {
			inquiry.sentTo(to)
			return allow.probes(to)
		},
		Lookup: nameLookup(node, target, environ, allow, func(l *fact.DNSLookup) {
			lookups = append(lookups, l)
			inquiry.named(l)
		}),
		Roots: func(ctx context.Context) fetch.Roots {
			host, done := hostFileReader(node.Home, node.Root)
			defer done()
			roots = fetch.LoadRoots(ctx, fetch.RootFiles{Container: fileReader(target), CertFile: variables.CertFile(), Host: host})
			return roots
		},
	}
	halfTime := time.AfterFunc(half(ctx), inquiry.begin)
	if !inquire {
		halfTime.Stop()
	}
	answer, err := client.Do(ctx, r)
	failed := inquire && err == nil && answer.Stage != fact.StageDNS && isSilentOrRefused(answer.Outcome)
	if !failed {
		cancel()
	}
	if inquire && !halfTime.Stop() || failed {
		inquiry.begin() // or waits until that has ended
	}
	if err != nil {
		return nil, err
	}
	if failed {
		answer.Service = inquiry.service
	}
	if r.Details || r.Repeated || answer.Outcome == fact.OutcomeHTTPError || answer.SlowFirstByte() {
		attempt.MeasureWays(ctx, target.Net, answer.Attempts)
	}
	attempt.AskNode(ctx, node.Host, target.Net, answer.Attempts)
	describeAttempts(ctx, node, target, answer.Attempts)
	e := &fact.FetchEvidence{
		Fetch: answer, Host: target.HostNetwork, Compared: target.Query.Netns == "host", MSS: r.MSS,
		RootsFrom: roots.From, RootsUnusable: roots.Unusable, EnvironCut: cut, ServiceUnknown: inquiry.said,
	}
	if answer.Stage == fact.StageDNS && answer.DNS != nil {
		e.ServiceAddress = serviceAddress(environ, answer.DNS.Name, target.Workload.Namespace)
		for _, l := range slices.Backward(lookups) {
			if l.Asked == answer.DNS.Name {
				if e.Lookup = l; inquire {
					e.ServiceUnknown = askLookup(ctx, node, target, allow, l)
				}
				break
			}
		}
	}
	cannotSend := answer.Outcome == fact.OutcomeTimeout && answer.Conn.CannotSend() && node.Host != nil
	if cannotSend || blamesLinks(answer, e.Lookup) {
		e.Links = Links(ctx, node.Host, target)
	}
	if cannotSend && e.Links != nil {
		e.Egress = egress(e.Links.Links, answer.Local)
	}
	return e, nil
}

// isSilentOrRefused reports whether what is behind a service may be why a request ended so.
func isSilentOrRefused(o fact.Outcome) bool {
	switch o {
	case fact.OutcomeRefused, fact.OutcomeTimeout, fact.OutcomeReset, fact.OutcomeUnreachable:
		return true
	}
	return false
}

// behind is the service at a place, each of whose endpoints is sent the same request.
func (h *HTTP) behind(
	ctx context.Context, node Node, target *resolve.Target, r HTTPRequest, allow allowed, to place,
) (*fact.Service, string) {
	s, said := serviceAt(ctx, node, to)
	if s == nil {
		return nil, said
	}
	if r.Method != "" && !strings.EqualFold(r.Method, http.MethodGet) {
		r.Method, r.Body = http.MethodHead, "" // changes nothing
	}
	r.MaxRedirects, r.UseProxy, r.Proxy, r.MaxBody, r.Insecure = 0, false, "", 0, true
	client := fetch.Client{Prober: h.prober, Target: target.Net, Allow: allow.probes}
	tryBackends(ctx, s, func(ctx context.Context, at netip.AddrPort) fact.Outcome {
		r := r
		r.Resolve, r.ConnectTo = nil, []string{"::" + at.String()}
		ctx, cancel := context.WithTimeout(ctx, backendTime)
		defer cancel()
		answer, err := client.Do(ctx, r)
		if err != nil {
			return ""
		}
		return answer.Outcome
	})
	readListeners(ctx, node, target, s)
	return s, ""
}

// backendTime bounds what one endpoint is waited for: a lost SYN is repeated after 1 s.
const backendTime = 3 * time.Second

// egress is the interface by which the target's kernel cannot send on an established
// connection.
func egress(links []fact.Link, local string) *fact.Link {
	from, err := netip.ParseAddrPort(local)
	if err != nil {
		return nil
	}
	ip := from.Addr().Unmap().WithZone("").String()
	for i := range links {
		if slices.ContainsFunc(links[i].AddrInfo, func(a fact.Addr) bool { return a.Local == ip }) {
			return &links[i]
		}
	}
	return nil
}

// blamesLinks reports whether the target's own links may be why a fetch failed.
func blamesLinks(f *fact.Fetch, lookup *fact.DNSLookup) bool {
	if f.Stage == fact.StageDNS {
		return lookup != nil && lookup.Unheard()
	}
	return f.Stage == fact.StageConnect && slices.ContainsFunc(f.Attempts, func(a fact.Attempt) bool { return a.Stuck() || a.Errno == "ETIMEDOUT" })
}

// serviceAddress is the address of the service that name means in a namespace, by the
// variables that Kubernetes gives to the containers beside it (API_SERVICE_HOST).
func serviceAddress(environ []byte, name, namespace string) string {
	service, rest, _ := strings.Cut(strings.TrimSuffix(name, "."), ".")
	if of, _, _ := strings.Cut(rest, "."); of != "" && of != namespace {
		return ""
	}
	variable := strings.ToUpper(strings.ReplaceAll(service, "-", "_")) + "_SERVICE_HOST="
	for entry := range strings.SplitSeq(string(environ), "\x00") {
		if text, ok := strings.CutPrefix(entry, variable); ok {
			if ip, err := netip.ParseAddr(text); err == nil {
				return ip.String()
			}
		}
	}
	return ""
}
