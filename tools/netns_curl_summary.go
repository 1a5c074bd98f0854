package tools

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
)

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
	return sentence(fmt.Sprintf("%s (%s): %s%s", what, f.Outcome, f.Reason, describeService(f)))
}

// describeService says what the destination is to the cluster, where the reason does not.
func describeService(f *fact.Fetch) string {
	s := f.Service
	if s == nil || strings.Contains(f.Reason, s.Namespace+"/"+s.Name) {
		return ""
	}
	return fmt.Sprintf("; the destination is service %s/%s, of whose %s %d are ready", s.Namespace, s.Name, words.Plural(s.Total, "endpoint"), s.Ready)
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
	if f.Outcome == fact.OutcomeHTTPError && f.DNS != nil && f.DNS.Source == "hosts" {
		b.WriteString("; the address is from the hosts file")
	}
	return sentence(b.String())
}

func sentence(text string) string {
	if strings.HasSuffix(text, ".") || strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

func curlNotes(f *fact.FetchEvidence, target *resolve.Target) []dispatch.Note {
	var notes []dispatch.Note
	add := func(code, format string, args ...any) {
		notes = append(notes, dispatch.Note{Code: code, Message: fmt.Sprintf(format, args...)})
	}
	if f.TLS != nil && f.RootsFrom != "" && !strings.HasPrefix(f.RootsFrom, "container:") && target.Files != nil {
		lacks := "the container has no CA bundle: unless the application brings one, the application trusts no server"
		if f.RootsUnusable != "" {
			lacks = "the container's CA bundle " + f.RootsUnusable + " holds no certificate"
		}
		add("no_ca_bundle", "%s; the chain was judged by another bundle (%s)", lacks, f.RootsFrom)
	}
	if t := f.TLS; t != nil && t.Insecure && t.Error != nil && f.Stage != fact.StageTLS {
		add("insecure", "without insecure the certificate is not accepted: %s", t.Error.Message)
	}
	if f.EnvironCut {
		add("environment_cut", "the application's environment is longer than 1 MiB: later variables (proxies, CA bundle) were not read")
	}
	if p := f.Proxy; p != nil && p.Applies && !p.Used {
		add("proxy_env", "the container's variables send this request through the proxy %s; it was sent directly", p.Address)
	}
	if p := f.Proxy; p != nil && p.ExemptRange != "" && !p.Used {
		add("no_proxy_range", "only the range %s in NO_PROXY exempts this address from the proxy %s. Clients without ranges "+
			"(curl before 7.86, Python's urllib, busybox wget) ask the proxy", p.ExemptRange, p.Address)
	}
	if first := firstFailed(f.Fetch); first != nil {
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

// serviceUnknown: the cluster did not say whether a service takes part.
func serviceUnknown(said string) []dispatch.Note {
	if said == "" {
		return nil
	}
	return []dispatch.Note{{Code: "service_not_known", Message: "whether the address or name is a service's is not known: " + said}}
}

// firewallNotRead: where packets are lost, that no finding names a firewall says nothing
// of the rules.
func firewallNotRead(findings []fact.Finding) []dispatch.Note {
	lost := func(f fact.Finding) bool {
		return f.Code == diagnose.TCPTimeout || f.Code == diagnose.DNSNameserverTimeout
	}
	if !slices.ContainsFunc(findings, lost) {
		return nil
	}
	return []dispatch.Note{{Code: "firewall_not_read", Message: "firewall rules were not read, neither the target's nor the node's: one of them may be the cause"}}
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
