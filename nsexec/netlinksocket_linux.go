package nsexec

import (
	"bytes"
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
)

// NetlinkSocket is a netlink socket (netlink(7)) inside one namespace, for one
// goroutine. Requests are the library's; an answer is the bytes after the header of
// each message.
//
// The library's own socket is not used: it knows no context, and its lists have no
// bound, while the length of a list is up to the target.
type NetlinkSocket struct {
	home     *Home
	fd       int
	sequence uint32
	limit    dumpLimit
	buffer   *netlinkBuffer
}

// netlinkBuffer holds one datagram of the kernel. Where the reader has room for it, one of
// a dump has 32 kB (netlink_dump in net/netlink/af_netlink.c), and a message more where
// it is longer: the list of an interface's other names has 64 kB at most.
type netlinkBuffer [68 << 10]byte

// dumpLimit is what one dump may keep.
type dumpLimit struct{ messages, bytes int }

// OpenNetlink opens a socket of a protocol (unix.NETLINK_ROUTE, ...) inside the
// namespace. The caller closes it.
func (n *Handle) OpenNetlink(protocol int) (*NetlinkSocket, error) {
	fd, err := n.Socket(unix.AF_NETLINK, unix.SOCK_RAW, protocol)
	if err != nil {
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	// The kernel then takes messages from itself alone: any process may write to a
	// netlink socket whose port it knows, and could keep this one full (netlink(7)).
	if err := unix.Connect(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		closeFD(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	buffer, ok := n.home.buffers.Get().(*netlinkBuffer)
	if !ok {
		buffer = new(netlinkBuffer)
	}
	return &NetlinkSocket{home: n.home, fd: fd, limit: dumpLimit{maxDumpMessages, maxDumpBytes}, buffer: buffer}, nil
}

// Close has nothing to report: nothing is written that could be lost.
func (s *NetlinkSocket) Close() {
	closeFD(s.fd)
	s.home.buffers.Put(s.buffer)
}

// FilterDumps makes the kernel read the header of a request for a dump as a filter,
// and refuse one that it does not understand (NETLINK_GET_STRICT_CHK, netlink(7)).
func (s *NetlinkSocket) FilterDumps() error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1))
}

// A dump that a change interrupted is repeated: on a host where pods come and go
// all the time, a few rounds may be needed.
const (
	maxDumps  = 10
	dumpPause = time.Millisecond
)

// The bounds of one dump. A link takes about 2 kB, an address or a route about 100 B.
const (
	maxDumpMessages = 1 << 16
	maxDumpBytes    = 4 << 20
)

