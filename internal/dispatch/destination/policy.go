// Package destination decides which addresses a probe may connect to.
//
// A probe runs with the network identity of a pod or of the node itself, for a
// caller who may be talked into anything by what it reads. The addresses behind
// which clouds hand out credentials, and link-local addresses as such, are
// therefore refused unless the operator allows them. So is the node's own loopback
// to a target that uses the node's network: etcd, the kubelet and container engines
// listen there and trust whoever can connect.
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
// but metadata services, link-local addresses and the node's loopback.
type Policy struct {
	// Deny lists what is refused, whatever else is said of it.
	Deny []netip.Prefix
	// Only lists all that may be connected to, besides what the target itself
	// asks for names (Target.Nameservers). Nil means everything; a list without
	// members nothing.
	Only []netip.Prefix
	// Except lists metadata services and link-local addresses that are not
	// refused for being that.
	Except []netip.Prefix
	// HostLoopback: targets in the node's own network may connect to loopback.
	HostLoopback bool
}

// Target is what the policy has to know of the target that connects. Its own
// infrastructure stays reachable although it may be link-local: NodeLocal DNSCache
// listens on 169.254.20.10.
type Target struct {
	// Nameservers are allowed on port 53.
	Nameservers []netip.Addr
	// Gateways are allowed to be link-local, except where one claims to be a
	// metadata service (a container may have written its own routes), and where the
	// operator lists what may be connected to.
	Gateways []netip.Addr
	// Host: the target uses the node's own network, so its loopback is the node's.
	Host bool
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
// credentials, from each cloud's own documentation of its metadata service; those
// that are link-local are here too, for the better reason.
var metadata = [...]netip.Prefix{
	netip.MustParsePrefix("169.254.169.254/32"),     // AWS, Azure, GCP, OpenStack, DigitalOcean, Oracle
	netip.MustParsePrefix("169.254.169.252/32"),     // GKE: the metadata server's proxy on the node
	netip.MustParsePrefix("169.254.170.2/32"),       // AWS ECS task credentials
	netip.MustParsePrefix("169.254.170.23/32"),      // AWS EKS pod identity
	netip.MustParsePrefix("fd00:ec2::/32"),          // AWS: ::254, EKS pod identity ::23
	netip.MustParsePrefix("fd20:ce::254/128"),       // GCP
	netip.MustParsePrefix("169.254.42.42/32"),       // Scaleway
	netip.MustParsePrefix("fd00:42::42/128"),        // Scaleway
	netip.MustParsePrefix("100.100.100.200/32"),     // Alibaba
	netip.MustParsePrefix("fd00:100::100:200/128"),  // Alibaba
	netip.MustParsePrefix("192.0.0.192/32"),         // Oracle
	netip.MustParsePrefix("fd00:c1::a9fe:a9fe/128"), // Oracle
	netip.MustParsePrefix("fd00:a9fe:a9fe::1/128"),  // Akamai (Linode)
	netip.MustParsePrefix("168.63.129.16/32"),       // Azure WireServer
	netip.MustParsePrefix("100.96.0.96/32"),         // Volcengine
	netip.MustParsePrefix("100.80.80.80/32"),        // UCloud
	netip.MustParsePrefix("169.254.0.23/32"),        // Tencent
}

const dnsPort = 53

// Check returns nil where a connection to address may be opened, and a
// [*DeniedError] where not. An address that stands for another one (IPv4 in IPv6:
// mapped, NAT64, 6to4, Teredo, ISATAP; unspecified for loopback) is judged by that
// one as well, whether or not something translates it: no reading of it may be
// refused.
func (p Policy) Check(address netip.AddrPort, t Target) error {
	outer := plain(address.Addr())
	if err := p.check(outer, address.Port(), t); err != nil {
		return err
	}
	if p.Only != nil && !within(p.Only, outer) && !t.asks(outer, address.Port()) {
		return &DeniedError{Address: outer, Reason: "outside of what the operator allows"}
	}
	for _, inner := range readings(outer) {
		err := p.check(inner, address.Port(), t)
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
func (p Policy) check(ip netip.Addr, port uint16, t Target) *DeniedError {
	if i := slices.IndexFunc(p.Deny, func(prefix netip.Prefix) bool { return prefix.Contains(ip) }); i >= 0 {
		return &DeniedError{Address: ip, Reason: fmt.Sprintf("in %s, which the operator denies", p.Deny[i])}
	}
	switch {
	case ip.IsMulticast(), ip == broadcast:
		// Many would answer for one, and be sent what was meant for one.
		return &DeniedError{Address: ip, Reason: "not the address of one host (multicast or broadcast)"}
	case within(p.Except, ip), t.asks(ip, port):
		return nil
	case within(metadata[:], ip):
		return &DeniedError{Address: ip, Reason: "a cloud's metadata service"}
	case ip.IsLinkLocalUnicast() && (p.Only != nil || !contains(t.Gateways, ip)):
		return &DeniedError{Address: ip, Reason: "link-local"}
	case t.Host && !p.HostLoopback && (ip.IsLoopback() || ip.IsUnspecified()):
		return &DeniedError{Address: ip, Reason: "loopback of the node"}
	}
	return nil
}

// broadcast is the limited broadcast address (RFC 919).
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// asks reports whether the target looks names up there.
func (t Target) asks(ip netip.Addr, port uint16) bool {
	return port == dnsPort && contains(t.Nameservers, ip)
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
