package tools

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/gather"
)

const netnsCurl dispatch.Name[NetnsCurlIn] = "netns_curl"

func netnsCurlTool(tracer *gather.Tracer) dispatch.Tool {
	client := gather.NewHTTP()
	tool := dispatch.Define(netnsCurl, dispatch.Spec{
		Title: "HTTP request from inside",
		Description: "Sends one HTTP(S) request from inside a pod, container, process or netns as its application would: " +
			"its resolver, hosts file and CA bundle. Says how far the request came (DNS, connect, TLS, HTTP), with timings, " +
			"and why the request failed: route, ARP, firewall, lost packets, certificate. netns: host sends it from the node, to compare.",
		Purpose:      "an HTTP request from inside: how far it comes and what stops it",
		Toolset:      dispatch.Probe,
		SendsPackets: true,
		Capabilities: []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_NET_RAW"},
		MaxBytes:     512 << 10,
		ReadsFiles:   true,
	}, func(ctx context.Context, env *dispatch.Env, target *resolve.Target, in NetnsCurlIn) (dispatch.Answer[fact.Fetch], error) {
		return curl(ctx, client, thisNode(env, tracer), env, target, in)
	})
	tool.Adapt = adaptCurl
	return tool
}

// safeMethod and anyMethod describe the argument method under the two policies.
const (
	safeMethod = "GET, HEAD or OPTIONS; default GET"
	anyMethod  = "GET (default) or any other, also those that change something"
)

// adaptCurl says so where the operator allows methods that change something.
func adaptCurl(t *dispatch.Tool, p dispatch.Policy) error {
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
	dispatch.TargetArgs
	URL             string            `json:"url" jsonschema:"http or https"`
	Method          string            `json:"method,omitempty" jsonschema:"GET, HEAD or OPTIONS; default GET"`
	Headers         map[string]string `json:"headers,omitempty" jsonschema:"also Host"`
	Body            string            `json:"body,omitempty" jsonschema:"where the method has one"`
	HTTPVersion     string            `json:"http_version,omitempty" jsonschema:"default by ALPN" enum:"1.1,2,h2c"`
	FollowRedirects int               `json:"follow_redirects,omitempty" jsonschema:"at most so many; default 0" min:"0" max:"10"`
	Insecure        bool              `json:"insecure,omitempty" jsonschema:"accept any certificate"`
	Resolve         []string          `json:"resolve,omitempty" jsonschema:"as curl's: host:port:address[,address]"`
	ConnectTo       []string          `json:"connect_to,omitempty" jsonschema:"as curl's: host1:port1:host2:port2"`
	UseProxy        bool              `json:"use_proxy,omitempty" jsonschema:"obey the container's variables"`
	Proxy           string            `json:"proxy,omitempty" jsonschema:"as curl's -x: http or socks5"`
	MSS             int               `json:"mss,omitempty" jsonschema:"largest TCP segment, to try whether only small packets pass" min:"88" max:"32767"`
	MaxBodyBytes    *int              `json:"max_body_bytes,omitempty" jsonschema:"to show; default 1000" min:"0" max:"65536"`
	Count           int               `json:"count,omitempty" jsonschema:"tries, each on a new connection: loss, dead backends; default 1" min:"1" max:"50"`
	Details         bool              `json:"details,omitempty" jsonschema:"show all"`
}

const defaultBodyBytes = 1000

func (in *NetnsCurlIn) request(p dispatch.Policy) gather.HTTPRequest {
	shown := defaultBodyBytes
	if in.MaxBodyBytes != nil {
		shown = *in.MaxBodyBytes
	}
	return gather.HTTPRequest{
		URL: in.URL, Method: in.Method, Headers: in.Headers, Body: in.Body, Version: gather.HTTPVersion(in.HTTPVersion),
		MaxRedirects: in.FollowRedirects, Insecure: in.Insecure, Resolve: in.Resolve, ConnectTo: in.ConnectTo,
		UseProxy: in.UseProxy, Proxy: in.Proxy, MaxBody: shown, MSS: in.MSS, Repeated: in.Count > 1, Details: in.Details, Unsafe: p.UnsafeMethods,
	}
}

// Permitted holds the method against a policy where another node's server is to
// send the request: that may allow more than this one has said of the tool.
func (in *NetnsCurlIn) Permitted(p dispatch.Policy) error {
	if err := gather.CheckMethod(in.request(p)); err != nil {
		return curlError(err)
	}
	return nil
}

