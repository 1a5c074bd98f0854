package lookup

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"nsenter-mcp/internal/words"
)

// InetAton reads an IPv4 address as inet_aton(3) does, without trailing
// characters: one to four numbers, each decimal, octal (0...) or hexadecimal
// (0x...), of which the last fills all bytes that are left. "127.1" is 127.0.0.1.
func InetAton(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var ip uint32
	for i, part := range parts {
		value, ok := strtoul(part)
		if !ok {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			if value > 0xff {
				return netip.Addr{}, false
			}
			ip |= value << (24 - 8*i)
			continue
		}
		if value > 0xffffffff>>(8*i) {
			return netip.Addr{}, false
		}
		ip |= value
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], ip)
	return netip.AddrFrom4(b), true
}

// strtoul reads a whole number as strtoul(3) with base 0 does; a sign is
// refused, as inet_aton wants a digit first.
func strtoul(s string) (uint32, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	base := 10
	switch {
	case len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X'):
		base, s = 16, s[2:]
	case s[0] == '0':
		base = 8
	}
	if strings.Contains(s, "_") {
		return 0, false
	}
	value, err := strconv.ParseUint(s, base, 32)
	return uint32(value), err == nil
}

// addressLiteral reads what getaddrinfo(3) takes for an address and never looks
// up: inet_aton's forms, and IPv6 with or without a zone.
func addressLiteral(s string) (netip.Addr, bool) {
	if ip, ok := InetAton(s); ok {
		return ip, true
	}
	ip, ok := parseAddr(s)
	return ip, ok && ip.Is6()
}

// parseAddr reads an address whose zone, if it has one, can be that of an interface.
// Any other is nobody's, and whoever wrote it may have meant readers.
func parseAddr(s string) (netip.Addr, bool) {
	ip, err := netip.ParseAddr(s)
	return ip, err == nil && (ip.Zone() == "" || words.IsZone(ip.Zone()))
}

// isLinkScoped reports whether glibc would look up the zone of ip as the name of
// an interface (inet/inet6_scopeid_pton.c).
func isLinkScoped(ip netip.Addr) bool {
	return ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() || ip.IsInterfaceLocalMulticast()
}
