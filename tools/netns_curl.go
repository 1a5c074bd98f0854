package tools

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/attempt"
	"nsenter-mcp/tools/probe/fetch"
	"nsenter-mcp/tools/probe/lookup"
)

func netnsCurl() Tool {
	prober := attempt.New()
	tool := define(Spec{
		Name:  "netns_curl",
		Title: "HTTP request from inside",
		Description: "Sends one HTTP(S) request from inside a pod, container, process or netns as its application would: " +
			"its resolver, hosts file and CA bundle. Says how far it came (DNS, connect, TLS, HTTP), with timings, " +
			"and why it failed: route, ARP, firewall, lost packets, certificate. netns: host sends it from the node, to compare.",
		Toolset:      Probe,
		SendsPackets: true,
		Capabilities: []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_NET_RAW"},
		MaxBytes:     512 << 10,
		ReadsFiles:   true,
	}, func(ctx context.Context, env *Env, target *resolve.Target, in NetnsCurlIn) (Answer[fact.Fetch], error) {
		return curl(ctx, prober, env, target, in)
	})
	tool.adapt = adaptCurl
	return tool
}

// safeMethod and anyMethod describe the argument method under the two policies.
const (
	safeMethod = "GET (default), HEAD or OPTIONS"
	anyMethod  = "GET (default) or any other, also those that change something"
)

// adaptCurl says so where the operator allows methods that change something.
func adaptCurl(t *Tool, p Policy) error {
	if !p.UnsafeMethods {
		return nil
	}
	schema := bytes.Replace(t.InputSchema, []byte(safeMethod), []byte(anyMethod), 1)
	if bytes.Equal(schema, t.InputSchema) {
		return errors.New("its schema does not say which methods there are")
	}
	t.InputSchema, t.Changes = schema, true
	return nil
}

// NetnsCurlIn are the arguments of netns_curl.
type NetnsCurlIn struct {
	TargetArgs
	URL             string            `json:"url" jsonschema:"http or https"`
	Method          string            `json:"method,omitempty" jsonschema:"GET (default), HEAD or OPTIONS"`
	Headers         map[string]string `json:"headers,omitempty" jsonschema:"also Host"`
	Body            string            `json:"body,omitempty" jsonschema:"where the method has one"`
	HTTPVersion     string            `json:"http_version,omitempty" jsonschema:"default: by ALPN" enum:"1.1,2,h2c"`
	FollowRedirects int               `json:"follow_redirects,omitempty" jsonschema:"at most so many; default 0" min:"0" max:"10"`
	Insecure        bool              `json:"insecure,omitempty" jsonschema:"accept any certificate"`
	Resolve         []string          `json:"resolve,omitempty" jsonschema:"as curl's: host:port:address[,address]"`
	ConnectTo       []string          `json:"connect_to,omitempty" jsonschema:"as curl's: host1:port1:host2:port2"`
	UseProxy        bool              `json:"use_proxy,omitempty" jsonschema:"obey the container's variables"`
	MSS             int               `json:"mss,omitempty" jsonschema:"largest TCP segment, to try whether only small packets pass" min:"88" max:"32767"`
	MaxBodyBytes    *int              `json:"max_body_bytes,omitempty" jsonschema:"to show; default 1000" min:"0" max:"65536"`
	Details         bool              `json:"details,omitempty" jsonschema:"show all"`
}

const defaultBodyBytes = 1000

func (in *NetnsCurlIn) request(p Policy) fetch.Request {
	shown := defaultBodyBytes
	if in.MaxBodyBytes != nil {
		shown = *in.MaxBodyBytes
	}
	return fetch.Request{
		URL: in.URL, Method: in.Method, Headers: in.Headers, Body: in.Body, Version: fetch.Version(in.HTTPVersion),
		MaxRedirects: in.FollowRedirects, Insecure: in.Insecure, Resolve: in.Resolve, ConnectTo: in.ConnectTo,
		UseProxy: in.UseProxy, MaxBody: shown, MSS: in.MSS, Details: in.Details, Unsafe: p.UnsafeMethods,
	}
}

// permitted holds the method against a policy where another node's server is to
// send the request: that may allow more than this one has said of the tool.
func (in *NetnsCurlIn) permitted(p Policy) error {
	if err := fetch.CheckMethod(in.request(p)); err != nil {
		return curlError(err)
	}
	return nil
}