func curl(ctx context.Context, client *gather.HTTP, node gather.Node, env *dispatch.Env, target *resolve.Target, in NetnsCurlIn) (dispatch.Answer[fact.Fetch], error) {
	send := func() (*fact.FetchEvidence, error) { return client.Do(ctx, node, target, in.request(env.Policy)) }
	if in.Count > 1 {
		send = func() (*fact.FetchEvidence, error) {
			return client.Repeat(ctx, node, target, in.request(env.Policy), in.Count, env.ReportTries(in.Count))
		}
	}
	found, err := send()
	if err != nil {
		return dispatch.Answer[fact.Fetch]{}, curlError(err)
	}
	answer := dispatch.Answer[fact.Fetch]{Findings: diagnose.Fetch(found)}
	answer.Summary = summarizeFetch(found.Fetch) // with the reason that was found
	if found.Tries != nil {
		answer.Summary = summarizeTries(found.Tries, answer.Findings) + answer.Summary
	}
	answer.Notes = slices.Concat(curlNotes(found, target), firewallNotRead(answer.Findings), serviceUnknown(found.ServiceUnknown))
	answer.Next = in.next(ctx, env, target, found, answer.Findings)
	found.ShowJourney()
	if !in.Details {
		found.Compact()
	}
	answer.Data = *found.Fetch
	return answer, nil
}

// thisNode is the machine from which a call looks at its target.
func thisNode(env *dispatch.Env, tracer *gather.Tracer) gather.Node {
	if env.Policy.NoJourney {
		tracer = nil
	}
	return gather.Node{Home: env.Home, Host: env.Host, Root: env.Root, Resolver: env.Resolver, Destinations: env.Policy.Destinations, Tracer: tracer}
}

// next makes calls of the moves that are worth making.
func (in *NetnsCurlIn) next(ctx context.Context, env *dispatch.Env, target *resolve.Target, e *fact.FetchEvidence, findings []fact.Finding) []dispatch.Next {
	clean, hidden := gather.WithoutCredentials(in.request(env.Policy))
	same := dispatch.ArgumentsOf(target)
	var next []dispatch.Next
	for _, step := range diagnose.AfterFetch(e, findings) {
		call, why := *in, step.Why
		call.TargetArgs, call.URL, call.Headers, call.Proxy = same, clean.URL, clean.Headers, clean.Proxy
		call.TimeoutMS = in.TimeoutMS
		ok := true
		switch step.Move {
		case diagnose.LookUpName:
			next = append(next, dispatch.Propose(netnsDNSLookup, NetnsDNSLookupIn{TargetArgs: same, Name: e.DNS.Name}, why))
			continue
		case diagnose.ShowPod:
			next = append(next, proposePod(step))
			continue
		case diagnose.ShowPodLink:
			namespace, pod, _ := strings.Cut(step.Name, "/")
			next = append(next, dispatch.Propose(netnsIPAddr, NetnsIPAddrIn{TargetArgs: dispatch.TargetArgs{Pod: pod, Namespace: namespace}}, why))
			continue
		case diagnose.ShowLink:
			next = append(next, dispatch.Propose(netnsIPAddr, NetnsIPAddrIn{TargetArgs: same}, why))
			continue
		case diagnose.WithMoreTime:
			call.TimeoutMS = longerTimeout(in.TimeoutMS)
			ok = call.TimeoutMS > 0
		case diagnose.WithoutTLS:
			call.URL, ok = withoutTLS(call.URL)
		case diagnose.OverHTTP11:
			call.HTTPVersion = string(gather.HTTP11)
		case diagnose.AtServiceAddress:
			call.Resolve = pinned(e.DNS.Name, in.URL, e.ServiceAddress)
		case diagnose.ThroughProxy:
			call.UseProxy = true
		case diagnose.ThroughProxyOfRange:
			call.Proxy = e.Proxy.Address
		case diagnose.WithSmallPackets:
			call.MSS = smallSegment
		case diagnose.FollowRedirect:
			call.FollowRedirects = 5
		case diagnose.FromNode:
			call.TargetArgs = dispatch.TargetArgs{Netns: "host", TimeoutMS: in.TimeoutMS}
			call.UseProxy = false // the node's variables are others
			call.askTheSame(e.Fetch)
		case diagnose.FromInside:
			ok = call.fromInside(ctx, env, target, e.Fetch, &why)
		}
		if hidden {
			why += " (credentials are left out)"
		}
		if ok {
			next = append(next, dispatch.Propose(netnsCurl, call, why))
		}
	}
	return next
}

