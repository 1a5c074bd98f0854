package attempt

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// The protocol numbers and flags that are looked at (IANA; RFC 9293).
const (
	protoICMP   = 1
	protoTCP    = 6
	protoICMPv6 = 58

	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// loopbackIndex is the index of lo in every namespace (LOOPBACK_IFINDEX in
// include/net/flow.h).
const loopbackIndex = 1

// segment is the head of a TCP segment.
type segment struct {
	src, dst netip.AddrPort
	ttl      int // or hop limit
	seq, ack uint32
	flags    byte
	stamp    uint32 // its sender's clock, valid where stamped
	stamped  bool
}

func (s *segment) has(flags byte) bool { return s.flags&flags == flags }

// parseIP reads an IPv4 or IPv6 packet as far as its transport header: that
// header and what follows, whose length is whatever was captured. Fragments
// other than the first, and IPv6 packets with extension headers, are not taken.
func parseIP(packet []byte) (src, dst netip.Addr, ttl int, proto byte, rest []byte, ok bool) {
	if len(packet) == 0 {
		return
	}
	switch packet[0] >> 4 {
	case 4:
		head := int(packet[0]&0x0f) * 4
		if head < 20 || len(packet) < head || binary.BigEndian.Uint16(packet[6:])&0x1fff != 0 {
			return
		}
		return netip.AddrFrom4([4]byte(packet[12:])), netip.AddrFrom4([4]byte(packet[16:])),
			int(packet[8]), packet[9], packet[head:], true
	case 6:
		if len(packet) < 40 {
			return
		}
		return netip.AddrFrom16([16]byte(packet[8:])), netip.AddrFrom16([16]byte(packet[24:])),
			int(packet[7]), packet[6], packet[40:], true
	}
	return
}

// parseSegment reads an IP packet that holds TCP.
func parseSegment(packet []byte) (segment, bool) {
	src, dst, ttl, proto, tcp, ok := parseIP(packet)
	if !ok || proto != protoTCP {
		return segment{}, false
	}
	return parseTCP(src, dst, ttl, tcp)
}

func parseTCP(src, dst netip.Addr, ttl int, tcp []byte) (segment, bool) {
	if len(tcp) < 14 {
		return segment{}, false
	}
	seg := segment{
		src:   netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp)),
		dst:   netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:])),
		ttl:   ttl,
		seq:   binary.BigEndian.Uint32(tcp[4:]),
		ack:   binary.BigEndian.Uint32(tcp[8:]),
		flags: tcp[13],
	}
	seg.stamp, seg.stamped = timestamp(tcp)
	return seg, true
}

// timestamp reads the option in which the sender tells its clock (RFC 7323,
// section 3.2), where the whole header is there.
func timestamp(tcp []byte) (value uint32, ok bool) {
	const least, end, padding, kind, length = 20, 0, 1, 8, 10
	head := int(tcp[12]>>4) * 4
	if head < least || head > len(tcp) {
		return 0, false
	}
	for options := tcp[least:head]; len(options) > 0 && options[0] != end; {
		if options[0] == padding {
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return 0, false
		}
		if options[0] == kind && options[1] == length {
			return binary.BigEndian.Uint32(options[2:]), true
		}
		options = options[options[1]:]
	}
	return 0, false
}

// sameFlow compares without zones, which packets do not carry.
func sameFlow(src, dst, local, remote netip.AddrPort) bool {
	return src == bare(local) && dst == bare(remote)
}

func bare(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}

// icmpError is an ICMP or ICMPv6 error about a TCP segment.
type icmpError struct {
	v6         bool
	kind, code byte
	src, dst   netip.AddrPort // of the segment it is about
}

