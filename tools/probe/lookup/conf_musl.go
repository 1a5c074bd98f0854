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
	d := dialect{
		blank: space, server: addressLiteral, options: (*Conf).muslOptions, defaults: []netip.Addr{loopback4},
		bare: true, whole: true, longest: muslLine - 2, // fgets keeps the line end and a NUL
	}
	return d.read(s.ResolvConf)
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
