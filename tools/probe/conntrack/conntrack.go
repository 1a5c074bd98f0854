// Package conntrack asks the kernel's connection tracking about one connection.
package conntrack

import "net/netip"

// The protocols (IANA).
const (
	TCP = 6
	UDP = 17
)

// Entry is what connection tracking knows.
type Entry struct {
	SentTo  netip.AddrPort // where NAT leads
	Replied bool
}

// Rewritten is where NAT leads what was sent to an address; not valid where it leads
// nowhere else.
func (e Entry) Rewritten(to netip.AddrPort) netip.AddrPort {
	if e.SentTo == bare(to) {
		return netip.AddrPort{}
	}
	return e.SentTo
}

// bare is an address as packets carry it.
func bare(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
