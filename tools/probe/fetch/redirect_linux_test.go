package fetch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

func TestRedirects(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var other string
	mux := http.NewServeMux()
	mux.HandleFunc("/end", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s auth=%q host=%s", r.Method, r.Header.Get("Authorization"), r.Host)
	})
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", r.URL.Query().Get("u"))
		status := http.StatusFound
		if s := r.URL.Query().Get("s"); s != "" {
			_, _ = fmt.Sscan(s, &status)
		}
		w.WriteHeader(status)
	})
	mux.HandleFunc("/other", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+other+"/end", http.StatusFound)
	})
	mux.HandleFunc("/count", func(w http.ResponseWriter, r *http.Request) {
		n := 0
		_, _ = fmt.Sscan(r.URL.Query().Get("n"), &n)
		http.Redirect(w, r, fmt.Sprintf("/count?n=%d", n+1), http.StatusFound)
	})
	at := b.serve(mux.ServeHTTP)
	other = b.serve(mux.ServeHTTP)
	to := func(location string) string { return "http://" + at + "/to?u=" + location }

	for _, c := range []struct {
		name    string
		request Request
		outcome fact.Outcome
		status  int
		count   int    // of redirects
		why     string // of the last one
		body    string
	}{
		{"not asked", Request{URL: to("/end")}, fact.OutcomeOK, 302, 1, fact.RedirectNotAsked, ""},
		{"followed", Request{URL: to("/end"), MaxRedirects: 1}, fact.OutcomeOK, 200, 1, "", `GET auth="" host=` + at},
		{"credentials stay with their origin", Request{URL: to("/end"), MaxRedirects: 1, Headers: map[string]string{"Authorization": "Bearer sesame"}},
			fact.OutcomeOK, 200, 1, "", `GET auth="REDACTED" host=` + at},
		{"credentials do not go elsewhere", Request{URL: "http://" + at + "/other", MaxRedirects: 1, Headers: map[string]string{"Authorization": "Bearer sesame"}},
			fact.OutcomeOK, 200, 1, "", `GET auth="" host=` + other},
		{"HEAD stays HEAD", Request{URL: to("/end"), Method: "HEAD", MaxRedirects: 1}, fact.OutcomeOK, 200, 1, "", ""},
		{"POST becomes GET", Request{URL: to("/end"), Method: "POST", Body: "x", Unsafe: true, MaxRedirects: 1},
			fact.OutcomeOK, 200, 1, "", `GET auth="" host=` + at},
		{"POST stays POST by 307", Request{URL: to("/end") + "&s=307", Method: "POST", Body: "x", Unsafe: true, MaxRedirects: 1},
			fact.OutcomeOK, 200, 1, "", `POST auth="" host=` + at},
		{"limit", Request{URL: "http://" + at + "/count?n=0", MaxRedirects: 3}, fact.OutcomeOK, 302, 4, fact.RedirectLimit, ""},
		{"other scheme", Request{URL: to("file:///etc/passwd"), MaxRedirects: 5}, fact.OutcomeOK, 302, 1, fact.RedirectScheme, ""},
		{"other scheme with a host", Request{URL: to("gopher://10.0.0.1/"), MaxRedirects: 5}, fact.OutcomeOK, 302, 1, fact.RedirectScheme, ""},
		{"no URL", Request{URL: to("http://%5b::1"), MaxRedirects: 5}, fact.OutcomeOK, 302, 1, fact.RedirectBad, ""},
		{"not to be followed by status", Request{URL: to("/end") + "&s=304", MaxRedirects: 5}, fact.OutcomeOK, 304, 0, "", ""},
		{"to an address without its link", Request{URL: to("http://%5bfe80::1%2525nope%5d/"), MaxRedirects: 5}, fact.OutcomeOK, 302, 1, fact.RedirectDenied, ""},
		{"to nobody", Request{URL: to("http://127.0.0.1:9/"), MaxRedirects: 5}, fact.OutcomeRefused, 0, 1, "", ""},
	} {
		b.run(c.name, func(b *bench) {
			f := b.fetch(c.request)
			status := 0
			if f.Status != nil {
				status = *f.Status
			}
			if f.Outcome != c.outcome || status != c.status || len(f.Redirects) != c.count {
				b.Fatalf("%s %d with %d redirects", f.Outcome, status, len(f.Redirects))
			}
			if c.count > 0 {
				if last := f.Redirects[c.count-1]; last.Why != c.why || last.Followed != (c.why == "") {
					b.Errorf("%+v", last)
				}
			}
			if c.body != "" && f.Untrusted.Body != c.body {
				b.Errorf("body %q, want %q", f.Untrusted.Body, c.body)
			}
		})
	}
}

