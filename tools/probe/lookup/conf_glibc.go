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
			c.glibcOptions(value)
		}
	}
	if len(c.Servers) == 0 {
		c.Servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
		c.Defaulted = true
	}
	if len(c.Search) == 0 && s.LocalDomain == nil {
		c.searchHostname(s.Hostname)
	}
	if s.ResOptions != nil {
		c.glibcOptions(*s.ResOptions)
	}
	return c
}

// searchHostname makes the domain part of the host's own name the search list. A
// host name is one word, whatever a container writes into its file.
func (c *Conf) searchHostname(name string) {
	if words := strings.FieldsFunc(name, space); len(words) > 0 {
		if _, domain, ok := strings.Cut(words[0], "."); ok && domain != "" {
			c.Search = []string{domain}
		}
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

// glibcFlags are the options without a value. glibc compares prefixes, in this
// order, so "rotate-no" is rotate, too.
func (c *Conf) glibcFlags() [11]struct {
	name string
	flag *bool
} {
	return [...]struct {
		name string
		flag *bool
	}{
		{"rotate", &c.Rotate},
		{"edns0", &c.EDNS0},
		{"single-request-reopen", &c.SingleRequestReopen},
		{"single-request", &c.SingleRequest},
		{"no_tld_query", &c.NoTLDQuery},
		{"no-tld-query", &c.NoTLDQuery},
		{"no-reload", new(bool)}, // says when the file is read, not how
		{"use-vc", &c.UseVC},
		{"trust-ad", &c.TrustAD},
		{"no-aaaa", &c.NoAAAA},
		{"strict-error", &c.StrictError},
	}
}

// glibcOptions reads one options line, or RES_OPTIONS (res_setoptions). Lines
// add up.
func (c *Conf) glibcOptions(value string) {
	for _, word := range strings.FieldsFunc(value, blank) {
		if n, ok := strings.CutPrefix(word, "ndots:"); ok {
			// Kept in four bits, so -1 is 15.
			c.Ndots = min(strtol(n), maxNdots) & 0xf
			continue
		}
		if n, ok := strings.CutPrefix(word, "timeout:"); ok {
			// 0 and less mean 1 when it comes to waiting (send_dg), which is of no
			// use to tell apart.
			c.Timeout = time.Duration(max(min(strtol(n), 30), 1)) * time.Second
			continue
		}
		if n, ok := strings.CutPrefix(word, "attempts:"); ok {
			c.Attempts = max(min(strtol(n), 5), 0)
			continue
		}
		// A minus takes an option back (glibc 2.42).
		name, negated := strings.CutPrefix(word, "-")
		for _, option := range c.glibcFlags() {
			if strings.HasPrefix(name, option.name) {
				*option.flag = !negated
				break
			}
		}
	}
}
