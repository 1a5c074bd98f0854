package fetch

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/tools/probe/lookup"
)

// host is the host of a URL as it is connected to.
type host struct {
	name   string     // ASCII, lower case, without a trailing dot; "" for a literal address
	rooted bool       // a trailing dot was there: the name is absolute
	addr   netip.Addr // literal address, not valid for a name
}

// lookupName is the name as it is looked up: search domains are not for one that is
// absolute.
func (h host) lookupName() string {
	if h.rooted {
		return h.name + "."
	}
	return h.name
}

// String is what goes into a Host header or is verified in a certificate.
func (h host) String() string {
	if h.addr.IsValid() {
		return h.addr.String()
	}
	return h.name
}

// parseHost reads the host of a URL, without port and brackets. Numbers that
// inet_aton(3) takes for an IPv4 address are one here too, as they are for curl
// and for getaddrinfo(3): 2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1.
func parseHost(text string) (host, error) {
	if text == "" {
		return host{}, fmt.Errorf("there is no host")
	}
	if strings.Contains(text, ":") {
		addr, err := netip.ParseAddr(text)
		if err != nil || addr.Zone() != "" && !words.IsZone(addr.Zone()) {
			return host{}, fmt.Errorf("%q is no IPv6 address", text)
		}
		return host{addr: addr}, nil
	}
	if addr, ok := lookup.InetAton(strings.TrimSuffix(text, ".")); ok {
		return host{addr: addr}, nil
	}
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if !isASCII(name) {
		var err error
		if name, err = idna.Lookup.ToASCII(name); err != nil {
			return host{}, fmt.Errorf("%q is no host name", text)
		}
		// Full-width digits and dots become ASCII, and then an address.
		if addr, ok := lookup.InetAton(name); ok {
			return host{addr: addr}, nil
		}
	}
	if err := checkName(name); err != nil {
		return host{}, err
	}
	return host{name: name, rooted: strings.HasSuffix(text, ".")}, nil
}

// publicHost is host and port of a URL that others may have written.
func publicHost(u *url.URL) string {
	if _, err := parseHost(u.Hostname()); err != nil || !words.IsToken(u.Host) {
		return words.Hidden
	}
	return u.Host
}

// isLabel has the form of RFC 1123, with the underscores that exist in practice.
func isLabel(label string) bool {
	return label != "" && len(label) <= 63 && strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

func checkName(name string) error {
	const longest = 253
	switch {
	case name == "" || len(name) > longest:
		return fmt.Errorf("the host name is empty or longer than %d characters", longest)
	case slices.ContainsFunc(strings.Split(name, "."), func(label string) bool { return !isLabel(label) }):
		return fmt.Errorf("%q is no host name", name)
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// Host reads a host as that of a URL is read: a literal address, or else a name as it is
// looked up.
func Host(text string) (name string, addr netip.Addr, err error) {
	h, err := parseHost(text)
	return h.lookupName(), h.addr, err
}
