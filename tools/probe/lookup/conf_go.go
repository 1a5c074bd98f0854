package lookup

import (
	"net/netip"
	"strings"
	"time"
)

// goConf reads resolv.conf as Go's resolver does (net/dnsconfig_unix.go).
func goConf(s *Sources) Conf {
	c := Conf{Ndots: 1, Timeout: defaultTimeout, Attempts: defaultAttempts}
	for number, line := range lines(s.ResolvConf) {
		if line == "" || line[0] == ';' || line[0] == '#' {
			continue
		}
		words := strings.FieldsFunc(line, goBlank)
		if len(words) == 0 {
			continue
		}
		switch words[0] {
		case "nameserver":
			if len(words) < 2 {
				continue
			}
			ip, err := netip.ParseAddr(words[1])
			if err != nil {
				c.ignore(number, badServer(words[1]))
				continue
			}
			c.addServer(number, ip)
		case "domain":
			if len(words) > 1 {
				c.Search = words[1:2]
			}
		case "search":
			c.Search = words[1:]
		case "options":
			for _, word := range words[1:] {
				c.goOption(word)
			}
		default:
			c.ignoreNoKeyword(number, line)
		}
	}
	if len(c.Servers) == 0 {
		c.Servers = []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), dnsPort),
			netip.AddrPortFrom(netip.IPv6Loopback(), dnsPort),
		}
		c.Defaulted = true
	}
	c.searchHostname(s.Hostname)
	return c
}

// goBlank is what getFields of net/parse.go splits at.
func goBlank(c rune) bool { return c == ' ' || c == '\r' || c == '\t' || c == '\n' }

func (c *Conf) goOption(word string) {
	if n, ok := strings.CutPrefix(word, "ndots:"); ok {
		c.Ndots = max(min(goNumber(n), maxNdots), 0)
		return
	}
	if n, ok := strings.CutPrefix(word, "timeout:"); ok {
		c.Timeout = time.Duration(max(goNumber(n), 1)) * time.Second
		return
	}
	if n, ok := strings.CutPrefix(word, "attempts:"); ok {
		c.Attempts = max(goNumber(n), 1)
		return
	}
	switch word {
	case "rotate":
		c.Rotate = true
	case "single-request", "single-request-reopen":
		c.SingleRequest = true
	case "use-vc", "usevc", "tcp":
		c.UseVC = true
	case "trust-ad":
		c.TrustAD = true
	}
}

// goNumber is dtoi of net/parse.go: no sign, and no more than 0xffffff.
func goNumber(s string) int {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0
	}
	return min(strtol(s), 0xffffff)
}
