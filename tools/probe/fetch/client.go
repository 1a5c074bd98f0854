package fetch

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"nsenter-mcp/internal/redact"
	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/attempt"
	"nsenter-mcp/tools/probe/journey"
)

// Lookup finds the addresses of a name as the target's applications would, in
// the order in which they would be tried. No address is no error: then the
// resolution says why. An error says that nothing could be asked.
type Lookup func(ctx context.Context, name string) ([]netip.Addr, fact.Resolution, error)

// Client is what fetching needs of a target. It is made for one call.
type Client struct {
	Prober *attempt.Prober
	Target *nsexec.Handle
	// Tracer records where packets without an answer went; nil for none.
	Tracer *journey.Tracer
	// Lookup may be nil; then there are literal addresses only.
	Lookup Lookup
	// Allow is asked before each connection, with the literal address; its
	// error refuses. It is also asked about addresses that a proxy would be sent
	// to. Nil allows everything.
	Allow func(netip.AddrPort) error
	// Roots are asked for once, before the first TLS handshake.
	Roots func(context.Context) Roots
	// Environ is the container's, as far as it concerns HTTP.
	Environ Environ
	// Now is the clock by which certificates are judged; nil is the machine's.
	Now func() time.Time
}

// DeniedError says that no address of the URL may be connected to.
type DeniedError struct {
	Host string
	Err  error // of Client.Allow
}

func (e *DeniedError) Error() string { return e.Err.Error() }
func (e *DeniedError) Unwrap() error { return e.Err }

// Do carries out a request, and follows redirects as far as it says. It ends
// before ctx's deadline. What the network did is in the answer; errors are
// [*ArgumentError], [*DeniedError], and what kept from measuring.
func (c *Client) Do(ctx context.Context, r Request) (*fact.Fetch, error) {
	p, err := prepare(r)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	work, cancel := leaveTime(ctx)
	defer cancel()
	call := &call{Client: c, plan: p, start: start, finish: ctx, seen: map[string]bool{}}
	answer, err := call.follow(work)
	if answer == nil {
		return nil, err
	}
	answer.Timings.TotalMS = milliseconds(time.Since(start))
	answer.Complete = explained(answer)
	return answer, err
}

// call is one request with the redirects after it.
type call struct {
	*Client
	*plan
	start  time.Time
	finish context.Context // ends later than that of the work; what explains a failure has until then
	roots  *Roots          // once loaded
	seen   map[string]bool // methods and URLs requested
}

// leaveTime sets a deadline somewhat before ctx's, so that there is time to
// find out why something did not happen until then.
func leaveTime(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	left := time.Until(deadline)
	spare := min(max(left/20, 50*time.Millisecond), 500*time.Millisecond, left/2)
	return context.WithDeadline(ctx, deadline.Add(-spare))
}

// follow requests the URL and, while redirects may be followed, where the
// answer leads.
func (c *call) follow(ctx context.Context) (*fact.Fetch, error) {
	at := hop{method: c.Method, url: c.url, header: c.header, body: c.Body, hostname: c.hostname}
	var redirects []fact.Redirect
	var before *fact.Fetch // the last redirect's answer
	for {
		c.seen[at.key()] = true
		begun := time.Now()
		answer, location, err := c.once(ctx, at)
		if err != nil {
			if denied := asDenied(err); denied != nil && before != nil {
				last := &redirects[len(redirects)-1]
				last.Followed, last.Why = false, fact.RedirectDenied
				before.Redirects = redirects
				before.ReasonCode = fact.ReasonRedirectDenied
				before.Reason = "the redirect leads to a destination that is refused: " + denied.Error()
				return before, nil
			}
			return nil, err
		}
		answer.Redirects = redirects
		if location == nil {
			answer.Redirects = append([]fact.Redirect{}, redirects...)
			return answer, nil
		}
		next, why := c.next(at, location, len(redirects))
		redirects = append(redirects, fact.Redirect{
			Status: *answer.Status, URL: answer.URL, Remote: answer.Remote, MS: milliseconds(time.Since(begun)),
			Followed: why == "", Why: why, Untrusted: fact.RedirectText{Location: location.shown},
		})
		answer.Redirects = redirects
		if why != "" {
			return answer, nil
		}
		before, at = answer, next
	}
}

