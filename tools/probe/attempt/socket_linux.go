package attempt

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// socket is a TCP socket of the target and what was measured before it is used.
// The standard dialer would do for connecting, but it closes the socket of an
// attempt that failed, and with it what the kernel knows of the attempt.
type socket struct {
	to    netip.AddrPort // IPv4 unmapped
	v6    bool
	proto byte // 0 for TCP
	zone  int  // of to, as an index of the target
	mss   int  // 0 for the kernel's own
	file  *os.File

	replies replies

	before []byte         // counters
	local  netip.AddrPort // valid once connecting has begun
}

// open makes the socket. It runs inside the namespace.
func (s *socket) open() error {
	domain := unix.AF_INET
	if s.v6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	s.file = os.NewFile(uintptr(fd), "tcp")
	if s.mss > 0 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, s.mss); err != nil {
			return os.NewSyscallError("setsockopt(TCP_MAXSEG)", err)
		}
	}
	if s.zone, err = zoneIndex(fd, s.to.Addr().Zone()); err != nil {
		return fmt.Errorf("%s: %w: %w", s.to.Addr(), ErrZone, err)
	}
	if s.zone == 0 && s.v6 && s.to.Addr().IsLinkLocalUnicast() {
		return fmt.Errorf("%s: %w", s.to.Addr(), ErrZone)
	}
	return nil
}

// zoneIndex is the index of the interface that zone names in the namespace of
// the socket fd.
func zoneIndex(fd int, zone string) (int, error) {
	if zone == "" {
		return 0, nil
	}
	if index, err := strconv.ParseUint(zone, 10, 31); err == nil {
		return int(index), nil
	}
	request, err := unix.NewIfreq(zone)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0, os.NewSyscallError("ioctl(SIOCGIFINDEX)", err)
	}
	return int(request.Uint32()), nil
}

func sockaddr(to netip.AddrPort, zone int) unix.Sockaddr {
	if to.Addr().Is6() {
		return &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16(), ZoneId: uint32(zone)} //nolint:gosec // as the kernel gave it
	}
	return &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
}

// connect connects, and waits without holding a thread. It returns the
// kernel's errno, the error of ctx, or os.ErrDeadlineExceeded.
func (s *socket) connect(ctx context.Context, timeout time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	if timeout > 0 {
		if err := s.file.SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
	}
	var result error
	begun := false
	wait := func(fd uintptr) (done bool) {
		if !begun {
			begun = true
			result = unix.Connect(int(fd), sockaddr(s.to, s.zone))
			s.readLocal(int(fd))
			stillGoing := errors.Is(result, unix.EINPROGRESS) || errors.Is(result, unix.EINTR)
			return !stillGoing
		}
		result, done = connected(int(fd))
		return done
	}
	stop := context.AfterFunc(ctx, func() {
		// The only error is that the file is closed, and then nobody waits.
		_ = s.file.SetWriteDeadline(time.Unix(1, 0))
	})
	defer stop()
	err = raw.Write(wait)
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	return result
}

// connected asks how a connection that was begun stands, as package net does:
// the poller may wake us for nothing, so no error is not yet success.
func connected(fd int) (err error, done bool) { //nolint:revive // the error is the answer, done says whether there is one
	value, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return os.NewSyscallError("getsockopt(SO_ERROR)", err), true
	}
	switch errno := unix.Errno(value); errno {
	case unix.EINPROGRESS, unix.EALREADY, unix.EINTR:
		return nil, false
	case unix.EISCONN:
		return nil, true
	case 0:
		_, err := unix.Getpeername(fd)
		return nil, err == nil
	default:
		return errno, true
	}
}

// bind chooses the local port before connecting, and says from where that will be.
func (s *socket) bind(h *nsexec.Handle) (local netip.AddrPort, err error) {
	var own unix.Sockaddr = &unix.SockaddrInet4{}
	domain := unix.AF_INET
	if s.v6 {
		own, domain = &unix.SockaddrInet6{}, unix.AF_INET6
	}
	var bound error
	if err := s.control(func(fd int) { bound = unix.Bind(fd, own) }); err != nil {
		return local, err
	}
	if bound != nil {
		return local, os.NewSyscallError("bind", bound)
	}
	at, _ := s.localAddress()
	fd, err := h.Socket(domain, unix.SOCK_DGRAM, 0)
	if err != nil {
		return local, err
	}
	defer func() { _ = unix.Close(fd) }() // nothing was sent
	if err := unix.Connect(fd, sockaddr(s.to, s.zone)); err != nil {
		return local, fmt.Errorf("the kernel knows no address to send from: %w", err)
	}
	var like socket
	like.readLocal(fd)
	return netip.AddrPortFrom(like.local.Addr(), at.Port()), nil
}

func (s *socket) readLocal(fd int) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return
	}
	switch sa := name.(type) {
	case *unix.SockaddrInet4:
		s.local = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)) //nolint:gosec // a port
	case *unix.SockaddrInet6:
		s.local = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)) //nolint:gosec // a port
	}
}

// describe adds what the socket knows.
func (s *socket) describe(a *fact.Attempt) {
	if s.local.IsValid() && s.local.Port() != 0 && !s.local.Addr().IsUnspecified() {
		a.Local = s.local.String()
	}
	raw, err := s.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // fails only on a closed file
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil {
			return
		}
		a.SYNRetransmits = int(info.Total_retrans)
		if info.State == tcpEstablished {
			a.RTTMS = float64(info.Rtt) / 1000
		}
	})
}

// tcpEstablished is TCP_ESTABLISHED of include/net/tcp_states.h.
const tcpEstablished = 1

// conn makes a [net.Conn] of a socket that is connected.
func (s *socket) conn() (net.Conn, error) {
	conn, err := net.FileConn(s.file) // duplicates the descriptor
	if err != nil {
		return nil, fmt.Errorf("use the connection: %w", err)
	}
	return conn, nil
}

func (s *socket) close() {
	s.replies.close()
	if s.file != nil {
		_ = s.file.Close() // nothing was written, so nothing can be lost
	}
}
