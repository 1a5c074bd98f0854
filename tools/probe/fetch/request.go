package fetch

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// Version is the version of HTTP to speak.
type Version string

// The versions. Auto is HTTP/2 where TLS agrees on it and HTTP/1.1 otherwise.
const (
	Auto  Version = ""
	HTTP1 Version = "1.1"
	HTTP2 Version = "2"   // over TLS
	H2C   Version = "h2c" // without TLS, by prior knowledge (RFC 9113, section 3.3)
)

// Request is what a caller asks for. Nothing of it has been checked yet.
type Request struct {
	URL     string
	Method  string // default GET
	Headers map[string]string
	Body    string
	Version Version
	// MaxRedirects is how many redirects are followed.
	MaxRedirects int
	Insecure     bool
	Resolve      []string // "host:port:address[,address]"
	ConnectTo    []string // "host1:port1:host2:port2"
	UseProxy     bool     // obey the container's proxy variables
	Proxy        string   // use this one, whatever they say: a URL of scheme http or socks5
	MaxBody      int      // bytes of the body that are shown
	// MSS makes TCP use segments of at most so many bytes, to find out whether a
	// path carries small packets only; 0 leaves it to the kernel.
	MSS int
	// Details shows all headers, certificates and measurements, within larger
	// bounds.
	Details bool
	// Repeated: the request is one of several. Connecting is given up after the time in
	// which a SYN is sent three times.
	Repeated bool
	// Unsafe allows methods that change something.
	Unsafe bool
}

// The bounds of a request.
const (
	MaxRedirects   = 10
	MinMSS         = 88    // TCP_MIN_MSS of the kernel
	MaxMSS         = 32767 // MAX_TCP_WINDOW
	MaxBodyShown   = 64 << 10
	maxURL         = 8 << 10
	maxHeaders     = 64
	maxHeaderBytes = 16 << 10
	maxRequestBody = 64 << 10
)

const userAgent = "nsenter-mcp"

// plan is a request that was checked.
type plan struct {
	Request
	url       *url.URL
	proxy     *url.URL // nil for that of the container's variables
	header    http.Header
	hostname  string // of a Host header, "" for that of the URL
	overrides []override
	detours   []detour
	secrets   secrets
}

func newPlan(r Request) *plan {
	p := &plan{Request: r}
	if p.Method == "" {
		p.Method = http.MethodGet
	}
	p.Method = strings.ToUpper(p.Method)
	return p
}

// CheckMethod reports whether the request may be one that changes something
// although Unsafe does not allow that, for who has it made by somebody else. Its
// errors are [*ArgumentError].
func CheckMethod(r Request) error {
	p := newPlan(r)
	if err := p.checkMethod(); err != nil {
		return err
	}
	return p.checkHeaders()
}

// prepare checks a request. Its errors are [*ArgumentError].
func prepare(r Request) (*plan, error) {
	p := newPlan(r)
	var err error
	if p.url, err = parseURL(r.URL); err != nil {
		return nil, err
	}
	if r.Proxy != "" {
		if p.proxy, err = parseProxy(r.Proxy); err != nil {
			return nil, err
		}
	}
	for _, text := range r.Resolve {
		o, err := parseOverride(text)
		if err != nil {
			return nil, err
		}
		p.overrides = append(p.overrides, o)
	}
	for _, text := range r.ConnectTo {
		d, err := parseDetour(text)
		if err != nil {
			return nil, err
		}
		p.detours = append(p.detours, d)
	}
	if err := p.checkMethod(); err != nil {
		return nil, err
	}
	if err := p.checkHeaders(); err != nil {
		return nil, err
	}
	if err := p.checkVersion(); err != nil {
		return nil, err
	}
	if r.MaxRedirects < 0 || r.MaxRedirects > MaxRedirects {
		return nil, badArgument("follow_redirects", "must be 0 to %d", MaxRedirects)
	}
	if r.MaxBody < 0 || r.MaxBody > MaxBodyShown {
		return nil, badArgument("max_body_bytes", "must be 0 to %d", MaxBodyShown)
	}
	if r.MSS != 0 && (r.MSS < MinMSS || r.MSS > MaxMSS) {
		return nil, badArgument("mss", "must be %d to %d", MinMSS, MaxMSS)
	}
	p.secrets.addHeader(p.header)
	p.secrets.addUser(p.url.User)
	return p, nil
}

// parseProxy reads the URL of a proxy. As for curl, "host:port" is http.
func parseProxy(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return nil, badArgument("proxy", "is not a URL") // likewise without credentials
	}
	_, _, err = proxyPlace(u, "proxy")
	return u, err
}