// hop is one request of a call.
type hop struct {
	redirected bool // the URL is the other side's text
	method     string
	url        *url.URL
	header     http.Header
	body       string
	hostname   string
}

// public is the URL as it may stand outside of untrusted: without credentials,
// and without the path where somebody else chose that. A host has been checked
// to be a name or an address.
func (h *hop) public() string {
	if !h.redirected {
		return public(h.url)
	}
	origin := h.url.Scheme + "://" + publicHost(h.url)
	if h.url.RequestURI() == "/" {
		return origin + "/"
	}
	return origin + "/..."
}

func (h *hop) key() string { return h.method + " " + h.url.String() }

// maxLocation bounds what is shown of where an answer leads.
const maxLocation = 500

// location is where an answer leads.
type location struct {
	status int
	url    *url.URL // nil where the text is none
	shown  string
}

// redirectOf returns where an answer leads, nil for nowhere (RFC 9110, 15.4).
func redirectOf(at *url.URL, response *http.Response, hide secrets) *location {
	switch response.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return nil
	}
	text := response.Header.Get("Location")
	if text == "" {
		return nil
	}
	l := &location{status: response.StatusCode, shown: line(hide.hide(redact.URL(text)), maxLocation)}
	if len(text) > maxURL {
		return l
	}
	if u, err := at.Parse(text); err == nil {
		u.Fragment, u.RawFragment = "", ""
		l.url = u
	}
	return l
}

// next is the request after a redirect, or why there is none.
func (c *call) next(from hop, to *location, followed int) (next hop, why string) {
	switch {
	case c.MaxRedirects == 0:
		return next, fact.RedirectNotAsked
	case to.url == nil:
		return next, fact.RedirectBad
	case to.url.Scheme != "http" && to.url.Scheme != "https":
		return next, fact.RedirectScheme
	case c.Version == HTTP2 && to.url.Scheme != "https", c.Version == H2C && to.url.Scheme != "http":
		return next, fact.RedirectScheme
	}
	clean, err := parseURL(to.url.String())
	if err != nil {
		return next, fact.RedirectBad
	}
	next = hop{redirected: true, method: from.method, url: clean, header: from.header, body: from.body}
	if !sameOrigin(from.url, clean) {
		next.header = withoutCredentials(from.header)
		clean.User = nil
	} else {
		next.hostname = from.hostname
		clean.User = from.url.User
	}
	next.method, next.body = redirectMethod(to, from)
	switch {
	case c.seen[next.key()]:
		return next, fact.RedirectLoop
	case followed >= c.MaxRedirects:
		return next, fact.RedirectLimit
	}
	return next, ""
}

// redirectMethod is the method after a redirect (RFC 9110, section 15.4): 303
// makes it a GET, and so do 301 and 302 for POST, as every client does.
func redirectMethod(to *location, from hop) (method, body string) {
	switch {
	case to.status == http.StatusSeeOther && from.method != http.MethodHead,
		(to.status == http.StatusMovedPermanently || to.status == http.StatusFound) && from.method == http.MethodPost:
		return http.MethodGet, ""
	}
	return from.method, from.body
}

// sameOrigin compares scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

// withoutCredentials is the header for another origin.
func withoutCredentials(header http.Header) http.Header {
	clean := http.Header{}
	for name, values := range header {
		if !redact.Name(name) {
			clean[name] = values
		}
	}
	return clean
}

// portOf is the port of a URL that was checked.
func portOf(u *url.URL) uint16 {
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return uint16(n)
	}
	if u.Scheme == "https" {
		return 443
	}
	return 80
}

func asDenied(err error) *DeniedError {
	var denied *DeniedError
	if errors.As(err, &denied) {
		return denied
	}
	return nil
}
