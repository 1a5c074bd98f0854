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
	if f.Stage == fact.StageDNS || f.Remote == "" && len(f.Attempts) == 0 {
		return sentence("The request was not sent: " + f.Reason)
	}
	where := f.Remote
	switch {
	case where != "":
	case len(f.Attempts) == 1:
		where = f.Attempts[0].Address
	default:
		where = fmt.Sprintf("any of %d addresses", len(f.Attempts))
	}
	what := fmt.Sprintf("%s accepted the connection and sent no HTTP answer", where)
	switch {
	case f.Stage == fact.StageConnect:
		what = "Connecting to " + where + " failed"
	case f.Stage == fact.StageProxy:
		what = "The proxy at " + where + " did not connect further"
	case f.Stage == fact.StageTLS:
		what = "The TLS handshake with " + where + " failed"
	case f.Status != nil:
		what = fmt.Sprintf("%s answered with status %d, and the answer is not whole", where, *f.Status)
	case f.Outcome == fact.OutcomeHTTPError:
		what = where + " refused the request"
	case f.ReasonCode == fact.ReasonNotHTTP:
		return sentence(where + " accepts connections and does not speak HTTP: " + f.Reason)
	}
	return sentence(fmt.Sprintf("%s (%s): %s", what, f.Outcome, f.Reason))
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
	if p := f.Proxy; p != nil && p.ExemptRange != "" && !p.Used {
		add("no_proxy_range", "only the range %s in NO_PROXY exempts this address from the proxy %s; clients that do not understand ranges "+
			"(curl before 7.86, Python's urllib, busybox wget) ask the proxy", p.ExemptRange, p.Address)
	}
	if first := firstFailed(f); first != nil {
		add("first_address_failed", "%s came first and failed (%s), %s answered: a client that tries the first address alone fails",
			first.Address, first.Outcome, f.Remote)
	}
	if f.ReasonCode == fact.ReasonRedirectDenied {
		add(dispatch.CodeDestinationDenied, "%s", f.Reason)
	}
	if f.AddressesSkipped > 0 && f.Stage == fact.StageConnect {
		add("addresses_skipped", "%s of the name were not tried", words.Plural(f.AddressesSkipped, "further address"))
	}
	return notes
}

// firstFailed returns the first attempt where that failed and another one connected.
func firstFailed(f *fact.Fetch) *fact.Attempt {
	if f.Remote == "" || len(f.Attempts) < 2 {
		return nil
	}
	switch first := &f.Attempts[0]; first.Outcome {
	case fact.OutcomeOK, fact.OutcomeAbandoned, fact.OutcomeDenied:
		return nil
	default:
		return first
	}
}
