package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// routeSocket is a routing socket (rtnetlink(7)) inside one namespace, for one
// goroutine. Requests are the library's, answers are decoded here.
//
// The library's own socket is not used: it knows no context, and its lists have no
// bound, while the length of a list is up to the target. Its links and addresses are
// not used either: they lack carrier, disable_ipv6, most settings of ports and the
// age of an address.
type routeSocket struct {
	fd       int
	sequence uint32
	limit    dumpLimit
}

// dumpLimit is what one dump may keep.
type dumpLimit struct{ messages, bytes int }

// openRoute opens the socket; the caller closes it.
func openRoute(h *nsexec.Handle) (*routeSocket, error) {
	fd, err := h.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	// The kernel then takes messages from itself alone: any process may write to a
	// netlink socket whose port it knows, and could keep this one full (netlink(7)).
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	return &routeSocket{fd: fd, limit: dumpLimit{maxDumpMessages, maxDumpBytes}}, nil
}

// close has nothing to report: nothing is written that could be lost.
func (s *routeSocket) close() { _ = unix.Close(s.fd) }

// A dump that a change interrupted is repeated: on a host where pods come and go
// all the time, a few rounds may be needed.
const (
	maxDumps  = 10
	dumpPause = time.Millisecond
)

// The bounds of one dump. A link takes about 2 kB, an address or a route about 100 B.
const (
	maxDumpMessages = 1 << 16
	maxDumpBytes    = 32 << 20
)

// dump returns the payloads of the messages of one type. Where complete is false,
// the list changed in each round, or is longer than the socket's limit.
func (s *routeSocket) dump(ctx context.Context, kind, want uint16, body ...nl.NetlinkRequestData) (payloads [][]byte, complete bool, err error) {
	err = repeat(ctx, func() (err error) {
		payloads, complete, err = s.execute(ctx, unix.NLM_F_DUMP, kind, want, body...)
		return err
	})
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return payloads, false, nil
	}
	return payloads, complete, err
}

// repeat calls dump until nothing changes while it runs, and maxDumps times at
// most. It fails with [netlink.ErrDumpInterrupted] where something changed each time.
func repeat(ctx context.Context, dump func() error) error {
	for round := 1; ; round++ {
		err := dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) || round == maxDumps {
			return err
		}
		select {
		case <-time.After(dumpPause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// get executes a request that has one answer.
func (s *routeSocket) get(ctx context.Context, kind, want uint16, body ...nl.NetlinkRequestData) ([]byte, error) {
	payloads, _, err := s.execute(ctx, 0, kind, want, body...)
	if err == nil && len(payloads) != 1 {
		err = fmt.Errorf("%d answers to one request", len(payloads))
	}
	if err != nil {
		return nil, err
	}
	return payloads[0], nil
}

// execute sends one request and returns the payloads of the answers that have the
// type want. fits is false where they exceed the limit; the rest is read and dropped.
func (s *routeSocket) execute(ctx context.Context, flags int, kind, want uint16, body ...nl.NetlinkRequestData) (payloads [][]byte, fits bool, err error) {
	request := nl.NewNetlinkRequest(int(kind), flags)
	s.sequence++
	request.Seq = s.sequence
	for _, part := range body {
		request.AddData(part)
	}
	if err := unix.Sendto(s.fd, request.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, false, os.NewSyscallError("sendto", err)
	}
	a := answer{sequence: s.sequence, want: want, left: s.limit}
	for !a.complete {
		messages, err := s.receive(ctx)
		if err != nil {
			return nil, false, err
		}
		for _, m := range messages {
			if err := a.add(m); err != nil {
				return nil, false, err
			}
		}
	}
	if a.interrupted {
		err = netlink.ErrDumpInterrupted
	}
	return a.payloads, !a.cut, err
}

// answer collects the messages that belong to one request. It does no I/O.
type answer struct {
	sequence    uint32
	want        uint16
	left        dumpLimit // what may still be kept
	payloads    [][]byte
	cut         bool // the rest of the payloads was dropped
	interrupted bool
	complete    bool
}

func (a *answer) add(m syscall.NetlinkMessage) error {
	if m.Header.Seq != a.sequence || a.complete {
		return nil // left from a request that was given up
	}
	if m.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
		a.interrupted = true
	}
	switch m.Header.Type {
	case unix.NLMSG_DONE, unix.NLMSG_ERROR:
		a.complete = true
		// Both begin with a number, 0 or a negative errno. An old kernel's DONE is empty.
		if len(m.Data) >= 4 {
			if code := signed(binary.NativeEndian.Uint32(m.Data)); code < 0 {
				return unix.Errno(-code)
			}
		}
		return nil
	case a.want:
		a.left.messages--
		a.left.bytes -= len(m.Data)
		if a.cut = a.cut || a.left.messages < 0 || a.left.bytes < 0; !a.cut {
			a.payloads = append(a.payloads, m.Data)
		}
	}
	a.complete = m.Header.Flags&unix.NLM_F_MULTI == 0
	return nil
}

// receive returns the messages of the kernel's next datagram.
func (s *routeSocket) receive(ctx context.Context) ([]syscall.NetlinkMessage, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// With MSG_TRUNC the length is that of the datagram, not what fitted.
		n, _, err := unix.Recvfrom(s.fd, nil, unix.MSG_PEEK|unix.MSG_TRUNC)
		datagram := make([]byte, max(n, 0))
		var from unix.Sockaddr
		if err == nil {
			_, from, err = unix.Recvfrom(s.fd, datagram, 0)
		}
		switch sender, _ := from.(*unix.SockaddrNetlink); {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if err := s.wait(ctx); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, os.NewSyscallError("recvfrom", err)
		case sender == nil || sender.Pid != 0:
			// It came before the socket was connected.
		default:
			messages, err := syscall.ParseNetlinkMessage(datagram)
			if err != nil {
				return nil, os.NewSyscallError("netlink message", err)
			}
			return messages, nil
		}
	}
}

// maxWait bounds the wait for one datagram where ctx does not.
const maxWait = 5 * time.Second

// wait blocks until the socket can be read. A kernel that is well has answered
// before sendto(2) returns.
func (s *routeSocket) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	left := maxWait
	if deadline, ok := ctx.Deadline(); ok {
		left = max(min(left, time.Until(deadline)), 0)
	}
	milliseconds := int(math.Ceil(float64(left) / float64(time.Millisecond)))
	readable := unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN} //nolint:gosec // descriptors fit
	n, err := unix.Poll([]unix.PollFd{readable}, milliseconds)
	switch {
	case errors.Is(err, unix.EINTR), n > 0:
		return nil
	case err != nil:
		return os.NewSyscallError("poll", err)
	case left < maxWait:
		return context.DeadlineExceeded
	}
	return errors.New("the kernel does not answer")
}
