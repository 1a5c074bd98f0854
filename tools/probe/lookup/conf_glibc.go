package lookup

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// glibcConf reads resolv.conf as glibc does (resolv/res_init.c, res_vinit_1).
func glibcConf(s *Sources) Conf {
	c := Conf{Ndots: 1, Timeout: defaultTimeout, Attempts: defaultAttempts}
	if s.LocalDomain != nil {
		line, _, _ := strings.Cut(*s.LocalDomain, "\n")
		c.Search = strings.FieldsFunc(line, blank)
	}
	for number, line := range lines(s.ResolvConf) {
		// Comments start in the first column only.
		if line == "" || line[0] == ';' || line[0] == '#' {
			continue
		}
		keyword, value, ok := glibcDirective(line)
		if !ok {
			c.ignoreNoKeyword(number, line)
			continue
		}
		switch keyword {
		case "domain", "search":
			domains := strings.FieldsFunc(value, blank)
			switch {
			case s.LocalDomain != nil: // it overrides the file
			case len(domains) == 0: // the list before it stays
			case keyword == "domain":
				c.Search = domains[:1]
			default:
				c.Search = domains
			}
		case "nameserver":
			ip, ok := glibcServer(value)
			if !ok {
				c.ignore(number, badServer(value))
				continue
			}
			c.addServer(number, ip)
		case "options":
			c.glibcOptions(value, s.GlibcMinor)
		}
	}
	if len(c.Servers) == 0 {
		c.Servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
		c.Defaulted = true
	}
	if s.LocalDomain == nil {
		c.searchHostname(s.Hostname)
	}
	if s.ResOptions != nil {
		c.glibcOptions(*s.ResOptions, s.GlibcMinor)
	}
	return c
}

// searchHostname makes the domain part of the host's own name the search list, where
// there is none.
func (c *Conf) searchHostname(hostname func() string) {
	if len(c.Search) > 0 || hostname == nil {
		return
	}
	if _, domain, ok := strings.Cut(hostname(), "."); ok && domain != "" && !strings.ContainsFunc(domain, space) {
		c.Search = []string{domain}
	}
}

// glibcDirective splits a line into a keyword that glibc knows and what follows
// the blanks after it.
func glibcDirective(line string) (keyword, value string, ok bool) {
	for _, keyword := range keywords {
		rest, found := strings.CutPrefix(line, keyword)
		if found && rest != "" && blank(rune(rest[0])) {
			return keyword, strings.TrimLeftFunc(rest, blank), true
		}
	}
	return "", "", false
}

// glibcServer reads the address on a nameserver line. A carriage return, from a
// file with DOS line ends, makes it no address.
func glibcServer(value string) (netip.Addr, bool) {
	if end := strings.IndexFunc(value, blank); end >= 0 {
		value = value[:end]
	}
	if ip, ok := inetAton(value); ok {
		return ip, true
	}
	address, zone, _ := strings.Cut(value, "%")
	ip, ok := inetPton6(address)
	if !ok {
		return netip.Addr{}, false
	}
	if zone != "" && (isLinkScoped(ip) || isNumber(zone)) {
		// An unknown interface would be no error, but no zone.
		ip = ip.WithZone(zone)
	}
	return ip, true
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 32)
	return err == nil
}

// badServer says in our words what is wrong with the value of a nameserver line.
func badServer(value string) string {
	switch {
	case value == "":
		return "nameserver without an address"
	case strings.ContainsRune(value, '\r'):
		return "nameserver line ends in a carriage return (DOS line ends), which makes it no address"
	}
	return "nameserver is not an IP address"
}

// glibcOption is an option without a value.
type glibcOption struct {
	name string
	flag func(*Conf) *bool
	// since is the minor version of glibc 2 that brought it; older ones ignore it.
	since int
}

// glibcOptionTable: glibc compares prefixes, in this order, so "rotate-no" is rotate,
// too.
func glibcOptionTable() []glibcOption {
	return []glibcOption{
		{"rotate", func(c *Conf) *bool { return &c.Rotate }, 0},
		{"edns0", func(c *Conf) *bool { return &c.EDNS0 }, 0},
		{"single-request-reopen", func(c *Conf) *bool { return &c.SingleRequestReopen }, 0},
		{"single-request", func(c *Conf) *bool { return &c.SingleRequest }, 0},
		{"no_tld_query", func(c *Conf) *bool { return &c.NoTLDQuery }, 0},
		{"no-tld-query", func(c *Conf) *bool { return &c.NoTLDQuery }, 0},
		{"no-reload", func(*Conf) *bool { return new(bool) }, 0}, // says when the file is read, not how
		{"use-vc", func(c *Conf) *bool { return &c.UseVC }, 0},
		{"trust-ad", func(c *Conf) *bool { return &c.TrustAD }, 31},
		{"no-aaaa", func(c *Conf) *bool { return &c.NoAAAA }, 36},
		{"strict-error", func(c *Conf) *bool { return &c.StrictError }, 41},
	}
}

// glibcMinus is the minor version from which a minus takes an option back.
const glibcMinus = 42

// glibcOptions reads one options line, or RES_OPTIONS (res_setoptions). Lines add
// up. version is the minor one of glibc 2; 0 is unknown and taken for the newest.
func (c *Conf) glibcOptions(value string, version int) {
	known := func(since int) bool { return version == 0 || version >= since }
	for value = strings.TrimLeftFunc(value, blank); value != ""; value = strings.TrimLeftFunc(value, blank) {
		// The number may stand after blanks (atoi), and is then a word of its own, too.
		if n, ok := strings.CutPrefix(value, "ndots:"); ok {
			// Kept in four bits, so -1 is 15.
			c.Ndots = min(strtol(n), maxNdots) & 0xf
		}
		if n, ok := strings.CutPrefix(value, "timeout:"); ok {
			// 0 and less mean 1 when it comes to waiting (send_dg), which is of no
			// use to tell apart.
			c.Timeout = time.Duration(max(min(strtol(n), 30), 1)) * time.Second
		}
		if n, ok := strings.CutPrefix(value, "attempts:"); ok {
			c.Attempts = max(min(strtol(n), 5), 0)
		}
		end := strings.IndexFunc(value, blank)
		if end < 0 {
			end = len(value)
		}
		name, negated := value[:end], false
		if known(glibcMinus) {
			name, negated = strings.CutPrefix(name, "-")
		}
		for _, option := range glibcOptionTable() {
			if known(option.since) && strings.HasPrefix(name, option.name) {
				*option.flag(c) = !negated
				break
			}
		}
		value = value[end:]
	}
}