func TestRedirectLoop(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	at := b.serve(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
	f := b.fetch(Request{URL: "http://" + at + "/", MaxRedirects: 10})
	if len(f.Redirects) != 2 || f.Redirects[1].Why != fact.RedirectLoop || *f.Status != 302 {
		t.Errorf("%+v", f.Redirects)
	}
}

// deny refuses what a policy would, and remembers what it was asked.
type deny struct{ asked []netip.AddrPort }

var errDenied = errors.New("refused by policy")

func (d *deny) allow(to netip.AddrPort) error {
	d.asked = append(d.asked, to)
	if to.Addr().Unmap().IsLinkLocalUnicast() {
		return errDenied
	}
	return nil
}

func TestDestinationsAreCheckedWhereTheyAreConnectedTo(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	const metadata = "169.254.169.254"
	for _, c := range []struct {
		name    string
		request Request
		lookup  Lookup
	}{
		{"literal", Request{URL: "http://" + metadata + "/latest/meta-data/"}, nil},
		{"decimal", Request{URL: "http://2852039166/"}, nil},
		{"octal", Request{URL: "http://0251.0376.0251.0376/"}, nil},
		{"hexadecimal", Request{URL: "http://0xa9fea9fe/"}, nil},
		{"short", Request{URL: "http://169.254.43518/"}, nil},
		{"full-width digits", Request{URL: "http://１６９.254.169.254/"}, nil},
		{"with a dot at the end", Request{URL: "http://169.254.169.254./"}, nil},
		{"mapped", Request{URL: "http://[::ffff:169.254.169.254]/"}, nil},
		{"mapped in hexadecimal", Request{URL: "http://[::ffff:a9fe:a9fe]/"}, nil},
		{"name", Request{URL: "http://metadata.test/"}, hosts(map[string][]string{"metadata.test": {metadata}})},
		{"name with several addresses", Request{URL: "http://metadata.test/"}, hosts(map[string][]string{"metadata.test": {metadata, "169.254.170.2"}})},
		{"resolve", Request{URL: "http://harmless.test/", Resolve: []string{"harmless.test:80:" + metadata}}, nil},
		{"resolve for a literal", Request{URL: "http://192.0.2.1/", Resolve: []string{"*:80:" + metadata}}, nil},
		{"connect_to", Request{URL: "http://harmless.test/", ConnectTo: []string{"::" + metadata + ":"}}, nil},
		{"user info that looks like a host", Request{URL: "http://192.0.2.1@" + metadata + "/"}, nil},
		{"Host header", Request{URL: "http://" + metadata + "/", Headers: map[string]string{"Host": "harmless.test"}}, nil},
	} {
		b.run(c.name, func(b *bench) {
			d := &deny{}
			b.client.Allow, b.client.Lookup = d.allow, c.lookup
			f, err := b.fetchErr(c.request)
			var denied *DeniedError
			if !errors.As(err, &denied) || f != nil {
				b.Fatalf("%v, %+v", err, f)
			}
			for _, to := range d.asked {
				if !to.Addr().Unmap().IsLinkLocalUnicast() {
					b.Errorf("asked about %s", to)
				}
			}
		})
	}
}

func TestRebindingIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	at := b.serve(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/next", http.StatusFound) })
	_, port, _ := net.SplitHostPort(at)
	d := &deny{}
	b.client.Allow = d.allow
	answers := []string{b.server.IP.String(), "169.254.169.254"}
	b.client.Lookup = func(ctx context.Context, name string) ([]netip.Addr, fact.Resolution, error) {
		answer := answers[0]
		answers = answers[1:]
		return hosts(map[string][]string{name: {answer}})(ctx, name)
	}
	f := b.fetch(Request{URL: "http://rebind.test:" + port, MaxRedirects: 5})
	if len(f.Redirects) != 1 || f.Redirects[0].Why != fact.RedirectDenied || f.Redirects[0].Followed || *f.Status != 302 {
		t.Errorf("%+v", f.Redirects)
	}
	if !strings.Contains(f.Reason, "refused") {
		t.Errorf("%q", f.Reason)
	}
}

func TestRedirectToRefusedDestination(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, location := range []string{
		"http://169.254.169.254/latest/", "//169.254.169.254/", "http://2852039166/", "http://[::ffff:169.254.169.254]/", "http://0xa9.0xfe.0xa9.0xfe/",
	} {
		b.run(location, func(b *bench) {
			d := &deny{}
			b.client.Allow = d.allow
			at := b.serve(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", location)
				w.WriteHeader(http.StatusMovedPermanently)
			})
			f := b.fetch(Request{URL: "http://" + at, MaxRedirects: 5})
			if len(f.Redirects) != 1 || f.Redirects[0].Why != fact.RedirectDenied || *f.Status != 301 {
				b.Errorf("%+v", f.Redirects)
			}
		})
	}
}
