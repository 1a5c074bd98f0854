package diagnose

import (
	"net/netip"

	"nsenter-mcp/tools/fact"
)

// TooLongForPeer returns the length of the segments, in bytes of payload, that a
// connection from the address from waits to send by l and that the other end of l
// is too small for; 0 where that is not so, or not known.
func TooLongForPeer(c *fact.ConnState, from netip.Addr, l *fact.Link) int {
	segment := min(c.NotSent, c.MSS)
	if l.HostPeer == nil || l.HostPeer.MTU == 0 || segment+headers(c, from) <= l.HostPeer.MTU {
		return 0
	}
	return segment
}

// headers is what IP and TCP put before a segment, in bytes: what the kernel
// leaves of the path's MTU, or where its segments are smaller for another reason, the
// usual with timestamps (RFC 7323).
func headers(c *fact.ConnState, ip netip.Addr) int {
	const tcp, timestamps, v4, v6 = 20, 12, 20, 40
	usual := v4 + tcp + timestamps
	if ip.Is6() {
		usual = v6 + tcp + timestamps
	}
	return min(usual, c.PMTU-c.MSS)
}
