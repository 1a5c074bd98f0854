package lookup

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// reportICMP makes the kernel report every ICMP error about a datagram, host
// and network unreachable too, as glibc does (resolv/res_enable_icmp.c). It
// must run after the socket of the namespace has taken its place.
func reportICMP(network string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "udp") {
		return nil
	}
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if strings.HasSuffix(network, "6") {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	var inner error
	err := c.Control(func(fd uintptr) { inner = unix.SetsockoptInt(int(fd), level, option, 1) })
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt(IP_RECVERR)", inner)
}

// refuseBroadcast undoes what package net sets: without SO_BROADCAST the kernel lets
// no datagram go to a broadcast address of the target's networks, and says EACCES
// (socket(7); __ip4_datagram_connect in net/ipv4/datagram.c). The C libraries do not set it
// either. It must run after the socket of the namespace has taken its place.
func refuseBroadcast(c syscall.RawConn) error {
	var inner error
	err := c.Control(func(fd uintptr) { inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 0) })
	if err != nil {
		return err
	}
	return os.NewSyscallError("setsockopt(SO_BROADCAST)", inner)
}

// readDatagram waits for one datagram and returns it whole. Memory is taken
// when it is there, as thousands may be waited for and each could have 64 kB.
func readDatagram(conn net.Conn) ([]byte, error) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("read datagram: %T is no socket", conn)
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var packet []byte
	var inner error
	err = raw.Read(func(fd uintptr) bool {
		packet, inner = receive(int(fd))
		return !errors.Is(inner, unix.EAGAIN)
	})
	if err != nil {
		return nil, err
	}
	return packet, os.NewSyscallError("recvfrom", inner)
}

// receive does not wait, so no signal interrupts it.
func receive(fd int) ([]byte, error) {
	// MSG_TRUNC: the length of the datagram, not that of the buffer (recv(2)).
	size, _, err := unix.Recvfrom(fd, nil, unix.MSG_PEEK|unix.MSG_TRUNC)
	if err != nil {
		return nil, err
	}
	// The datagram peeked at can be dropped before it is read, for a wrong
	// checksum; the next one may be longer, and is then cut.
	packet := make([]byte, size)
	n, _, err := unix.Recvfrom(fd, packet, 0)
	if err != nil {
		return nil, err
	}
	return packet[:n], nil
}
