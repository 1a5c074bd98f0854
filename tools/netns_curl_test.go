package tools

import (
	"strings"
	"testing"

	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

func TestSummaryOfWhatFailed(t *testing.T) {
	t.Parallel()
	one := []fact.Attempt{{Address: "10.0.0.1:80"}}
	status := 200
	for want, f := range map[string]fact.Fetch{
		"The request was not sent: r.":                                                  {Stage: fact.StageDNS, Outcome: fact.OutcomeDNSFailed},
		"Connecting to 10.0.0.1:80 failed (refused): r.":                                {Stage: fact.StageConnect, Outcome: fact.OutcomeRefused, Attempts: one},
		"Connecting to any of 2 addresses failed (timeout): r.":                         {Stage: fact.StageConnect, Outcome: fact.OutcomeTimeout, Attempts: append(one, one...)},
		"The proxy at 10.0.0.1:80 did not connect further (reset): r.":                  {Stage: fact.StageProxy, Outcome: fact.OutcomeReset, Remote: "10.0.0.1:80"},
		"The TLS handshake with 10.0.0.1:80 failed (tls_failed): r.":                    {Stage: fact.StageTLS, Outcome: fact.OutcomeTLSFailed, Remote: "10.0.0.1:80"},
		"10.0.0.1:80 accepted the connection and sent no HTTP answer (timeout): r.":     {Stage: fact.StageResponse, Outcome: fact.OutcomeTimeout, Remote: "10.0.0.1:80"},
		"10.0.0.1:80 refused the request (http_error): r.":                              {Stage: fact.StageResponse, Outcome: fact.OutcomeHTTPError, Remote: "10.0.0.1:80"},
		"10.0.0.1:80 accepts connections and does not speak HTTP: r.":                   {Stage: fact.StageResponse, Outcome: fact.OutcomeNotHTTP, ReasonCode: fact.ReasonNotHTTP, Remote: "10.0.0.1:80"},
		"10.0.0.1:80 answered with status 200, and the answer is not whole (reset): r.": {Stage: fact.StageBody, Outcome: fact.OutcomeReset, Remote: "10.0.0.1:80", Status: &status},
	} {
		f.Reason = "r"
		if got := summarizeFetch(&f); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestNotesOfCurl: what works for this client and may not for another.
func TestNotesOfCurl(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		f    fact.Fetch
		want string // codes and the beginning of the first message
	}{
		{"nothing", fact.Fetch{Outcome: fact.OutcomeOK, Remote: "10.0.0.1:80", Attempts: []fact.Attempt{{Outcome: fact.OutcomeOK}}}, ""},
		{"the first address refused", fact.Fetch{Outcome: fact.OutcomeOK, Remote: "127.0.0.1:80", Attempts: []fact.Attempt{
			{Address: "[::1]:80", Outcome: fact.OutcomeRefused}, {Outcome: fact.OutcomeOK}}}, "first_address_failed: [::1]:80 came first and failed (refused), 127.0.0.1:80 answered"},
		{"the first address was slower", fact.Fetch{Outcome: fact.OutcomeOK, Remote: "127.0.0.1:80", Attempts: []fact.Attempt{
			{Address: "[::1]:80", Outcome: fact.OutcomeAbandoned}, {Outcome: fact.OutcomeOK}}}, ""},
		{"all failed", fact.Fetch{Outcome: fact.OutcomeRefused, Attempts: []fact.Attempt{{Outcome: fact.OutcomeRefused}, {Outcome: fact.OutcomeRefused}}}, ""},
		{"range", fact.Fetch{Outcome: fact.OutcomeOK, Proxy: &fact.Proxy{Address: "http://p:1", ExemptRange: "10.96.0.0/12"}},
			"no_proxy_range: only the range 10.96.0.0/12 in NO_PROXY exempts this address from the proxy http://p:1"},
		{"range, through the proxy", fact.Fetch{Outcome: fact.OutcomeOK, Proxy: &fact.Proxy{Used: true, Address: "http://p:1", ExemptRange: "10.96.0.0/12"}}, ""},
	} {
		got := ""
		for _, n := range curlNotes(&fact.FetchEvidence{Fetch: &c.f}, &resolve.Target{}) {
			got += n.Code + ": " + n.Message
		}
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestSameQuestion: a comparison goes through the same proxy, or to the same address
// and port.
func TestSameQuestion(t *testing.T) {
	t.Parallel()
	found := func() *fact.Fetch {
		return &fact.Fetch{DNS: &fact.Resolution{Name: "api", Addresses: []string{"10.0.0.1", "10.0.0.2"}}, Attempts: []fact.Attempt{{Address: "10.0.0.1:80"}}}
	}
	proxied := found()
	proxied.Proxy = &fact.Proxy{Used: true, Address: "http://p:3128"}
	for _, c := range []struct {
		name string
		f    *fact.Fetch
		url  string
		want string
	}{
		{"name", found(), "http://api/", "api:80:10.0.0.1,10.0.0.2"},
		{"name without a scheme", found(), "api:8080/x", "api:8080:10.0.0.1,10.0.0.2"},
		{"TLS", found(), "https://api/", "api:443:10.0.0.1,10.0.0.2"},
		{"proxy", proxied, "http://api/", "http://p:3128"},
		{"address", &fact.Fetch{Attempts: []fact.Attempt{{Address: "10.0.0.1:80"}}}, "http://10.0.0.1/", ""},
	} {
		in := NetnsCurlIn{URL: c.url}
		in.askTheSame(c.f)
		if got := in.Proxy + strings.Join(in.Resolve, " "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestInsecureIsANote: a certificate that the caller accepts is no finding, and what it
// lacks is said.
func TestInsecureIsANote(t *testing.T) {
	t.Parallel()
	for _, stage := range []fact.Stage{fact.StageDone, fact.StageTLS} {
		e := &fact.FetchEvidence{Fetch: &fact.Fetch{Stage: stage, TLS: &fact.TLS{Insecure: true, Error: &fact.TLSError{Message: "expired"}}}}
		notes := curlNotes(e, &resolve.Target{})
		if said := len(notes) == 1 && notes[0].Code == "insecure" && strings.Contains(notes[0].Message, "expired"); said != (stage == fact.StageDone) {
			t.Errorf("%s: %+v", stage, notes)
		}
	}
}