// parseURL reads an absolute URL of scheme http or https. As for curl,
// "host/path" is http; as for browsers (WHATWG's URL standard), blanks are
// escaped. A zone may stand as ip(8) writes it, [fe80::1%eth0], or as RFC 6874.
func parseURL(text string) (*url.URL, error) {
	hint := `write it as "http://10.0.0.1:8080/path"`
	bad := func(format string, args ...any) error {
		return &ArgumentError{Field: "url", Message: fmt.Sprintf(format, args...), Hint: hint}
	}
	text = strings.ReplaceAll(strings.TrimSpace(text), " ", "%20")
	switch {
	case text == "":
		return nil, bad("is missing")
	case len(text) > maxURL:
		return nil, bad("is longer than %d bytes", maxURL)
	case brokenScheme().MatchString(text):
		hint = `write "://" after the scheme: http://host/path`
		return nil, bad(`"://" is misspelt`)
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(bareZone().ReplaceAllString(text, "${1}%25"))
	var escape url.EscapeError
	if errors.As(err, &escape) && escape != "%20" {
		hint = "write a percent sign that begins no escape as %25"
		return nil, bad("has a percent sign without two hexadecimal digits after it")
	}
	if err != nil {
		return nil, bad("is not a URL") // the error repeats the text, credentials and all
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, bad("the scheme %q is not http or https", line(u.Scheme, 20))
	}
	if _, err := parseHost(u.Hostname()); err != nil {
		return nil, bad("%v", err)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, bad("%q is not a port", line(port, 20))
		}
	} else {
		u.Host = strings.TrimSuffix(u.Host, ":")
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// brokenScheme matches http:/host and https//host, whose scheme would be taken for
// a host.
var brokenScheme = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?i:https?)(:/[^/]|//)`)
})

// bareZone matches the beginning of an authority up to a percent sign that begins
// a zone and is not escaped.
var bareZone = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([^/?#]*//[^/?#]*\[[0-9A-Fa-f:.]+)%(?:25)?`)
})

var safeMethods = [...]string{http.MethodGet, http.MethodHead, http.MethodOptions}

func (p *plan) checkMethod() error {
	safe := slices.Contains(safeMethods[:], p.Method)
	switch {
	case !httpguts.ValidHeaderFieldName(p.Method) || len(p.Method) > 32 || p.Method == http.MethodConnect:
		return badArgument("method", "%q is no method that can be sent", line(p.Method, 40))
	case !safe && !p.Unsafe:
		return &ArgumentError{
			Field: "method", Message: p.Method + " may change something; the operator allows " + strings.Join(safeMethods[:], ", ") + " only",
			Hint: "use one of those, or ask the operator to set allow_unsafe_methods",
		}
	case !safe && p.Repeated:
		return badArgument("count", "repeats %s only", strings.Join(safeMethods[:], ", "))
	case p.Body != "" && (safe || p.Method == http.MethodTrace):
		return badArgument("body", "%s has no body", p.Method)
	case len(p.Body) > maxRequestBody:
		return badArgument("body", "is longer than %d bytes", maxRequestBody)
	}
	return nil
}

// framing are the headers by which package net/http delimits and routes
// messages; a second opinion on them would be request smuggling.
var framing = [...]string{
	"Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
}

// methodOverrides make some frameworks treat a GET as another method.
var methodOverrides = [...]string{"X-Http-Method", "X-Http-Method-Override", "X-Method-Override"}

// hyphen is what stands in a header's name in place of r.
func hyphen(r rune) rune {
	if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
		return r
	}
	return '-'
}

func (p *plan) checkHeaders() error {
	if len(p.Headers) > maxHeaders {
		return badArgument("headers", "there are more than %d", maxHeaders)
	}
	p.header = http.Header{"User-Agent": {userAgent}, "Accept": {"*/*"}}
	size := 0
	for name, value := range p.Headers {
		size += len(name) + len(value)
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return badArgument("headers", "%q has a name or a value that HTTP does not allow", line(name, 64))
		}
		// Gateways (CGI, WSGI) take _ for -, and some take all that is no letter or digit
		// for it: what is refused with one is with the other.
		canonical := http.CanonicalHeaderKey(name)
		plain := http.CanonicalHeaderKey(strings.Map(hyphen, name))
		switch {
		case slices.Contains(framing[:], plain):
			return badArgument("headers", "%s is set by the tool", canonical)
		case slices.Contains(methodOverrides[:], plain) && !p.Unsafe:
			return badArgument("headers", "%s may change the method; the operator does not allow that", canonical)
		case canonical == "Host":
			if !httpguts.ValidHostHeader(value) || value == "" {
				return badArgument("headers", "%q is no host", line(value, 64))
			}
			p.hostname = value
		default:
			p.header[canonical] = []string{value}
		}
	}
	if size > maxHeaderBytes {
		return badArgument("headers", "are longer than %d bytes together", maxHeaderBytes)
	}
	return nil
}

func (p *plan) checkVersion() error {
	switch p.Version {
	case Auto, HTTP1:
	case HTTP2:
		if p.url.Scheme != "https" {
			return &ArgumentError{Field: "http_version", Message: "2 needs https", Hint: "without TLS, HTTP/2 is h2c"}
		}
	case H2C:
		if p.url.Scheme != "http" {
			return &ArgumentError{Field: "http_version", Message: "h2c is HTTP/2 without TLS and needs http", Hint: "over TLS it is 2"}
		}
	default:
		return badArgument("http_version", "must be 1.1, 2 or h2c")
	}
	return nil
}