// fromInside makes a call one from inside the destination, where that is on this node:
// in there it is plain whether anything listens, on which addresses, and whether it
// accepts.
func (in *NetnsCurlIn) fromInside(ctx context.Context, env *dispatch.Env, target *resolve.Target, f *fact.Fetch, why *string) bool {
	owner, to := gather.OwnerOf(ctx, env.Resolver, env.Host, target, f.Behind()...)
	if owner == nil {
		return false
	}
	defer func() { _ = owner.Close() }() // was only looked at
	*why = "the same from inside the destination, " + ownerName(owner, to.Addr()) + ": " + *why
	timeout := in.TimeoutMS
	in.TargetArgs = dispatch.ArgumentsOf(owner)
	in.TimeoutMS = timeout
	if to.String() != f.Attempts[0].Address { // a service's; inside, nobody translates it
		in.Resolve, in.ConnectTo = nil, []string{"::" + to.String()}
		return true
	}
	in.askTheSame(f)
	return true
}

// proposePod proposes to look at a pod.
func proposePod(step diagnose.Step) dispatch.Next {
	namespace, pod, _ := strings.Cut(step.Name, "/")
	return dispatch.Propose(resolvePodPID, ResolvePodPIDIn{TargetArgs: dispatch.TargetArgs{Pod: pod, Namespace: namespace}}, step.Why)
}

// ownerName calls the network that owns an address by its pod, where it has one.
func ownerName(owner *resolve.Target, ip netip.Addr) string {
	if owner.Workload.Pod == "" {
		return "the network that owns " + ip.String()
	}
	return "pod " + words.Printable(podName(&owner.Workload))
}

// askTheSame makes a comparison ask the same question: through the same proxy, or of
// the addresses that the target found, for the node looks cluster names up elsewhere.
func (in *NetnsCurlIn) askTheSame(f *fact.Fetch) {
	switch {
	case f.Proxy != nil && f.Proxy.Used:
		in.Proxy = f.Proxy.Address
	case f.DNS != nil && len(f.DNS.Addresses) > 0 && len(f.Attempts) > 0 && len(f.Redirects) == 0 && len(in.ConnectTo)+len(in.Resolve) == 0:
		in.Resolve = pinned(f.DNS.Name, in.URL, strings.Join(f.DNS.Addresses, ","))
	}
}

// pinned are the arguments resolve by which the host of a URL is at addr.
func pinned(name, rawURL, addr string) []string {
	port := "80"
	if !strings.Contains(rawURL, "://") {
		rawURL = "http://" + rawURL
	}
	if u, err := url.Parse(rawURL); err == nil {
		if u.Scheme == "https" {
			port = "443"
		}
		port = cmp.Or(u.Port(), port)
	}
	return []string{strings.TrimSuffix(name, ".") + ":" + port + ":" + addr}
}

// withoutTLS is a URL with http instead of https. The port stays the same.
func withoutTLS(rawURL string) (string, bool) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "https" {
		return "", false
	}
	if u.Port() == "" {
		u.Host = strings.TrimSuffix(u.Host, ":") + ":443"
	}
	u.Scheme = "http"
	return u.String(), true
}

// smallSegment fits through every path (RFC 879).
const smallSegment = 536

// longerTimeout is enough for a SYN to be repeated twice, in milliseconds; 0
// where the call had the most time that there is.
func longerTimeout(had int) int {
	const enough = 5000
	had = cmp.Or(had, int(dispatch.DefaultDeadline.Milliseconds()))
	most := int(dispatch.MaxDeadline.Milliseconds())
	switch {
	case had < enough:
		return enough
	case had < most:
		return min(2*had, most)
	}
	return 0
}

// curlError gives the errors of package fetch their public form.
func curlError(err error) error {
	var argument *gather.ArgumentError
	var denied *gather.DeniedError
	switch {
	case errors.As(err, &argument):
		hint := argument.Hint
		if hint == "" {
			hint = "send another " + argument.Field
		}
		return &dispatch.Error{
			Code: dispatch.CodeInvalidArguments, Stage: dispatch.StageArguments, Message: argument.Error(), Hint: hint,
		}
	case errors.As(err, &denied):
		return &dispatch.Error{
			Code: dispatch.CodeDestinationDenied, Stage: dispatch.StagePolicy, Message: "the policy refuses the destination: " + denied.Error(),
			Hint: "refused are metadata services, link-local addresses, the node's loopback from the node's own network, and destinations that the operator denies, in any writing; " +
				"only the operator's file allows them (destinations, allow_host_loopback)",
		}
	}
	return deniedServer(err)
}
