package journey

import (
	"errors"
	"net/netip"

	"nsenter-mcp/tools/fact"
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

// Unavailable is the journey of which there is no trail, and why.
func Unavailable(err error) *fact.Journey {
	return &fact.Journey{Status: fact.JourneyUnavailable, Why: err.Error()}
}

// Follow records a flow until stop is called, which returns its journey: where the flow's
// own network is known and others are not. The journey of a nil Tracer is nil.
func (t *Tracer) Follow(flow Flow) (stop func() *fact.Journey) {
	if t == nil {
		return func() *fact.Journey { return nil }
	}
	recording, err := t.Start(flow)
	if err != nil {
		return func() *fact.Journey { return Unavailable(err) }
	}
	return func() *fact.Journey {
		trail := recording.Stop()
		trail.SetPlaces(flow.NetnsInode, 0)
		return &trail
	}
}
