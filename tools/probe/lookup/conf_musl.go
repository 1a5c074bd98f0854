package lookup

import (
	"net/netip"
	"strings"
	"time"
)

// muslLine is the size of musl's line buffer; a longer line is ignored whole.
const muslLine = 256

// muslConf reads resolv.conf as musl does (src/network/resolvconf.c). It has no
// environment variables and no domain of the host's own.
func muslConf(s *Sources) Conf {
	c := Conf{Ndots: 1, Timeout: defaultTimeout, Attempts: defaultAttempts}
	for number, line := range lines(s.ResolvConf) {
		if len(line) > muslLine-2 { // fgets keeps the line end and a NUL
			c.ignore(number, "line is longer than musl reads")
			continue
		}
		keyword, value := muslDirective(line)
		switch keyword {
		case "options":
			c.muslOptions(value)
		case "nameserver":
			address, _, _ := cutSpace(value)
			// __lookup_ipliteral: as getaddrinfo, with a zone.
			ip, ok := addressLiteral(address)
			if !ok {
				c.ignore(number, badServer(address))
				continue
			}
			c.addServer(number, ip)
		case "domain", "search":
			c.Search = strings.FieldsFunc(value, space)
		default:
			c.ignoreNoKeyword(number, line)
		}
	}
	if len(c.Servers) == 0 {
		c.Servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort)}
		c.Defaulted = true
	}
	return c
}

func muslDirective(line string) (keyword, value string) {
	for _, keyword := range keywords {
		rest, found := strings.CutPrefix(line, keyword)
		// The line end counts as the blank after the keyword.
		if found && (rest == "" || space(rune(rest[0]))) {
			return keyword, strings.TrimLeftFunc(rest, space)
		}
	}
	return "", ""
}

func cutSpace(s string) (before, after string, found bool) {
	i := strings.IndexFunc(s, space)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}

// muslOptions looks for the three options that musl knows anywhere in the line.
func (c *Conf) muslOptions(value string) {
	if n, ok := muslNumber(value, "ndots:"); ok {
		c.Ndots = min(n, maxNdots)
	}
	if n, ok := muslNumber(value, "attempts:"); ok {
		// 0 would be a division by zero there; nobody has it for long.
		c.Attempts = max(min(n, 10), 1)
	}
	if n, ok := muslNumber(value, "timeout:"); ok {
		c.Timeout = time.Duration(min(n, 60)) * time.Second
	}
}

func muslNumber(line, name string) (int, bool) {
	_, rest, found := strings.Cut(line, name)
	if !found || rest == "" || rest[0] < '0' || rest[0] > '9' {
		return 0, false
	}
	return strtol(rest), true
}
