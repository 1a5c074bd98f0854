package fetch

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

const (
	// ecnTries is how many SYNs of each kind are compared: one may be lost by chance.
	ecnTries = 3
	// ecnWait bounds the comparison, and ecnGrace how long an answer may come after
	// the last of the other kind.
	ecnWait  = time.Second
	ecnGrace = 300 * time.Millisecond
)

// synProbe is one SYN of the comparison. Its socket only keeps the port: it is not
// connected, so the kernel resets what is answered.
type synProbe struct {
	socket   int
	local    netip.AddrPort
	ecn      bool
	sequence uint32
	done     bool
}

// compareECN sends SYNs that differ by ECN alone to an address whose first SYN asked
// for it and was not answered, or was reset; nil where that is not so or cannot be
// measured. The kernel asks for ECN where net.ipv4.tcp_ecn is 1 or 4, and repeats a
// SYN without it (tcp_ecn_send_syn and tcp_ecn_clear_syn in the kernel).
func (s *step) compareECN(ctx context.Context) *fact.ECN {
	to, ok := ecnSuspect(s.answer.Attempts)
	if !ok {
		return nil
	}
	var raw *os.File
	var probes []synProbe
	err := s.Target.Do(func() (err error) {
		if text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_ecn"); err != nil || !strings.Contains("14", strings.TrimSpace(string(text))) {
			return errNoECN
		}
		raw, probes, err = openECN(to)
		return err
	})
	defer func() {
		for _, p := range probes {
			_ = unix.Close(p.socket) // was only bound
		}
	}()
	if err != nil {
		return nil
	}
	defer func() { _ = raw.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return exchangeSYNs(raw, to, probes)
}

var errNoECN = errors.New("the target does not ask for ECN")

// openECN opens, in the target, a raw socket to an address and reserves the ports to
// send from.
func openECN(to netip.AddrPort) (raw *os.File, probes []synProbe, err error) {
	family, sockaddr := unix.AF_INET, func(a netip.AddrPort) unix.Sockaddr {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	if to.Addr().Is6() {
		family, sockaddr = unix.AF_INET6, func(a netip.AddrPort) unix.Sockaddr {
			return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
		}
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_TCP)
	if err != nil {
		return nil, nil, os.NewSyscallError("socket", err)
	}
	raw = os.NewFile(uintptr(fd), "raw")
	defer func() {
		if err != nil {
			_ = raw.Close()
		}
	}()
	if err := unix.Connect(fd, sockaddr(netip.AddrPortFrom(to.Addr(), 0))); err != nil {
		return nil, nil, os.NewSyscallError("connect", err)
	}
	own, err := localOf(fd)
	if err != nil {
		return nil, nil, err
	}
	for i := range 2 * ecnTries {
		fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
		if err != nil {
			return nil, probes, os.NewSyscallError("socket", err)
		}
		p := synProbe{socket: fd, ecn: i%2 == 1, sequence: rand.Uint32()} //nolint:gosec // nothing is secret about it
		probes = append(probes, p)
		if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(own.Addr(), 0))); err != nil {
			return nil, probes, os.NewSyscallError("bind", err)
		}
		if probes[i].local, err = localOf(fd); err != nil {
			return nil, probes, err
		}
	}
	return raw, probes, nil
}

func localOf(fd int) (netip.AddrPort, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	switch sa := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil //nolint:gosec // a port
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), nil //nolint:gosec // a port
	}
	return netip.AddrPort{}, net.ErrClosed
}

// exchangeSYNs sends the SYNs and counts what comes back; nil where that cannot be
// done.
func exchangeSYNs(raw *os.File, to netip.AddrPort, probes []synProbe) *fact.ECN {
	result := &fact.ECN{Address: to.String(), Sent: ecnTries}
	for _, p := range probes {
		more := byte(0)
		if p.ecn {
			more = flagECE | flagCWR
		}
		if _, err := raw.Write(synSegment(p.local, to, p.sequence, more)); err != nil {
			return nil
		}
	}
	if err := raw.SetReadDeadline(time.Now().Add(ecnWait)); err != nil {
		return nil
	}
	buffer := make([]byte, 2048)
	for left := len(probes); left > 0; {
		n, err := raw.Read(buffer)
		if err != nil {
			break // the time is up, or an ICMP error came
		}
		port, acknowledged, flags, ok := synReply(buffer[:n], to.Addr().Is6())
		for i := range probes {
			p := &probes[i]
			if !ok || p.done || p.local.Port() != port || acknowledged != p.sequence+1 {
				continue
			}
			p.done = true
			left--
			answered := flags&(flagSYN|flagACK) == flagSYN|flagACK
			switch {
			case answered && p.ecn:
				result.AnsweredECN++
			case answered:
				if result.Answered++; result.Answered == ecnTries {
					_ = raw.SetReadDeadline(time.Now().Add(ecnGrace)) // fails only on a closed socket
				}
			case flags&flagRST != 0 && p.ecn:
				result.ResetECN++
			}
		}
	}
	return result
}