func curl(ctx context.Context, prober *attempt.Prober, env *Env, target *resolve.Target, in NetnsCurlIn) (Answer[fact.Fetch], error) {
	environ := applicationEnviron(target)
	variables := fetch.ParseEnviron(environ)
	allow := allowed(ctx, env.Policy.Destinations, target)
	var roots fetch.Roots
	client := fetch.Client{
		Prober: prober, Target: target.Net, Allow: allow, Environ: variables,
		Lookup: nameLookup(target, environ, allow),
		Roots: func(ctx context.Context) fetch.Roots {
			host, done := hostFileReader(env)
			defer done()
			roots = fetch.LoadRoots(ctx, fetch.RootFiles{Container: fileReader(target), CertFile: variables.CertFile(), Host: host})
			return roots
		},
	}
	answer, err := client.Do(ctx, in.request(env.Policy))
	if err != nil {
		return Answer[fact.Fetch]{}, curlError(err)
	}
	return Answer[fact.Fetch]{
		Summary:  summarizeFetch(answer),
		Data:     *answer,
		Findings: fetchFindings(answer, target),
		Notes:    curlNotes(answer, roots, target),
		Next:     curlNext(ctx, env, answer, target, in),
	}, nil
}

// fetchFindings judges a request; what a pod's own firewall does is the node's
// where the target is the node.
func fetchFindings(f *fact.Fetch, target *resolve.Target) []fact.Finding {
	findings := diagnose.Fetch(f)
	if target.HostNetwork {
		findings = diagnose.OnHost(findings)
	}
	return findings
}

// applicationEnviron is the environment of the target's application; nil where
// there is none or it cannot be read.
func applicationEnviron(target *resolve.Target) []byte {
	if target.App == nil {
		return nil
	}
	const most = 1 << 20
	environ, err := target.App.ReadFile("environ", most)
	if err != nil {
		return nil // some containers hide it even from root
	}
	return environ
}

func fileReader(target *resolve.Target) fetch.ReadFunc {
	return func(ctx context.Context, name string, limit int64) ([]byte, error) {
		return wholeFile(target.ReadFile(ctx, name, limit))
	}
}

// hostFileReader reads files of the host below its root, until done is called.
// It is nil where that is this process's own.
func hostFileReader(env *Env) (read fetch.ReadFunc, done func()) {
	if filepath.Clean("/"+env.Root) == "/" {
		return nil, func() {}
	}
	files, err := env.Home.OpenFiles(env.Root)
	if err != nil {
		return func(context.Context, string, int64) ([]byte, error) { return nil, err }, func() {}
	}
	read = func(ctx context.Context, name string, limit int64) ([]byte, error) {
		return wholeFile(files.ReadFile(ctx, name, limit))
	}
	return read, func() { _ = files.Close() } // was only read from
}

// wholeFile takes no part of a file for the file.
func wholeFile(file nsexec.File, err error) ([]byte, error) {
	if err == nil && file.Truncated {
		return nil, fmt.Errorf("longer than %d bytes: %w", len(file.Data), fs.ErrInvalid)
	}
	return file.Data, err
}

// nameLookup looks names up as the target's applications do.
func nameLookup(target *resolve.Target, environ []byte, allow func(netip.AddrPort) error) fetch.Lookup {
	whose := lookup.Target{
		Network:   lookup.Network{Handle: target.Net, Allow: allow},
		WholeRoot: target.Files != nil,
		From:      target.FilesFrom,
	}
	if target.FilesFrom != "" {
		whose.Files = target
	}
	whose.LocalDomain, whose.ResOptions = lookup.ParseEnvironment(environ)
	return func(ctx context.Context, name string) ([]netip.Addr, fact.Resolution, error) {
		found, err := lookup.Run(ctx, whose, lookup.Request{Name: name, Hurry: true})
		if err != nil {
			return nil, fact.Resolution{}, err
		}
		how := fact.Resolution{
			Name: name, Outcome: found.Outcome, Addresses: found.Addresses, Source: found.Source, AppWaitMS: found.AppWaitMS,
		}
		if found.Server != "" { // without an answer, Source is empty
			how.Source = strings.TrimSpace(how.Source + " " + found.Server)
		}
		var addrs []netip.Addr
		for _, text := range found.Addresses {
			if ip, err := netip.ParseAddr(text); err == nil {
				addrs = append(addrs, ip)
			}
		}
		return addrs, how, nil
	}
}

