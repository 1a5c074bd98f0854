package attempt

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/conntrack"
	"nsenter-mcp/tools/probe/journey"
)

// Ask sends one packet and waits for the answer, which is nil where none came. Errors
// are those of [Prober.Connect].
func (p *Prober) Ask(ctx context.Context, h *nsexec.Handle, r Request, q Question) (a fact.Attempt, answer []byte, err error) {
	to := netip.AddrPortFrom(r.Address.Addr().Unmap(), r.Address.Port())
	a.Address, a.Packet = to.String(), "the datagram"
	if q.Echo {
		a.Address, a.Packet = to.Addr().String(), "the echo request"
	}
	if r.Allow != nil {
		if err := r.Allow(r.Address); err != nil {
			a.Outcome, a.Why = fact.OutcomeDenied, err.Error()
			return a, nil, nil
		}
	}
	s := &socket{to: to, v6: to.Addr().Is6(), proto: conntrack.UDP}
	if q.Echo {
		s.to = netip.AddrPortFrom(to.Addr(), 0)
	}
	defer s.close()
	if err := s.openFor(h, q); err != nil {
		return a, nil, fmt.Errorf("prepare to ask %s: %w", to.Addr(), err)
	}
	failed := s.connectDatagram()
	if failed == nil {
		answer, failed = s.exchange(ctx, h, r, q, &a)
	} else {
		a.Journey = journey.Unavailable(fmt.Errorf("the kernel sent nothing: %w", failed))
	}
	if s.local.IsValid() && !q.Echo {
		a.Local = s.local.String()
	} else if s.local.IsValid() {
		a.Local = s.local.Addr().String()
	}
	switch {
	case failed == nil:
		a.Outcome = fact.OutcomeOK
		return a, answer, nil
	case errors.Is(failed, context.Canceled):
		return a, nil, failed
	}
	a.Errno = errnoName(failed)
	a.Outcome = outcomeOf(a.Errno)
	_ = p.turn(ctx, func() error { // as in gather
		measureWay(ctx, h, s, nil, &a)
		return nil
	})
	return a, nil, nil
}

// openFor makes the socket in the namespace.
func (s *socket) openFor(h *nsexec.Handle, q Question) error {
	domain, typ, proto := unix.AF_INET, unix.SOCK_DGRAM, 0
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	if s.v6 {
		domain, level, option = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	if q.Echo {
		typ, proto = unix.SOCK_RAW, unix.IPPROTO_ICMP
		if s.v6 {
			proto = unix.IPPROTO_ICMPV6
		}
	}
	fd, err := h.Socket(domain, typ, proto)
	if err != nil {
		return err
	}
	s.file = os.NewFile(uintptr(fd), "datagram")
	if s.zone, err = zoneIndex(fd, s.to.Addr().Zone()); err != nil {
		return fmt.Errorf("%s: %w: %w", s.to.Addr(), ErrZone, err)
	}
	if s.zone == 0 && s.v6 && s.to.Addr().IsLinkLocalUnicast() {
		return fmt.Errorf("%s: %w", s.to.Addr(), ErrZone)
	}
	// Every ICMP error is told, host unreachable too (ip(7)).
	return os.NewSyscallError("setsockopt(IP_RECVERR)", unix.SetsockoptInt(fd, level, option, 1))
}

// connectDatagram lets the kernel choose the local address; nothing is sent by that.
func (s *socket) connectDatagram() (failed error) {
	err := s.control(func(fd int) {
		if failed = unix.Connect(fd, sockaddr(s.to, s.zone)); failed == nil {
			s.readLocal(fd)
		}
	})
	return errors.Join(err, failed)
}

// exchange sends, and waits for what answers.
func (s *socket) exchange(ctx context.Context, h *nsexec.Handle, r Request, q Question, a *fact.Attempt) (answer []byte, err error) {
	flow := flowOf(h, journey.UDP, s.local, s.to)
	packet, isAnswer := q.Payload, func([]byte) bool { return true }
	if q.Echo {
		var ident uint16
		if packet, ident, isAnswer, err = newEcho(s.v6); err != nil {
			return nil, err
		}
		flow.Proto, flow.Src, flow.Dst = journey.ICMP, netip.AddrPortFrom(flow.Src.Addr(), ident), netip.AddrPortFrom(flow.Dst.Addr(), ident)
		if s.v6 {
			flow.Proto = journey.ICMPv6
		}
	}
	conn, err := net.FilePacketConn(s.file) // duplicates the descriptor
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // a datagram socket has nothing left to tell
	stop := r.Tracer.Follow(flow)
	start := time.Now()
	defer func() {
		a.MS = milliseconds(time.Since(start))
		a.Journey = stop()
	}()
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = defaultAnswerTime
	}
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if _, err = conn.(net.Conn).Write(packet); err != nil {
		return nil, err
	}
	buffer := make([]byte, 64<<10)
	for {
		n, _, err := conn.ReadFrom(buffer)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, err
		case isAnswer(buffer[:n]):
			return bytes.Clone(buffer[:n]), nil
		}
	}
}

// newEcho makes an echo request, known by its identifier and a random text.
func newEcho(v6 bool) (packet []byte, ident uint16, isAnswer func([]byte) bool, err error) {
	text := make([]byte, 32)
	_, _ = rand.Read(text) // never fails
	ident = binary.NativeEndian.Uint16(text)
	var request, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if v6 {
		request, reply = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	message := icmp.Message{Type: request, Body: &icmp.Echo{ID: int(ident), Seq: 1, Data: text}}
	packet, err = message.Marshal(nil) // of ICMPv6 the kernel makes the checksum (raw(7))
	isAnswer = func(b []byte) bool {
		got, err := icmp.ParseMessage(reply.Protocol(), b)
		if err != nil || got.Type != reply {
			return false
		}
		echo, ok := got.Body.(*icmp.Echo)
		return ok && echo.ID == int(ident) && bytes.Equal(echo.Data, text)
	}
	return packet, ident, isAnswer, err
}
