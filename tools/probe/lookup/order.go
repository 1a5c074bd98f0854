package lookup

import (
	"cmp"
	"context"
	"math/bits"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxSorted bounds the addresses that are put in order; each takes a socket.
const maxSorted = 64

// sources say from which own address each destination would be reached.
type sources struct {
	from map[netip.Addr]netip.Addr // missing: cannot be reached
	// bits are the prefix lengths of own addresses.
	bits    map[netip.Addr]int
	gaiConf []byte
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
	own, _ := d.Handle.Addresses(ctx, familyIPv4) // without them the rules decide by less
	for _, a := range own {
		s.bits[a.Prefix.Addr()] = a.Prefix.Bits()
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
	if f.isMusl() && !slices.ContainsFunc(addresses, netip.Addr.Is6) {
		return addresses // musl sorts only where there is a choice of family
	}
	labels, precedences := s.policiesOf(f)
	ranks := make([]rank, len(addresses))
	for i, ip := range addresses {
		ranks[i] = s.rank(f, labels, precedences, ip)
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

func (s *sources) rank(f Flavour, labels, precedences policy, ip netip.Addr) rank {
	r := rank{ip: ip, precedence: precedences.of(ip), scope: scope(f, ip)}
	from, usable := s.from[ip]
	if !usable {
		return r
	}
	r.usable = 1
	if scope(f, from) == r.scope {
		r.scopeFits = 1
	}
	if labels.of(from) == labels.of(ip) {
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
	case f.isMusl() && ip.Is4():
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

// policy gives each prefix a number, the longest one first (RFC 6724, section 2.1).
type policy []policyRow

type policyRow struct {
	prefix netip.Prefix
	value  int
}

func (p policy) of(ip netip.Addr) int {
	ip = netip.AddrFrom16(ip.As16()) // IPv4 as ::ffff:0:0/96
	for _, row := range p {
		if row.prefix.Contains(ip) {
			return row.value
		}
	}
	return 0
}

// policies are a library's built-in tables, written as in gai.conf(5), the longest
// prefix first. Glibc keeps to RFC 3484 and so prefers unique local IPv6 addresses
// to IPv4; the other two keep to RFC 6724 and do not.
func policies(f Flavour) string {
	switch f {
	case Glibc: // nss/getaddrinfo.c
		return `label ::1/128 0
label ::ffff:0:0/96 4
label ::/96 3
label 2001::/32 7
label 2002::/16 2
label fec0::/10 5
label fc00::/7 6
precedence ::1/128 50
precedence ::ffff:0:0/96 10
precedence ::/96 20
precedence 2002::/16 30`
	case Musl, OldMusl: // src/network/lookup_name.c
		return `label ::1/128 0
label ::ffff:0:0/96 4
label 2001::/32 5
label 2002::/16 2
label fc00::/7 13
precedence ::1/128 50
precedence ::ffff:0:0/96 35
precedence 2001::/32 5
precedence 2002::/16 30
precedence fc00::/7 3`
	}
	return `label ::1/128 0
label ::ffff:0:0/96 4
label ::/96 3
label 2001::/32 5
label 2002::/16 2
label 3ffe::/16 12
label fec0::/10 11
label fc00::/7 13
precedence ::1/128 50
precedence ::ffff:0:0/96 35
precedence ::/96 1
precedence 2001::/32 5
precedence 2002::/16 30
precedence 3ffe::/16 1
precedence fec0::/10 1
precedence fc00::/7 3` // net/addrselect.go
}

// maxPolicies bounds the lines of gai.conf that count.
const maxPolicies = 64

// parsePolicies reads the lines of gai.conf(5) that put a table of their own in the
// place of the built-in one (gaiconf_init of nss/getaddrinfo.c). A table without a
// line is empty.
func parsePolicies(text []byte) (labels, precedences policy) {
	for _, line := range lines(text) {
		fields := fieldsBy(space)(line)
		if len(fields) != 3 || len(labels)+len(precedences) == maxPolicies {
			continue
		}
		if !strings.Contains(fields[1], "/") {
			fields[1] += "/128"
		}
		prefix, err := netip.ParsePrefix(fields[1])
		value, badValue := strconv.Atoi(fields[2])
		if err != nil || badValue != nil || prefix.Addr().Is4() {
			continue
		}
		switch row := (policyRow{prefix.Masked(), value}); fields[0] {
		case "label":
			labels = append(labels, row)
		case "precedence":
			precedences = append(precedences, row)
		}
	}
	return labels.complete(1), precedences.complete(40)
}

// complete sorts a table and gives it a row for all other addresses.
func (p policy) complete(rest int) policy {
	if len(p) == 0 {
		return nil
	}
	p = append(p, policyRow{netip.PrefixFrom(netip.IPv6Unspecified(), 0), rest})
	slices.SortStableFunc(p, func(a, b policyRow) int { return b.prefix.Bits() - a.prefix.Bits() })
	return p
}

// policiesOf are the tables in force.
func (s *sources) policiesOf(f Flavour) (labels, precedences policy) {
	labels, precedences = parsePolicies([]byte(policies(f)))
	if f == Glibc {
		own, first := parsePolicies(s.gaiConf)
		if own != nil {
			labels = own
		}
		if first != nil {
			precedences = first
		}
	}
	return labels, precedences
}
