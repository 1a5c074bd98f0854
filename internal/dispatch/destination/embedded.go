package destination

import (
	"net/netip"
	"slices"
)

// The IPv6 prefixes whose addresses carry an IPv4 address that some router or
// host on the way may connect to instead.
var (
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291, 2.5.5.1
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")       // RFC 4380
)

// embedded returns the IPv4 addresses that ip carries. For the NAT64 prefix of
// local use the operator of the translator chose where in it the address
// stands, so all places of RFC 6052 are returned.
func embedded(ip netip.Addr) []netip.Addr {
	if !ip.Is6() {
		return nil
	}
	b := ip.As16()
	last := v4(b[12], b[13], b[14], b[15])
	switch {
	case compatible.Contains(ip):
		if ip == netip.IPv6Unspecified() || ip == netip.IPv6Loopback() {
			return nil
		}
		return []netip.Addr{last}
	case translated.Contains(ip), nat64.Contains(ip):
		return []netip.Addr{last}
	case localNAT64.Contains(ip):
		// Prefixes of 48, 56, 64 and 96 bits; byte 8 is skipped (RFC 6052, 2.2). Where
		// the address does not stand, there are zeros.
		return slices.DeleteFunc([]netip.Addr{
			v4(b[6], b[7], b[9], b[10]),
			v4(b[7], b[9], b[10], b[11]),
			v4(b[9], b[10], b[11], b[12]),
			last,
		}, netip.Addr.IsUnspecified)
	case sixToFour.Contains(ip):
		return []netip.Addr{v4(b[2], b[3], b[4], b[5])}
	case teredo.Contains(ip):
		// The server's address, and the client's with all bits inverted.
		return []netip.Addr{v4(b[4], b[5], b[6], b[7]), v4(^b[12], ^b[13], ^b[14], ^b[15])}
	case b[8]&^0x03 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe:
		return []netip.Addr{last} // ISATAP's interface identifier, RFC 5214, 6.1
	}
	return nil
}

// readings returns what else ip may stand for. To connect(2) the unspecified address
// is loopback (ip_route_output_key_hash_rcu in net/ipv4/route.c, tcp_v6_connect in
// net/ipv6/tcp_ipv6.c).
func readings(ip netip.Addr) []netip.Addr {
	list := embedded(ip)
	for _, a := range append([]netip.Addr{ip}, list...) {
		switch {
		case !a.IsUnspecified():
		case a.Is4():
			list = append(list, v4(127, 0, 0, 1))
		default:
			list = append(list, netip.IPv6Loopback())
		}
	}
	return list
}

func v4(a, b, c, d byte) netip.Addr { return netip.AddrFrom4([4]byte{a, b, c, d}) }
