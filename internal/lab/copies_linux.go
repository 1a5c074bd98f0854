package lab

import (
	"encoding/binary"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Copied has each TCP segment and datagram that the pod sends sent again by others until
// the test's end, with all its numbers: as it was, and to another address.
func (p *Pod) Copied(tb TB, elsewhere netip.AddrPort, by ...*Pod) {
	tb.Helper()
	open := func(p *Pod, domain, kind, protocol int) int {
		fd, err := p.Handle.Socket(domain, kind, protocol)
		if err != nil {
			tb.Fatalf("%v", os.NewSyscallError("socket", err))
		}
		tb.Cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	family := unix.AF_INET
	if elsewhere.Addr().Is6() {
		family = unix.AF_INET6
	}
	var out []int
	for _, other := range by {
		out = append(out, open(other, family, unix.SOCK_RAW, unix.IPPROTO_RAW))
	}
	in := open(p, unix.AF_PACKET, unix.SOCK_DGRAM, int(binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})))
	var stop [2]int
	if err := unix.Pipe2(stop[:], unix.O_CLOEXEC); err != nil {
		tb.Fatalf("%v", os.NewSyscallError("pipe2", err))
	}
	done := make(chan struct{})
	tb.Cleanup(func() {
		_ = unix.Close(stop[1])
		<-done
		_ = unix.Close(stop[0])
	})
	go func() {
		defer close(done)
		for packet := make([]byte, 1<<16); ; {
			waiting := []unix.PollFd{{Fd: int32(in), Events: unix.POLLIN}, {Fd: int32(stop[0])}}
			if _, err := unix.Poll(waiting, -1); err != nil && err != unix.EINTR || waiting[1].Revents != 0 {
				return
			}
			n, from, err := unix.Recvfrom(in, packet, unix.MSG_DONTWAIT)
			link, ok := from.(*unix.SockaddrLinklayer)
			if err != nil || !ok || link.Pkttype != unix.PACKET_OUTGOING {
				continue
			}
			for _, fd := range out {
				sendCopies(fd, packet[:n], elsewhere)
			}
		}
	}()
}

// sendCopies sends a packet of the family of elsewhere; what cannot be sent is let be.
func sendCopies(fd int, packet []byte, elsewhere netip.AddrPort) {
	size, version, header, protocol := 4, byte(4), 20, 9 // of an address, of the header, where it says what follows
	if elsewhere.Addr().Is6() {
		size, version, header, protocol = 16, 6, 40, 6
	}
	if len(packet) < header+4 || packet[0]>>4 != version || packet[protocol] != unix.IPPROTO_TCP && packet[protocol] != unix.IPPROTO_UDP {
		return
	}
	send := func(b []byte) {
		var to unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte(b[header-4:])}
		if size == 16 {
			to = &unix.SockaddrInet6{Addr: [16]byte(b[header-16:])}
		}
		_ = unix.Sendto(fd, b, 0, to)
	}
	send(packet)
	other := slices.Clone(packet)
	copy(other[header-size:], elsewhere.Addr().AsSlice())
	binary.BigEndian.PutUint16(other[header+2:], elsewhere.Port())
	send(other)
}
