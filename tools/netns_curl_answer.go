package tools

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/fetch"
)

// fetchFindings judges a request, and the lookup that it failed at; what a pod's own
// firewall does is the node's where the target is the node.
func fetchFindings(f *fact.Fetch, target *resolve.Target, lookups []*fact.DNSLookup) []fact.Finding {
	findings := diagnose.Fetch(f)
	if f.Stage == fact.StageDNS && f.DNS != nil {
		for _, l := range slices.Backward(lookups) {
			if l.Asked == f.DNS.Name {
				findings = append(findings, diagnose.FailedLookup(l)...)
				break
			}
		}
	}
	if target.HostNetwork {
		findings = diagnose.OnHost(findings)
	}
	return findings
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
		return &dispatch.Error{
			Code: dispatch.CodeInvalidArguments, Stage: dispatch.StageArguments, Message: argument.Error(), Hint: hint,
		}
	case errors.As(err, &denied):
		return &dispatch.Error{
			Code: dispatch.CodeDestinationDenied, Stage: dispatch.StagePolicy, Message: "the policy refuses the destination: " + denied.Error(),
			Hint: "metadata services, link-local addresses and what the operator denies are refused, however they are written; ask the operator if it has to be",
		}
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
		fmt.Fprintf(&b, " after %s", words.Plural(n, "redirect"))
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

func curlNotes(f *fact.Fetch, roots fetch.Roots, target *resolve.Target) []dispatch.Note {
	var notes []dispatch.Note
	add := func(code, format string, args ...any) {
		notes = append(notes, dispatch.Note{Code: code, Message: fmt.Sprintf(format, args...)})
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
		add(dispatch.CodeDestinationDenied, "%s", f.Reason)
	}
	if f.AddressesSkipped > 0 && f.Stage == fact.StageConnect {
		add("addresses_skipped", "%s of the name were not tried", words.Plural(f.AddressesSkipped, "further address"))
	}
	return notes
}
