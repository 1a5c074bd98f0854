package attempt

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// solicitEvery is the time between two requests for a link-layer address.
const solicitEvery = 250 * time.Millisecond

// maxSolicits bounds the requests of one attempt.
const maxSolicits = 3

// solicit asks on the link for hop's link-layer address, by the packet socket
// raw, until ctx ends or it was asked often enough. The function it returns
// tells how many requests were sent long enough ago to have been answered.
func solicit(ctx context.Context, raw syscall.RawConn, hop nextHop) (asked func() int) {
	var sent atomic.Int64
	packet, to := solicitation(hop)
	if packet == nil {
		return func() int { return 0 }
	}
	var timer *time.Timer // set before send can run
	send := func() {
		if ctx.Err() != nil || sent.Load() == maxSolicits {
			return
		}
		err := raw.Control(func(fd uintptr) {
			if unix.Sendto(int(fd), packet, unix.MSG_DONTWAIT, to) == nil {
				sent.Add(1)
			}
		})
		if err == nil { // else the socket is closed
			timer.Reset(solicitEvery)
		}
	}
	timer = time.AfterFunc(time.Hour, send)
	timer.Reset(0)
	start := time.Now()
	return func() int {
		timer.Stop()
		return min(int(sent.Load()), int(time.Since(start)/solicitEvery))
	}
}

// solicitation is a request for hop's link-layer address as a packet socket
// sends it, from the network header on; nil where none can be made.
func solicitation(hop nextHop) ([]byte, *unix.SockaddrLinklayer) {
	if len(hop.mac) != 6 || !hop.src.IsValid() || hop.src.Is4() != hop.addr.Is4() {
		return nil, nil
	}
	to := &unix.SockaddrLinklayer{Ifindex: hop.index, Halen: 6}
	if hop.addr.Is4() {
		to.Protocol = networkOrder(unix.ETH_P_ARP)
		copy(to.Addr[:], []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
		return arpRequest(hop), to
	}
	to.Protocol = networkOrder(unix.ETH_P_IPV6)
	ip := hop.addr.As16()
	copy(to.Addr[:], []byte{0x33, 0x33, 0xff, ip[13], ip[14], ip[15]}) // RFC 2464, section 7
	return neighbourSolicitation(hop), to
}

func networkOrder(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

// arpRequest is RFC 826's packet.
func arpRequest(hop nextHop) []byte {
	const ethernet, request = 1, 1
	p := binary.BigEndian.AppendUint16(nil, ethernet)
	p = binary.BigEndian.AppendUint16(p, unix.ETH_P_IP)
	p = append(p, 6, 4)
	p = binary.BigEndian.AppendUint16(p, request)
	p = append(p, hop.mac...)
	p = append(p, hop.src.AsSlice()...)
	p = append(p, make([]byte, 6)...)
	return append(p, hop.addr.AsSlice()...)
}

// neighbourSolicitation is RFC 4861's message (section 4.3) in an IPv6 packet to
// the solicited-node address.
func neighbourSolicitation(hop nextHop) []byte {
	const solicitation, sourceLinkLayer = 135, 1
	const length = 8 + 16 + 8 // header, target, option
	ip := hop.addr.As16()
	group := netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 11: 0x01, 12: 0xff, 13: ip[13], 14: ip[14], 15: ip[15]})
	message := []byte{solicitation, 0, 0, 0, 0, 0, 0, 0}
	message = append(message, ip[:]...)
	message = append(message, sourceLinkLayer, 1)
	message = append(message, hop.mac...)

	binary.BigEndian.PutUint16(message[2:], checksum(hop.src.WithZone(""), group, protoICMPv6, message))

	p := []byte{0x60, 0, 0, 0}
	p = binary.BigEndian.AppendUint16(p, length)
	p = append(p, protoICMPv6, 255)
	p = append(p, hop.src.WithZone("").AsSlice()...)
	p = append(p, group.AsSlice()...)
	return append(p, message...)
}

// checksum is that of TCP and ICMPv6 (RFC 1071), whose pseudo header has the addresses,
// protocol and length (RFC 9293, section 3.1; RFC 8200, section 8.1). The message has
// an even length.
func checksum(src, dst netip.Addr, proto byte, message []byte) uint16 {
	sum := uint32(proto) + uint32(len(message)) //nolint:gosec // a few bytes
	for _, part := range [...][]byte{src.AsSlice(), dst.AsSlice(), message} {
		for word := range slices.Chunk(part, 2) {
			sum += uint32(binary.BigEndian.Uint16(word))
		}
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
