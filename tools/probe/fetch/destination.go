package fetch

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"nsenter-mcp/tools/fact"
)

// destination is where the TCP connection goes: the URL's host and port, or
// what connect_to makes of them, or a proxy.
func (s *step) destination() (host, uint16, error) {
	target, err := parseHost(s.url.Hostname())
	if err != nil {
		return host{}, 0, err // cannot be: the URL was checked
	}
	port := portOf(s.url)
	report, via := s.Environ.report(s.url)
	if s.proxy != nil {
		via, report = s.proxy, cmp.Or(report, &fact.Proxy{})
	}
	s.answer.Proxy = report
	if via != nil {
		report.Address = via.Scheme + "://" + publicHost(via)
	}
	if via != nil && (s.UseProxy && report.Applies || s.proxy != nil) {
		h, port, err := proxyPlace(via, "use_proxy")
		s.via, report.Used = via, err == nil
		s.secrets.addUser(via.User)
		return h, port, err
	}
	for _, d := range s.detours {
		if matches(d.host, target) && (d.port == 0 || d.port == port) {
			if d.toHost != "" {
				if target, err = parseHost(d.toHost); err != nil {
					return host{}, 0, err // cannot be: the argument was checked
				}
			}
			if d.toPort != 0 {
				port = d.toPort
			}
			break
		}
	}
	return target, port, nil
}

// proxyPlace is where a proxy listens that the argument field led to.
func proxyPlace(via *url.URL, field string) (host, uint16, error) {
	port := uint64(80)
	switch via.Scheme {
	case "http":
	case "socks5", "socks5h":
		port = 1080
	default:
		return host{}, 0, badArgument(field, "the proxy has the scheme %q; http and socks5 can be used", line(via.Scheme, 20))
	}
	h, err := parseHost(via.Hostname())
	if err != nil {
		return host{}, 0, badArgument(field, "the proxy has no usable host")
	}
	if via.Port() != "" {
		if port, err = strconv.ParseUint(via.Port(), 10, 16); err != nil || port == 0 {
			return host{}, 0, badArgument(field, "the proxy has no usable port")
		}
	}
	return h, uint16(port), nil
}

// resolve turns the host into addresses. Without any, it sets the outcome and
// is not ok.
func (s *step) resolve(ctx context.Context, target host, port uint16) (to []netip.AddrPort, ok bool, err error) {
	addrs, err := s.addresses(ctx, target, port)
	if err != nil {
		return nil, false, err
	}
	if s.via != nil {
		if err := s.checkBehindProxy(ctx); err != nil {
			return nil, false, err
		}
	}
	if len(addrs) == 0 {
		s.fail(fact.StageDNS, fact.OutcomeDNSFailed, NoAddress(s.answer.DNS))
		return nil, false, nil
	}
	for _, a := range addrs {
		to = append(to, netip.AddrPortFrom(a, port))
	}
	return to, true, nil
}

// NoAddress says why there is no address. That the name has none is known only
// where a server said so; whoever is silent or refuses says nothing of the name.
func NoAddress(how *fact.Resolution) string {
	switch how.Outcome {
	case "nxdomain":
		return "the name has no address: it does not exist"
	case "nodata":
		return "the name has no address: it exists without one"
	}
	what := how.Outcome
	if words := lookupFailures[how.Outcome]; words != "" {
		what = words
	}
	why := "the name could not be looked up: " + what
	switch {
	case how.Source == "":
	case how.Outcome == "no_nameserver":
		why += ", and nobody answers at the library's own choice, " + how.Source
	default:
		why += " (" + how.Source + ")"
	}
	return why
}

// lookupFailures word what keeps a name from being looked up.
var lookupFailures = map[string]string{
	"half_denied":   "the nameserver has an address and denies the name for the other record type, which musl takes for both",
	"bad_response":  "the nameserver sends no valid answer",
	"reset":         "the nameserver ended the TCP connection",
	"servfail":      "the nameserver fails",
	"refused":       "the nameserver refuses to answer",
	"timeout":       "no nameserver answered in time",
	"unreachable":   "no nameserver can be reached",
	"no_nameserver": "no nameserver is known",
}

func (s *step) addresses(ctx context.Context, target host, port uint16) ([]netip.Addr, error) {
	if !target.addr.IsValid() || len(s.overrides) > 0 {
		for _, o := range s.overrides {
			if o.port == port && matches(o.host, target) {
				s.answer.DNS = &fact.Resolution{Name: target.String(), Outcome: "override", Source: "resolve argument", Addresses: texts(o.addrs)}
				return o.addrs, nil
			}
		}
	}
	if target.addr.IsValid() {
		return []netip.Addr{target.addr}, nil
	}
	begun := time.Now()
	addrs, how, err := s.lookup(ctx, target.lookupName())
	if err != nil {
		return nil, err
	}
	s.answer.Timings.DNSMS = since(begun)
	if how.Addresses == nil {
		how.Addresses = []string{}
	}
	s.answer.DNS = &how
	return addrs, nil
}

// errNoLookup: this client has no resolver.
var errNoLookup = errors.New("names cannot be looked up here; use a literal address or resolve")

func (c *Client) lookup(ctx context.Context, name string) ([]netip.Addr, fact.Resolution, error) {
	if c.Lookup == nil {
		return nil, fact.Resolution{}, &ArgumentError{Field: "url", Message: errNoLookup.Error()}
	}
	return c.Lookup(ctx, name)
}

func texts(addrs []netip.Addr) []string {
	list := make([]string, len(addrs))
	for i, a := range addrs {
		list[i] = a.String()
	}
	return list
}
