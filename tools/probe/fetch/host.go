package fetch

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
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
		if err != nil {
			return host{}, fmt.Errorf("%q is no IPv6 address", text)
		}
		return host{addr: addr}, nil
	}
	if addr, ok := parseIPv4(strings.TrimSuffix(text, ".")); ok {
		return host{addr: addr}, nil
	}
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if !isASCII(name) {
		var err error
		if name, err = idna.Lookup.ToASCII(name); err != nil {
			return host{}, fmt.Errorf("%q is no host name", text)
		}
		// Full-width digits and dots become ASCII, and then an address.
		if addr, ok := parseIPv4(name); ok {
			return host{addr: addr}, nil
		}
	}
	if err := checkName(name); err != nil {
		return host{}, err
	}
	return host{name: name, rooted: strings.HasSuffix(text, ".")}, nil
}

// checkName holds a name against RFC 1123, with the underscores that exist in
// practice.
func checkName(name string) error {
	const longest, longestLabel = 253, 63
	if name == "" || len(name) > longest {
		return fmt.Errorf("the host name is empty or longer than %d characters", longest)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > longestLabel {
			return fmt.Errorf("%q has a label that is empty or longer than %d characters", name, longestLabel)
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return fmt.Errorf("%q is no host name", name)
			}
		}
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

// parseIPv4 reads the forms of inet_aton(3): one to four numbers, decimal,
// octal (0...) or hexadecimal (0x...), of which the last fills the bytes that
// are left.
func parseIPv4(text string) (netip.Addr, bool) {
	parts := strings.Split(text, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		n, ok := parseCNumber(part)
		if !ok {
			return netip.Addr{}, false
		}
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (4 - i)
		}
		if n >= 1<<bits {
			return netip.Addr{}, false
		}
		value = value<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}

// parseCNumber reads a number as C writes it. ParseUint alone would take signs
// of its own: underscores and 0o.
func parseCNumber(text string) (uint64, bool) {
	base := 10
	digits := text
	switch {
	case strings.HasPrefix(text, "0x"), strings.HasPrefix(text, "0X"):
		base, digits = 16, text[2:]
	case len(text) > 1 && text[0] == '0':
		base, digits = 8, text[1:]
	}
	if base == 16 && digits == "" { // inet_aton takes a bare 0x for 0
		return 0, true
	}
	n, err := strconv.ParseUint(digits, base, 32)
	return n, err == nil && !strings.HasPrefix(digits, "+")
}
