package destination

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Narrow returns what both p and q allow. A nil Except of q takes nothing away,
// so that who has no opinion on metadata services need not repeat p's.
func (p Policy) Narrow(q Policy) Policy {
	both := Policy{
		Deny:   slices.Concat(p.Deny, q.Deny),
		Only:   p.Only,
		Except: p.Except, HostLoopback: p.HostLoopback,
	}
	switch {
	case p.Only == nil:
		both.Only = q.Only
	case q.Only != nil:
		both.Only = overlaps(p.Only, q.Only)
	}
	if q.Except != nil {
		both.Except = overlaps(p.Except, q.Except)
	}
	return both
}

// Refuses reports why p refuses every address of the prefix; "" where it may
// allow some.
func (p Policy) Refuses(prefix netip.Prefix) string {
	for _, denied := range p.Deny {
		if covers(denied, prefix) {
			return fmt.Sprintf("%s lies in %s, which is denied", prefix, denied)
		}
	}
	if p.Only != nil && len(overlaps(p.Only, []netip.Prefix{prefix})) == 0 {
		return fmt.Sprintf("%s lies outside of what is allowed (%s)", prefix, List(p.Only))
	}
	if len(overlaps(p.Except, []netip.Prefix{prefix})) > 0 {
		return ""
	}
	inMetadata := func(service netip.Prefix) bool { return covers(service, prefix) }
	switch {
	case slices.ContainsFunc(metadata[:], inMetadata):
		return fmt.Sprintf("%s is a cloud's metadata service", List([]netip.Prefix{prefix}))
	case covers(linkLocal4, prefix), covers(linkLocal6, prefix):
		return fmt.Sprintf("%s is link-local", prefix)
	}
	return ""
}

// The link-local unicast addresses (RFC 3927; RFC 4291, section 2.5.6).
var (
	linkLocal4 = netip.MustParsePrefix("169.254.0.0/16")
	linkLocal6 = netip.MustParsePrefix("fe80::/10")
)

// overlaps returns the prefixes that lie both in one of a and in one of b. Two
// prefixes overlap only where one holds the other.
func overlaps(a, b []netip.Prefix) []netip.Prefix {
	both := []netip.Prefix{}
	for _, x := range a {
		for _, y := range b {
			switch {
			case covers(x, y) && !slices.Contains(both, y):
				both = append(both, y)
			case covers(y, x) && !slices.Contains(both, x):
				both = append(both, x)
			}
		}
	}
	return both
}

func covers(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// ParsePrefix reads a prefix, or an address, which stands for itself alone.
// IPv4 addresses in IPv6 form are read as IPv4, as [Policy.Check] does.
func ParsePrefix(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		if ip.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%q has a zone; an address counts on every link", text)
		}
		ip = ip.Unmap()
		return netip.PrefixFrom(ip, ip.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, fmt.Errorf("%q is no address and no prefix such as 10.0.0.0/8", text)
	}
	if prefix.Addr().Is4In6() {
		return prefix, fmt.Errorf("%q: write the IPv4 prefix itself", text)
	}
	if prefix != prefix.Masked() {
		return prefix, fmt.Errorf("%q has bits behind its prefix; write %s, or the address alone", text, prefix.Masked())
	}
	return prefix, nil
}

// List writes prefixes for a person.
func List(prefixes []netip.Prefix) string {
	if len(prefixes) == 0 {
		return "nothing"
	}
	text := make([]string, len(prefixes))
	for i, p := range prefixes {
		text[i] = p.String()
		if p.IsSingleIP() {
			text[i] = p.Addr().String()
		}
	}
	return strings.Join(text, ", ")
}