// curlError gives the errors of package fetch their public form.
func curlError(err error) error {
	var argument *fetch.ArgumentError
	var denied *fetch.DeniedError
	switch {
	case errors.As(err, &argument):
		hint := argument.Hint
		if hint == "" {
			hint = "correct the argument and call again"
		}
		return &failure{public: Error{
			Code: CodeInvalidArguments, Stage: stageArguments, Message: argument.Error(), Hint: hint,
		}}
	case errors.As(err, &denied):
		return &failure{public: Error{
			Code: CodeDestinationDenied, Stage: stagePolicy, Message: "the policy refuses the destination: " + denied.Error(),
			Hint: "metadata services, link-local addresses and what the operator denies are refused, however they are written; ask the operator if it has to be",
		}}
	}
	return deniedServer(err)
}

// summarizeFetch says in one sentence what came of the request. Everything in
// it is ours: reasons are worded by package fetch, and addresses are literal.
func summarizeFetch(f *fact.Fetch) string {
	switch f.Outcome {
	case fact.OutcomeOK, fact.OutcomeHTTPError:
		if f.Status != nil {
			return summarizeAnswer(f)
		}
	}
	where := ""
	switch {
	case f.Stage == fact.StageDNS || f.Remote == "" && len(f.Attempts) == 0:
		return sentence(fmt.Sprintf("No request was sent: %s", f.Reason))
	case f.Remote != "":
		where = " with " + f.Remote
	case len(f.Attempts) == 1:
		where = " to " + f.Attempts[0].Address
	default:
		where = fmt.Sprintf(" to any of %d addresses", len(f.Attempts))
	}
	what := map[fact.Stage]string{
		fact.StageConnect: "No connection", fact.StageProxy: "No way through the proxy", fact.StageTLS: "No TLS",
	}[f.Stage]
	if what == "" {
		what = "No answer"
		if f.Status != nil {
			what = fmt.Sprintf("Status %d, but no whole answer", *f.Status)
		}
	}
	return sentence(fmt.Sprintf("%s%s (%s): %s", what, where, f.Outcome, f.Reason))
}

func summarizeAnswer(f *fact.Fetch) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", *f.Status)
	if text := http.StatusText(*f.Status); text != "" {
		b.WriteString(" " + text)
	}
	fmt.Fprintf(&b, " from %s over %s in %.0f ms (", f.Remote, f.Protocol, f.Timings.TotalMS)
	separator := ""
	for _, phase := range [...]struct {
		name string
		ms   *float64
	}{
		{"DNS", f.Timings.DNSMS}, {"connect", f.Timings.ConnectMS}, {"proxy", f.Timings.ProxyMS},
		{"TLS", f.Timings.TLSMS}, {"first byte", f.Timings.FirstByteMS},
	} {
		if phase.ms != nil {
			fmt.Fprintf(&b, "%s%s %.1f", separator, phase.name, *phase.ms)
			separator = ", "
		}
	}
	b.WriteString(")")
	if n := len(f.Redirects); n > 0 && f.Redirects[n-1].Followed {
		fmt.Fprintf(&b, " after %s", plural(n, "redirect"))
	}
	if f.Reason != "" {
		b.WriteString("; " + f.Reason)
	}
	return sentence(b.String())
}

