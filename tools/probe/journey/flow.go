package journey

import (
	"errors"
	"net/netip"
)

// Flow is what is recorded: packets from Src to Dst and their answers, whatever NAT
// makes of the addresses on the way.
type Flow struct {
	Proto Proto
	// Src and Dst are where the flow begins and is sent to. Of an echo, both ports are
	// the identifier. NAT may change it: the packet is known again by its type, its
	// number, and 24 bytes of content, which are to be random.
	Src, Dst netip.AddrPort
	// NetnsInode is the namespace in which the flow begins.
	NetnsInode uint64
}

// Proto is a protocol number of IP.
type Proto uint8

// The protocols that can be followed.
const (
	ICMP   Proto = 1
	TCP    Proto = 6
	UDP    Proto = 17
	ICMPv6 Proto = 58
)

func (p Proto) String() string {
	switch p {
	case ICMP:
		return "icmp"
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	case ICMPv6:
		return "icmpv6"
	}
	return "other"
}

// UnavailableError says why this machine gives no trail.
type UnavailableError struct{ Why error }

func (e *UnavailableError) Error() string { return "no trail of packets: " + e.Why.Error() }

func (e *UnavailableError) Unwrap() error { return e.Why }

var errFlow = errors.New("flow without two addresses of one family")

func (f Flow) valid() error {
	if !f.Src.IsValid() || !f.Dst.IsValid() || f.Src.Addr().Unmap().Is4() != f.Dst.Addr().Unmap().Is4() {
		return errFlow
	}
	return nil
}
