package tools

import (
	"bytes"
	"context"
	"errors"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/gather"
	"nsenter-mcp/tools/probe/attempt"
	"nsenter-mcp/tools/probe/fetch"
)

const netnsCurl dispatch.Name[NetnsCurlIn] = "netns_curl"

func netnsCurlTool() dispatch.Tool {
	prober := attempt.New()
	tool := dispatch.Define(netnsCurl, dispatch.Spec{
		Title: "HTTP request from inside",
		Description: "Sends one HTTP(S) request from inside a pod, container, process or netns as its application would: " +
			"its resolver, hosts file and CA bundle. Says how far it came (DNS, connect, TLS, HTTP), with timings, " +
			"and why it failed: route, ARP, firewall, lost packets, certificate. netns: host sends it from the node, to compare.",
		Purpose:      "an HTTP request from inside: how far it comes and what stops it",
		Toolset:      dispatch.Probe,
		SendsPackets: true,
		Capabilities: []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE", "CAP_NET_RAW"},
		MaxBytes:     512 << 10,
		ReadsFiles:   true,
	}, func(ctx context.Context, env *dispatch.Env, target *resolve.Target, in NetnsCurlIn) (dispatch.Answer[fact.Fetch], error) {
		return curl(ctx, prober, env, target, in)
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
	Details         bool              `json:"details,omitempty" jsonschema:"show all"`
}

const defaultBodyBytes = 1000

func (in *NetnsCurlIn) request(p dispatch.Policy) fetch.Request {
	shown := defaultBodyBytes
	if in.MaxBodyBytes != nil {
		shown = *in.MaxBodyBytes
	}
	return fetch.Request{
		URL: in.URL, Method: in.Method, Headers: in.Headers, Body: in.Body, Version: fetch.Version(in.HTTPVersion),
		MaxRedirects: in.FollowRedirects, Insecure: in.Insecure, Resolve: in.Resolve, ConnectTo: in.ConnectTo,
		UseProxy: in.UseProxy, Proxy: in.Proxy, MaxBody: shown, MSS: in.MSS, Details: in.Details, Unsafe: p.UnsafeMethods,
	}
}

// Permitted holds the method against a policy where another node's server is to
// send the request: that may allow more than this one has said of the tool.
func (in *NetnsCurlIn) Permitted(p dispatch.Policy) error {
	if err := fetch.CheckMethod(in.request(p)); err != nil {
		return curlError(err)
	}
	return nil
}

func curl(ctx context.Context, prober *attempt.Prober, env *dispatch.Env, target *resolve.Target, in NetnsCurlIn) (dispatch.Answer[fact.Fetch], error) {
	environ := gather.ApplicationEnviron(target)
	variables := fetch.ParseEnviron(environ)
	allow := gather.Allowed(ctx, env.Policy.Destinations, target)
	var roots fetch.Roots
	var lookups []*fact.DNSLookup // one after the other
	client := fetch.Client{
		Prober: prober, Target: target.Net, Allow: allow, Environ: variables,
		Lookup: gather.NameLookup(target, environ, allow, func(l *fact.DNSLookup) { lookups = append(lookups, l) }),
		Roots: func(ctx context.Context) fetch.Roots {
			host, done := gather.HostFileReader(env.Home, env.Root)
			defer done()
			roots = fetch.LoadRoots(ctx, fetch.RootFiles{Container: gather.FileReader(target), CertFile: variables.CertFile(), Host: host})
			return roots
		},
	}
	answer, err := client.Do(ctx, in.request(env.Policy))
	if err != nil {
		return dispatch.Answer[fact.Fetch]{}, curlError(err)
	}
	attempt.AskNode(env.Host, target.Net, answer.Attempts)
	diagnose.Connecting(answer)
	if why := diagnose.ECN(answer); why != "" {
		answer.Reason = why
	}
	mtu := blameMTU(ctx, env, target, answer) // before the reason is quoted
	result := dispatch.Answer[fact.Fetch]{
		Summary:  summarizeFetch(answer),
		Findings: append(mtu, fetchFindings(answer, target, lookups)...),
		Notes:    curlNotes(answer, roots, target),
		Next:     curlNext(ctx, env, answer, target, in, environ),
	}
	if !in.Details {
		fetch.Compact(answer)
	}
	result.Data = *answer
	return result, nil
}