func sentence(text string) string {
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

func curlNotes(f *fact.Fetch, roots fetch.Roots, target *resolve.Target) []Note {
	var notes []Note
	add := func(code, format string, args ...any) {
		notes = append(notes, Note{Code: code, Message: fmt.Sprintf(format, args...)})
	}
	if f.TLS != nil && roots.From != "" && !strings.HasPrefix(roots.From, "container:") && target.Files != nil {
		switch {
		case roots.Unusable != "":
			add("no_ca_bundle", "the container's CA bundle %s holds no certificate; the chain was judged by another one (%s)", roots.Unusable, roots.From)
		default:
			add("no_ca_bundle", "the container has no CA bundle: unless it brings its own, its application trusts no server; the chain was judged by another one (%s)", roots.From)
		}
	}
	if p := f.Proxy; p != nil && p.Applies && !p.Used {
		add("proxy_env", "the container's variables send this request through the proxy %s; it was sent directly", p.Address)
	}
	if f.ReasonCode == fact.ReasonRedirectDenied {
		add(CodeDestinationDenied, "%s", f.Reason)
	}
	if f.AddressesSkipped > 0 && f.Stage == fact.StageConnect {
		add("addresses_skipped", "%s of the name were not tried", plural(f.AddressesSkipped, "further address"))
	}
	return notes
}

// curlNext are the calls that bring the search further, in the order in which
// an engineer would make them: what the target itself may lack, then the same
// from elsewhere.
func curlNext(ctx context.Context, env *Env, f *fact.Fetch, target *resolve.Target, in NetnsCurlIn) []Next {
	n := curlSteps{in: &in, target: target, fetch: f}
	failed := f.Outcome != fact.OutcomeOK
	if more := longerTimeout(in.TimeoutMS); tooShort(f) && more > 0 {
		n.again("the same with more time: a lost SYN is repeated only after a second", map[string]any{"timeout_ms": more})
	}
	if plain := plainURL(f, in); plain != "" {
		n.again("the same without TLS: the port speaks plain HTTP", map[string]any{"url": plain})
	}
	switch {
	case f.Stage == fact.StageDNS && f.DNS != nil:
		n.lookUp("what each name server says to each name of the search list")
	case f.DNS != nil && f.DNS.AppWaitMS >= slowLookup:
		n.lookUp(fmt.Sprintf("the application waits %.0f ms for the name alone", f.DNS.AppWaitMS))
	case f.DNS != nil && f.DNS.Source == "hosts" && (f.Stage == fact.StageConnect || f.Stage == fact.StageTLS):
		n.lookUp("the address is from the hosts file; what DNS says instead")
	case blamesLink(f) && !target.HostNetwork:
		n.showLink("state of the interface and of its other end on the host")
	case in.MSS > 0 && !failed:
		n.showLink("if only small packets get through: the MTU of the interface and of its other end on the host")
	}
	if p := f.Proxy; p != nil && p.Applies && !p.Used {
		n.again("the same through the proxy, as the container's application would send it", map[string]any{"use_proxy": true})
	}
	if stalled(f) && in.MSS == 0 {
		n.again("the same with small packets: if that works, large ones are lost on the way (MTU)", map[string]any{"mss": smallSegment})
	}
	refused := f.Outcome == fact.OutcomeRefused // so the way there and back works
	if refused && !isOwnPort(f) {
		n.fromInside(ctx, env)
	}
	if failed && f.Stage != fact.StageDNS && !target.HostNetwork && !isOwnPort(f) && !isClientError(f) {
		n.fromTheNode("the same from the node: if it works there, the fault is between pod and node; if not, it is the service or beyond")
	}
	if f.Stage == fact.StageConnect && !refused && !isOwnPort(f) {
		n.fromInside(ctx, env)
	}
	if r := len(f.Redirects); r > 0 && f.Redirects[r-1].Why == fact.RedirectNotAsked {
		n.again("follow the redirect", map[string]any{"follow_redirects": 5})
	}
	return n.steps
}

// curlSteps collects the next steps of one request.
type curlSteps struct {
	in     *NetnsCurlIn
	target *resolve.Target
	fetch  *fact.Fetch
	steps  []Next
}

func (n *curlSteps) lookUp(why string) {
	n.steps = append(n.steps, Next{
		Tool: "netns_dns_lookup", Arguments: arguments(n.target, map[string]any{"name": n.fetch.DNS.Name}), Why: why,
	})
}

func (n *curlSteps) showLink(why string) {
	n.steps = append(n.steps, Next{Tool: "netns_ip_addr", Arguments: arguments(n.target, nil), Why: why})
}

// again repeats the request from the target with other arguments.
func (n *curlSteps) again(why string, change map[string]any) {
	n.repeat(why, change, func(call map[string]any) map[string]any { return arguments(n.target, call) })
}

func (n *curlSteps) fromTheNode(why string) {
	n.repeat(why, sameAddresses(n.fetch, *n.in), func(call map[string]any) map[string]any {
		call["netns"] = "host"
		return call
	})
}

// fromInside repeats the request from inside the destination, where that is on
// this node: in there it is plain whether anything listens, on which addresses,
// and whether it accepts.
func (n *curlSteps) fromInside(ctx context.Context, env *Env) {
	if len(n.fetch.Attempts) != 1 || n.fetch.Proxy != nil && n.fetch.Proxy.Used {
		return // several destinations, or the proxy
	}
	to, err := netip.ParseAddrPort(n.fetch.Attempts[0].Address)
	if err != nil {
		return
	}
	owner := ownerOf(ctx, env, n.target, to.Addr().Unmap().WithZone(""))
	if owner == nil {
		return
	}
	defer func() { _ = owner.Close() }() // was only looked at
	who := "the network that owns " + to.Addr().String()
	if owner.Workload.Pod != "" {
		who = "pod " + word(owner.Workload.Namespace+"/"+owner.Workload.Pod)
	}
	n.repeat("the same from inside the destination, "+who+": whether anything listens and accepts there",
		sameAddresses(n.fetch, *n.in), func(call map[string]any) map[string]any { return arguments(owner, call) })
}

// repeat adds the same request with other arguments and from where whose says.
func (n *curlSteps) repeat(why string, change map[string]any, whose func(map[string]any) map[string]any) {
	call, whole := n.in.again()
	maps.Copy(call, change)
	if !whole {
		why += " (credentials are left out)"
	}
	n.steps = append(n.steps, Next{Tool: "netns_curl", Arguments: whose(call), Why: why})
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
		had = int(DefaultDeadline.Milliseconds())
	}
	most := int(MaxDeadline.Milliseconds())
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
// something else on the node.
func isOwnPort(f *fact.Fetch) bool {
	for i := range f.Attempts {
		if r := f.Attempts[i].Route; r != nil && r.Type == "local" {
			return true
		}
	}
	return false
}

// isClientError reports whether the server answered that the request is wrong;
// it would be from anywhere.
func isClientError(f *fact.Fetch) bool {
	return f.Outcome == fact.OutcomeHTTPError && f.Status != nil && *f.Status < 500
}

// sameAddresses makes a comparison connect to the addresses that the target
// found: the node looks cluster names up elsewhere.
func sameAddresses(f *fact.Fetch, in NetnsCurlIn) map[string]any {
	if f.DNS == nil || len(f.DNS.Addresses) == 0 || len(f.Attempts) == 0 || len(f.Redirects) > 0 || in.UseProxy || len(in.ConnectTo)+len(in.Resolve) > 0 {
		return nil
	}
	to, err := netip.ParseAddrPort(f.Attempts[0].Address)
	if err != nil {
		return nil
	}
	return map[string]any{"resolve": []string{fmt.Sprintf("%s:%d:%s", f.DNS.Name, to.Port(), strings.Join(f.DNS.Addresses, ","))}}
}

// again are the arguments of the same request, without those that name the
// target. Credentials do not go into an answer; whole says whether there were
// none.
func (in *NetnsCurlIn) again() (call map[string]any, whole bool) {
	call, whole = map[string]any{}, true
	clean, hidden := fetch.WithoutCredentials(in.URL, in.Headers)
	if hidden {
		whole = false
	}
	call["url"] = clean.URL
	if len(clean.Headers) > 0 {
		call["headers"] = clean.Headers
	}
	for name, value := range map[string]string{"method": in.Method, "body": in.Body, "http_version": in.HTTPVersion} {
		if value != "" {
			call[name] = value
		}
	}
	for name, value := range map[string]bool{"insecure": in.Insecure, "use_proxy": in.UseProxy, "details": in.Details} {
		if value {
			call[name] = true
		}
	}
	for name, value := range map[string][]string{"resolve": in.Resolve, "connect_to": in.ConnectTo} {
		if len(value) > 0 {
			call[name] = value
		}
	}
	if in.FollowRedirects > 0 {
		call["follow_redirects"] = in.FollowRedirects
	}
	if in.MaxBodyBytes != nil {
		call["max_body_bytes"] = *in.MaxBodyBytes
	}
	if in.MSS > 0 {
		call["mss"] = in.MSS
	}
	if in.TimeoutMS > 0 {
		call["timeout_ms"] = in.TimeoutMS
	}
	return call, whole
}
