package lookup

import (
	"cmp"
	"context"
	"math/bits"
	"net"
	"net/netip"
	"slices"
)

// maxSorted bounds the addresses that are put in order; each takes a socket.
const maxSorted = 64

// sources say from which own address each destination would be reached.
type sources struct {
	from map[netip.Addr]netip.Addr // missing: cannot be reached
	// bits are the prefix lengths of own addresses.
	bits map[netip.Addr]int
}

// sourcesFor asks the kernel as the libraries do: by connecting datagram
// sockets, for which nothing is sent.
func (d *dialer) sourcesFor(ctx context.Context, addresses []netip.Addr) *sources {
	s := &sources{from: make(map[netip.Addr]netip.Addr), bits: make(map[netip.Addr]int)}
	const anyPort = 9
	for _, ip := range addresses {
		conn, err := d.Handle.Dialer().DialContext(ctx, "udp", d.literal(netip.AddrPortFrom(ip, anyPort)))
		if err != nil {
			continue
		}
		if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
			s.from[ip] = local.AddrPort().Addr().Unmap().WithZone("")
		}
		_ = conn.Close() // nothing was sent
	}
	nl, err := d.Handle.Netlink(netlinkRoute)
	if err != nil {
		return s
	}
	defer nl.Close()
	own, err := nl.AddrList(nil, familyIPv4)
	if err != nil {
		return s
	}
	for _, a := range own {
		if ip, ok := netip.AddrFromSlice(a.IP.To4()); ok {
			s.bits[ip], _ = a.Mask.Size()
		}
	}
	return s
}

// familyIPv4 is AF_INET, which is the same number everywhere.
const familyIPv4 = 2

// sorted returns addresses in the order in which a library gives them to its
// caller, who connects to the first one first (RFC 3484 and RFC 6724, section
// 6). Rules 3, 4 and 7 are left out: addresses of pods are neither deprecated
// nor mobile, and tunnels are seldom told from other links.
func (s *sources) sorted(f Flavour, addresses []netip.Addr) []netip.Addr {
	if f == Musl && !slices.ContainsFunc(addresses, netip.Addr.Is6) {
		return addresses // musl sorts only where there is a choice of family
	}
	policy := policyFor(f)
	ranks := make([]rank, len(addresses))
	for i, ip := range addresses {
		ranks[i] = s.rank(f, policy, ip)
	}
	slices.SortStableFunc(ranks, func(x, y rank) int {
		if f == Go && x.usable+y.usable == 0 {
			return 0 // Go looks no further
		}
		return cmp.Or(
			cmp.Compare(y.usable, x.usable),
			cmp.Compare(y.scopeFits, x.scopeFits),
			cmp.Compare(y.labelFits, x.labelFits),
			cmp.Compare(y.precedence, x.precedence),
			cmp.Compare(x.scope, y.scope),
			comparePrefix(f, x, y),
		)
	})
	list := make([]netip.Addr, len(ranks))
	for i, r := range ranks {
		list[i] = r.ip
	}
	return list
}

// rank is what the rules compare.
type rank struct {
	ip netip.Addr

	usable, scopeFits, labelFits int // 0 or 1
	precedence, scope, prefix    int
}

func (s *sources) rank(f Flavour, policy policyTable, ip netip.Addr) rank {
	label, precedence := policy.of(ip)
	r := rank{ip: ip, precedence: precedence, scope: scope(f, ip)}
	from, usable := s.from[ip]
	if !usable {
		return r
	}
	r.usable = 1
	if scope(f, from) == r.scope {
		r.scopeFits = 1
	}
	if l, _ := policy.of(from); l == label {
		r.labelFits = 1
	}
	r.prefix = commonBits(ip, from)
	if f == Glibc && ip.Is4() && r.prefix < s.bits[from] {
		r.prefix = 0 // counts within a subnet only
	}
	if f == Go {
		r.prefix = min(r.prefix, 64)
	}
	return r
}

// comparePrefix is rule 9: the longer common prefix with the source address
// first. Go applies it to IPv6 alone.
func comparePrefix(f Flavour, x, y rank) int {
	if x.ip.Is4() != y.ip.Is4() || f == Go && x.ip.Is4() {
		return 0
	}
	return cmp.Compare(y.prefix, x.prefix)
}

// scope is that of RFC 6724, section 3.1 and 3.2. To musl all of IPv4 is global.
func scope(f Flavour, ip netip.Addr) int {
	const linkLocal, siteLocal, global = 2, 5, 14
	switch {
	case f == Musl && ip.Is4():
		return global
	case ip.IsLoopback(), ip.IsLinkLocalUnicast():
		return linkLocal
	case ip.Is6() && ip.IsMulticast():
		return int(ip.As16()[1] & 0xf)
	case ip.Is6() && ip.As16()[0] == 0xfe && ip.As16()[1]&0xc0 == 0xc0:
		return siteLocal
	}
	return global
}

func commonBits(a, b netip.Addr) int {
	if a.Is4() != b.Is4() {
		return 0
	}
	x, y := a.AsSlice(), b.AsSlice()
	for i := range x {
		if x[i] != y[i] {
			return 8*i + bits.LeadingZeros8(x[i]^y[i])
		}
	}
	return 8 * len(x)
}

// policyTable is RFC 6724, section 2.1; the longest prefix is first.
type policyTable []struct {
	prefix            netip.Prefix
	label, precedence int
}

func (p policyTable) of(ip netip.Addr) (label, precedence int) {
	ip = netip.AddrFrom16(ip.As16()) // IPv4 as ::ffff:0:0/96
	for _, row := range p {
		if row.prefix.Contains(ip) {
			return row.label, row.precedence
		}
	}
	return 0, 0
}

func prefix(text string) netip.Prefix { return netip.MustParsePrefix(text) }

// policyFor is a library's built-in table. Glibc keeps to RFC 3484 and so
// prefers unique local IPv6 addresses to IPv4; the other two keep to RFC 6724
// and do not. /etc/gai.conf, with which an administrator can change glibc's, is
// not read.
func policyFor(f Flavour) policyTable {
	switch f {
	case Glibc: // nss/getaddrinfo.c
		return policyTable{
			{prefix("::1/128"), 0, 50},
			{prefix("::ffff:0:0/96"), 4, 10},
			{prefix("::/96"), 3, 20},
			{prefix("2001::/32"), 7, 40},
			{prefix("2002::/16"), 2, 30},
			{prefix("fec0::/10"), 5, 40},
			{prefix("fc00::/7"), 6, 40},
			{prefix("::/0"), 1, 40},
		}
	case Musl: // src/network/lookup_name.c
		return policyTable{
			{prefix("::1/128"), 0, 50},
			{prefix("::ffff:0:0/96"), 4, 35},
			{prefix("2002::/16"), 2, 30},
			{prefix("2001::/32"), 5, 5},
			{prefix("fc00::/7"), 13, 3},
			{prefix("::/0"), 1, 40},
		}
	}
	return policyTable{ // net/addrselect.go
		{prefix("::1/128"), 0, 50},
		{prefix("::ffff:0:0/96"), 4, 35},
		{prefix("::/96"), 3, 1},
		{prefix("2001::/32"), 5, 5},
		{prefix("2002::/16"), 2, 30},
		{prefix("3ffe::/16"), 12, 1},
		{prefix("fec0::/10"), 11, 1},
		{prefix("fc00::/7"), 13, 3},
		{prefix("::/0"), 1, 40},
	}
}
