package diagnose

import (
	"fmt"
	"net/netip"

	"nsenter-mcp/tools/fact"
)

// smallPeer judges, where the target's kernel cannot send on an established connection,
// the interface that the connection leaves by. A peer on the host with too small an MTU
// becomes the reason: of the same symptom a firewall would be suspected first, in vain.
func smallPeer(f *fact.Fetch, egress *fact.Link) []fact.Finding {
	from, err := netip.ParseAddrPort(f.Local)
	if err != nil || egress == nil || egress.HostPeer == nil {
		return nil
	}
	peer, segment := egress.HostPeer, min(f.Conn.NotSent, f.Conn.MSS)
	if peer.MTU == 0 || segment+headers(f.Conn, from.Addr().Unmap()) <= peer.MTU {
		return nil
	}
	f.Reason = fmt.Sprintf("the target's own kernel cannot send segments of %d bytes: "+
		"%s, the other end of %s on the host, has mtu %d and drops longer packets", segment, peer.Name, egress.Name, peer.MTU)
	return MTUMismatch(egress)
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
