// Package destination decides which addresses a probe may connect to.
//
// A probe runs with the network identity of a pod or of the node itself, for a
// caller who may be talked into anything by what it reads. The addresses behind
// which clouds hand out credentials, and link-local addresses as such, are
// therefore refused unless the operator allows them.
//
// [Policy.Check] is pure and takes literal addresses. It belongs into the hook
// that opens the connection, after names, redirects, proxies and overrides have
// done their work: what is checked there is what is connected to.
package destination

import (
	"fmt"
	"net/netip"
	"slices"
)

// Policy is what the operator allows. The zero value is the default: everything
// but metadata services and link-local addresses.
type Policy struct {
	// Deny lists what is refused, whatever else is said of it.
	Deny []netip.Prefix
	// Only lists all that may be connected to, besides what the target itself
	// uses (Exempt). Nil means everything; a list without members nothing.
	Only []netip.Prefix
	// Except lists metadata services and link-local addresses that are not
	// refused for being that.
	Except []netip.Prefix
}

// Exempt are the target's own infrastructure addresses, which stay reachable
// although they may be link-local: Calico's gateway is 169.254.1.1, NodeLocal
// DNSCache listens on 169.254.20.10.
type Exempt struct {
	// Nameservers are allowed on port 53.
	Nameservers []netip.Addr
	// Gateways are allowed on every port, except where one claims to be a
	// metadata service: a container may have written its own routes.
	Gateways []netip.Addr
}

// DeniedError says why a destination is refused.
type DeniedError struct {
	Address netip.Addr // as it would have been connected to
	Inner   netip.Addr // the IPv4 address inside Address; not valid where there is none
	Reason  string     // what the address is
}

func (e *DeniedError) Error() string {
	if e.Inner.IsValid() {
		return fmt.Sprintf("%s stands for %s, which is %s", e.Address, e.Inner, e.Reason)
	}
	return fmt.Sprintf("%s is %s", e.Address, e.Reason)
}

// metadata are the addresses at which clouds serve instance metadata and
// credentials; those that are link-local are here too, for the better reason.
var metadata = [...]netip.Addr{
	netip.MustParseAddr("169.254.169.254"), // AWS, Azure, GCP, OpenStack, DigitalOcean, Oracle
	netip.MustParseAddr("169.254.170.2"),   // AWS ECS task credentials
	netip.MustParseAddr("169.254.170.23"),  // AWS EKS pod identity
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("fd00:ec2::23"),    // AWS EKS pod identity
	netip.MustParseAddr("fd20:ce::254"),    // GCP
	netip.MustParseAddr("fd00:42::42"),     // Scaleway
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("192.0.0.192"),     // Oracle
	netip.MustParseAddr("168.63.129.16"),   // Azure WireServer
}

const dnsPort = 53

// Check returns nil where a connection to address may be opened, and a
// [*DeniedError] where not. An address that carries an IPv4 address (mapped,
// NAT64, 6to4, Teredo, ISATAP) is judged by that one as well, whether or not
// something translates it: neither reading of it may be refused.
func (p Policy) Check(address netip.AddrPort, exempt Exempt) error {
	outer := plain(address.Addr())
	if err := p.check(outer, address.Port(), exempt); err != nil {
		return err
	}
	if p.Only != nil && !within(p.Only, outer) && !exempt.has(outer, address.Port()) {
		return &DeniedError{Address: outer, Reason: "outside of what the operator allows"}
	}
	for _, inner := range embedded(outer) {
		err := p.check(inner, address.Port(), exempt)
		if err == nil || within(p.Except, outer) && !within(p.Deny, inner) {
			continue // the operator excepted the IPv6 form itself
		}
		denied := *err
		denied.Address, denied.Inner = outer, inner
		return &denied
	}
	return nil
}

// check judges one reading of an address, but for Only.
func (p Policy) check(ip netip.Addr, port uint16, exempt Exempt) *DeniedError {
	if i := slices.IndexFunc(p.Deny, func(prefix netip.Prefix) bool { return prefix.Contains(ip) }); i >= 0 {
		return &DeniedError{Address: ip, Reason: fmt.Sprintf("in %s, which the operator denies", p.Deny[i])}
	}
	if within(p.Except, ip) || port == dnsPort && contains(exempt.Nameservers, ip) {
		return nil
	}
	if slices.Contains(metadata[:], ip) {
		return &DeniedError{Address: ip, Reason: "a cloud's metadata service"}
	}
	if ip.IsLinkLocalUnicast() && !contains(exempt.Gateways, ip) {
		return &DeniedError{Address: ip, Reason: "link-local"}
	}
	return nil
}

// has reports whether the target itself uses the address.
func (e Exempt) has(ip netip.Addr, port uint16) bool {
	return port == dnsPort && contains(e.Nameservers, ip) || contains(e.Gateways, ip)
}

func within(list []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(prefix netip.Prefix) bool { return prefix.Contains(ip) })
}

func contains(list []netip.Addr, ip netip.Addr) bool {
	return slices.ContainsFunc(list, func(a netip.Addr) bool { return plain(a) == ip })
}

// plain is the form in which addresses are compared: IPv4 as IPv4, and without
// a zone, which says on which link an address is and not which one it is.
func plain(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }
