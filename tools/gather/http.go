package gather

import (
	"context"
	"net/netip"
	"slices"
	"strings"

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
	Host         *nsexec.Handle // its own network; nil where that is not known
	Root         string         // the directory below which its files lie
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
	environ, cut := applicationEnviron(ctx, target)
	variables := fetch.ParseEnviron(environ)
	allow := allowedFor(ctx, node.Destinations, target)
	var roots fetch.Roots
	var lookups []*fact.DNSLookup // one after the other
	client := fetch.Client{
		Prober: h.prober, Tracer: node.Tracer, Target: target.Net, Allow: allow.probes, Environ: variables,
		Lookup: nameLookup(node, target, environ, allow, func(l *fact.DNSLookup) { lookups = append(lookups, l) }),
		Roots: func(ctx context.Context) fetch.Roots {
			host, done := hostFileReader(node.Home, node.Root)
			defer done()
			roots = fetch.LoadRoots(ctx, fetch.RootFiles{Container: fileReader(target), CertFile: variables.CertFile(), Host: host})
			return roots
		},
	}
	answer, err := client.Do(ctx, r)
	if err != nil {
		return nil, err
	}
	if r.Details || answer.Outcome == fact.OutcomeHTTPError || answer.SlowFirstByte() {
		attempt.MeasureWays(ctx, target.Net, answer.Attempts)
	}
	attempt.AskNode(ctx, node.Host, target.Net, answer.Attempts)
	e := &fact.FetchEvidence{
		Fetch: answer, Host: target.HostNetwork, Compared: target.Query.Netns == "host", MSS: r.MSS,
		RootsFrom: roots.From, RootsUnusable: roots.Unusable, EnvironCut: cut,
	}
	if answer.Stage == fact.StageDNS && answer.DNS != nil {
		e.Service = serviceAddress(environ, answer.DNS.Name, target.Workload.Namespace)
		for _, l := range slices.Backward(lookups) {
			if l.Asked == answer.DNS.Name {
				e.Lookup = l
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