// parseICMP reads an ICMP message: type, code, and the head of the packet that
// caused it (RFC 792; RFC 4443). That it holds 8 bytes of TCP is enough.
func parseICMP(v6 bool, message []byte) (icmpError, bool) {
	if len(message) < 8 {
		return icmpError{}, false
	}
	e := icmpError{v6: v6, kind: message[0], code: message[1]}
	src, dst, _, proto, tcp, ok := parseIP(message[8:])
	if !ok || proto != protoTCP || len(tcp) < 4 || src.Is6() != v6 {
		return icmpError{}, false
	}
	e.src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp))
	e.dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:]))
	return e, true
}

// ICMP types (IANA).
const (
	icmpUnreachable  = 3
	icmpTimeExceeded = 11
	icmpParameter    = 12

	icmp6Unreachable  = 1
	icmp6TimeExceeded = 3
	icmp6Parameter    = 4
)

// ends reports whether the error ends an attempt to connect. That a packet was
// too big does not.
func (e *icmpError) ends() bool {
	if e.v6 {
		return e.kind == icmp6Unreachable || e.kind == icmp6TimeExceeded || e.kind == icmp6Parameter
	}
	return e.kind == icmpUnreachable && e.code != 4 || e.kind == icmpTimeExceeded || e.kind == icmpParameter
}

// The names of the codes of "destination unreachable".
var (
	unreachableCodes = [...]string{
		0: "net unreachable", 1: "host unreachable", 2: "protocol unreachable", 3: "port unreachable",
		5: "source route failed", 6: "net unknown", 7: "host unknown",
		9: "net administratively prohibited", 10: "host administratively prohibited",
		11: "net unreachable for type of service", 12: "host unreachable for type of service",
		13: "administratively prohibited",
	}
	unreachable6Codes = [...]string{
		0: "no route", 1: "administratively prohibited", 2: "beyond scope of source address",
		3: "address unreachable", 4: "port unreachable", 5: "source address failed policy", 6: "reject route",
	}
)

// String names the error.
func (e *icmpError) String() string {
	codes, unreachable, exceeded := unreachableCodes[:], byte(icmpUnreachable), byte(icmpTimeExceeded)
	if e.v6 {
		codes, unreachable, exceeded = unreachable6Codes[:], icmp6Unreachable, icmp6TimeExceeded
	}
	switch e.kind {
	case unreachable:
		if int(e.code) < len(codes) && codes[e.code] != "" {
			return codes[e.code]
		}
	case exceeded:
		return "time exceeded"
	}
	return fmt.Sprintf("type %d code %d", e.kind, e.code)
}

// icmp6Advertisement is the type of a neighbour advertisement (RFC 4861).
const icmp6Advertisement = 136

// parseNeighbour reads an ARP reply (RFC 826) or a neighbour advertisement, from
// its network header on, and returns whose link-layer address it tells. The
// address is nil where an advertisement leaves it out.
func parseNeighbour(packet []byte) (netip.Addr, net.HardwareAddr, bool) {
	const arpReply, targetLinkLayer = 2, 2
	if len(packet) >= 28 && packet[0]>>4 == 0 {
		// Hardware type, protocol 0x0800, lengths, operation, sender.
		isIPv4 := binary.BigEndian.Uint16(packet[2:]) == 0x0800 && packet[4] == 6 && packet[5] == 4
		if !isIPv4 || binary.BigEndian.Uint16(packet[6:]) != arpReply {
			return netip.Addr{}, nil, false
		}
		return netip.AddrFrom4([4]byte(packet[14:])), slices.Clone(packet[8:14]), true
	}
	_, _, hops, proto, message, ok := parseIP(packet)
	// 255 hops: it comes from the link itself (RFC 4861, section 7.1.2).
	if !ok || proto != protoICMPv6 || hops != 255 || len(message) < 24 || message[0] != icmp6Advertisement {
		return netip.Addr{}, nil, false
	}
	var mac net.HardwareAddr
	if option := message[24:]; len(option) >= 8 && option[0] == targetLinkLayer && option[1] == 1 {
		mac = slices.Clone(option[2:8])
	}
	return netip.AddrFrom16([16]byte(message[8:])), mac, true
}