// Dump returns the payloads of the messages of the type want. Where complete is false,
// the list changed in each round, or is longer than 65,536 messages or 4 MB, of which
// the rest is left out.
func (s *NetlinkSocket) Dump(ctx context.Context, kind, want uint16, body ...nl.NetlinkRequestData) (payloads [][]byte, complete bool, err error) {
	err = RepeatDump(ctx, func() error {
		payloads, complete = nil, true
		left := s.limit
		return s.Each(ctx, kind, want, func(payload []byte) bool {
			left.messages--
			left.bytes -= len(payload)
			if complete = complete && left.messages >= 0 && left.bytes >= 0; complete {
				payloads = append(payloads, bytes.Clone(payload))
			}
			return true // read, and dropped, so that the socket can be used again
		}, body...)
	})
	if errors.Is(err, netlink.ErrDumpInterrupted) {
		return payloads, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return payloads, complete, nil
}

// RepeatDump calls dump, which calls [NetlinkSocket.Each], until nothing changes while it
// runs, and 10 times at most. It fails with [netlink.ErrDumpInterrupted] where something
// changed each time.
func RepeatDump(ctx context.Context, dump func() error) error {
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

// Each calls take with the payload of each message of one dump, which is valid until
// take returns. Where that is false, Each ends, and the socket is of no further use but
// to be closed.
// It fails with [netlink.ErrDumpInterrupted] at the end of a list that has changed
// meanwhile: what was told is true, but some may be missing.
func (s *NetlinkSocket) Each(ctx context.Context, kind, want uint16, take func(payload []byte) bool, body ...nl.NetlinkRequestData) error {
	return s.execute(ctx, &answer{want: want, take: take}, unix.NLM_F_DUMP, kind, body)
}

// Get executes a request that has one answer.
func (s *NetlinkSocket) Get(ctx context.Context, kind, want uint16, body ...nl.NetlinkRequestData) ([]byte, error) {
	var payload []byte
	err := s.execute(ctx, &answer{want: want, take: func(b []byte) bool { payload = bytes.Clone(b); return false }}, 0, kind, body)
	if err == nil && payload == nil {
		err = errors.New("the kernel answered without what was asked for")
	}
	return payload, err
}

// execute sends one request and reads its answer.
func (s *NetlinkSocket) execute(ctx context.Context, a *answer, flags int, kind uint16, body []nl.NetlinkRequestData) error {
	request := nl.NewNetlinkRequest(int(kind), flags)
	s.sequence++
	request.Seq, a.sequence = s.sequence, s.sequence
	for _, part := range body {
		request.AddData(part)
	}
	if err := unix.Sendto(s.fd, request.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("sendto", err)
	}
	for !a.complete {
		datagram, err := s.receive(ctx)
		if err != nil {
			return err
		}
		for len(datagram) > 0 {
			var m syscall.NetlinkMessage
			if m, datagram, err = cutMessage(datagram); err != nil {
				return err
			}
			if err := a.add(m); err != nil {
				return err
			}
		}
	}
	if a.interrupted {
		return netlink.ErrDumpInterrupted
	}
	return nil
}

// cutMessage returns the first message of a datagram, and the rest. It keeps no list, as
// syscall.ParseNetlinkMessage does: there may be hundreds of thousands.
func cutMessage(b []byte) (m syscall.NetlinkMessage, rest []byte, err error) {
	if len(b) < unix.SizeofNlMsghdr {
		return m, nil, fmt.Errorf("netlink message: %w", unix.EINVAL)
	}
	order := binary.NativeEndian
	m.Header = syscall.NlMsghdr{Len: order.Uint32(b), Type: order.Uint16(b[4:]), Flags: order.Uint16(b[6:]), Seq: order.Uint32(b[8:])}
	length := uint64(m.Header.Len)
	if length < unix.SizeofNlMsghdr || length > uint64(len(b)) {
		return m, nil, fmt.Errorf("netlink message: %w", unix.EINVAL)
	}
	m.Data = b[unix.SizeofNlMsghdr:length]
	aligned := (length + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
	return m, b[min(aligned, uint64(len(b))):], nil
}

// answer takes the messages that belong to one request. It does no I/O.
type answer struct {
	sequence    uint32
	want        uint16
	take        func(payload []byte) (more bool)
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
			if code := int32(binary.NativeEndian.Uint32(m.Data)); code < 0 { //nolint:gosec // the sign bit is what this is about
				return unix.Errno(-code)
			}
		}
		return nil
	case a.want:
		if !a.take(m.Data) {
			a.complete, a.interrupted = true, false
			return nil
		}
	}
	a.complete = m.Header.Flags&unix.NLM_F_MULTI == 0
	return nil
}

// receive returns the kernel's next datagram, valid until the next call.
func (s *NetlinkSocket) receive(ctx context.Context) ([]byte, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// With MSG_TRUNC the length is that of the datagram, not what fitted.
		n, from, err := unix.Recvfrom(s.fd, s.buffer[:], unix.MSG_TRUNC)
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
		case n > len(s.buffer):
			return nil, fmt.Errorf("netlink answer of %d bytes: %w", n, unix.EMSGSIZE)
		default:
			return s.buffer[:n], nil
		}
	}
}

// maxWait bounds the wait for one datagram where ctx does not.
const maxWait = 5 * time.Second

// wait blocks until the socket can be read. A kernel that is well has answered
// before sendto(2) returns.
func (s *NetlinkSocket) wait(ctx context.Context) error {
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
