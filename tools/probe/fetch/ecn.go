package fetch

import (
	"encoding/binary"
	"net/netip"

	"nsenter-mcp/tools/fact"
)

// ecnSuspect returns the attempt that may have failed, or been slow, because its
// first SYN asked for ECN: nobody but a router or a server has ended it.
func ecnSuspect(attempts []fact.Attempt) (to netip.AddrPort, ok bool) {
	for i := range attempts {
		a := &attempts[i]
		reset := a.Errno == "ECONNREFUSED" && a.Answer != nil && a.Answer.Kind == "rst" && !a.Answer.Own
		if !reset && a.SYNRetransmits == 0 {
			continue
		}
		if to, err := netip.ParseAddrPort(a.Address); err == nil && !to.Addr().IsLoopback() && to.Addr().Zone() == "" {
			return to, true
		}
	}
	return to, false
}

// The flags of a TCP segment (RFC 9293, section 3.1; RFC 3168, section 6.1).
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
	flagECE = 0x40
	flagCWR = 0x80
)

// synSegment is a SYN with the flags in more, ready to be sent.
func synSegment(from, to netip.AddrPort, sequence uint32, more byte) []byte {
	const length = 24 // with one option, the maximum segment size
	s := make([]byte, length)
	binary.BigEndian.PutUint16(s[0:], from.Port())
	binary.BigEndian.PutUint16(s[2:], to.Port())
	binary.BigEndian.PutUint32(s[4:], sequence)
	s[12], s[13] = length/4<<4, flagSYN|more
	binary.BigEndian.PutUint16(s[14:], 64240) // window, as Linux begins
	copy(s[20:], []byte{2, 4, 536 >> 8, 536 & 0xff})
	binary.BigEndian.PutUint16(s[16:], tcpChecksum(from.Addr(), to.Addr(), s))
	return s
}

// tcpChecksum is that of RFC 9293, section 3.1, with its pseudo-header.
func tcpChecksum(from, to netip.Addr, segment []byte) uint16 {
	const tcp = 6
	sum := uint32(tcp + len(segment)) //nolint:gosec // a few bytes
	for _, part := range [...][]byte{from.AsSlice(), to.AsSlice(), segment} {
		for i := 0; i+1 < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// synReply reads the answer to a SYN: the port that it goes to, what it
// acknowledges, and its flags.
func synReply(packet []byte, v6 bool) (port uint16, acknowledged uint32, flags byte, ok bool) {
	if !v6 { // raw(7): an IPv4 packet comes with its header
		if len(packet) == 0 {
			return 0, 0, 0, false
		}
		packet = packet[min(len(packet), int(packet[0]&0xf)*4):]
	}
	if len(packet) < 20 {
		return 0, 0, 0, false
	}
	return binary.BigEndian.Uint16(packet[2:]), binary.BigEndian.Uint32(packet[8:]), packet[13], true
}
