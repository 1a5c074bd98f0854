package lookup

import (
	"net/netip"
	"strings"
	"time"
)

// goConf reads resolv.conf as Go's resolver does (net/dnsconfig_unix.go).
func goConf(s *Sources) Conf {
	d := dialect{
		blank: goBlank, options: (*Conf).goOptions, defaults: []netip.Addr{loopback4, loopback6}, indented: true, bare: true,
		server: parseAddr,
	}
	c := d.read(s.ResolvConf)
	c.searchHostname(s.Hostname)
	return c
}

// goBlank is what getFields of net/parse.go splits at.
func goBlank(c rune) bool { return c == ' ' || c == '\r' || c == '\t' || c == '\n' }

func (c *Conf) goOptions(value string) {
	for word := range strings.FieldsFuncSeq(value, goBlank) {
		name, number, valued := strings.Cut(word, ":")
		n := max(strtol(number), 0)
		switch {
		case valued && name == "ndots":
			c.Ndots = min(n, maxNdots)
		case valued && name == "timeout":
			c.Timeout = time.Duration(max(n, 1)) * time.Second
		case valued && name == "attempts":
			c.Attempts = max(n, 1)
		case valued:
		case name == rotate, name == trustAD, name == useVC:
			c.Flags[name] = true
		case name == "usevc", name == "tcp":
			c.Flags[useVC] = true
		case name == singleRequest, name == singleRequestReopen:
			c.Flags[singleRequest] = true
		}
	}
}
