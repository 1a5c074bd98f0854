package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// routeSocket is a routing socket (rtnetlink(7)) inside one namespace. It is
// for one goroutine.
//
// It stands beside the library's because that one allocates 64 kB for every
// message that it receives, cuts longer ones without a word, and drops fields
// of links.
type routeSocket struct {
	fd       int
	sequence uint32
	memory   *routeMemory
	from     *Memory // where memory goes when the socket is closed
}

// routeMemory is what a socket receives into. It serves one socket after the
// other.
type routeMemory struct {
	datagram []byte
	// answers holds the payloads that execute has returned, one after the other.
	answers []byte
}

// receiveSize is above NLMSG_GOODSIZE, what the kernel puts into one datagram at
// most unless a single link needs more. It fills larger buffers too, but most
// answers are small (net/netlink/af_netlink.c, netlink_dump).
const receiveSize = 16 << 10

// keptAnswers bounds the memory for answers that waits for another socket.
const keptAnswers = 64 << 10

// take returns memory for one socket.
func (m *Memory) take() *routeMemory {
	if m != nil {
		if idle, ok := m.idle.Get().(*routeMemory); ok {
			return idle
		}
	}
	return &routeMemory{datagram: make([]byte, receiveSize)}
}

// put takes back what no socket uses any more.
func (m *Memory) put(used *routeMemory) {
	if m != nil && len(used.datagram) == receiveSize && cap(used.answers) <= keptAnswers {
		used.answers = used.answers[:0]
		m.idle.Put(used)
	}
}

// openRoute makes the socket, which receives into what m holds; the caller closes
// it.
func openRoute(h *nsexec.Handle, m *Memory) (*routeSocket, error) {
	fd, err := h.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	return &routeSocket{fd: fd, memory: m.take(), from: m}, nil
}

// close has nothing to report: nothing is written that could be lost. What was
// received must not be used any more.
func (s *routeSocket) close() {
	_ = unix.Close(s.fd)
	s.from.put(s.memory)
	s.memory = nil
}

// strict makes the kernel apply the filters in a dump request, such as the
// index of an interface, instead of ignoring them (NETLINK_GET_STRICT_CHK,
// Linux 4.20).
func (s *routeSocket) strict() error {
	err := unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return os.NewSyscallError("setsockopt(NETLINK_GET_STRICT_CHK)", err)
}

// request is a netlink message without its header: a fixed part that depends
// on kind, and attributes.
type request struct {
	kind  uint16
	flags uint16 // beside NLM_F_REQUEST
	body  []byte
}

func (r request) message(sequence uint32) []byte {
	b := make([]byte, 0, unix.SizeofNlMsghdr+len(r.body))
	b = binary.NativeEndian.AppendUint32(b, u32(unix.SizeofNlMsghdr+len(r.body)))
	b = binary.NativeEndian.AppendUint16(b, r.kind)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|r.flags)
	b = binary.NativeEndian.AppendUint32(b, sequence)
	b = binary.NativeEndian.AppendUint32(b, 0) // the kernel knows the sender
	return append(b, r.body...)
}

// appendAttribute adds an attribute with its padding to the body of a request.
func appendAttribute(b []byte, kind int, payload []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, u16(unix.SizeofNlAttr+len(payload)))
	b = binary.NativeEndian.AppendUint16(b, u16(kind))
	b = append(b, payload...)
	for len(b)%unix.NLA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

var (
	// errInterrupted: the list changed while the kernel was telling it.
	errInterrupted = errors.New("the list changed while it was read")
	// errTruncated: an answer did not fit; the buffer fits the next time.
	errTruncated = errors.New("netlink message does not fit")
	// errSilent: nothing came, though the kernel answers in microseconds.
	errSilent = errors.New("the kernel does not answer")
)

// maxWait bounds the wait for one datagram where ctx does not.
const maxWait = 5 * time.Second

// execute sends one request and returns the payloads of the answers that have
// the type want; they are valid until the socket is closed. With errInterrupted
// it returns what came all the same.
func (s *routeSocket) execute(ctx context.Context, r request, want uint16) ([][]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.sequence++
	to := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(s.fd, r.message(s.sequence), 0, to); err != nil {
		return nil, os.NewSyscallError("sendto", err)
	}
	a := answer{sequence: s.sequence, want: want, memory: s.memory}
	for !a.complete {
		b, err := s.receive(ctx)
		if err != nil {
			return nil, err
		}
		if err := a.add(b); err != nil {
			return nil, err
		}
	}
	if a.interrupted {
		return a.payloads, errInterrupted
	}
	return a.payloads, nil
}

// receive returns the next datagram of the kernel, in the socket's buffer.
func (s *routeSocket) receive(ctx context.Context) ([]byte, error) {
	for {
		// With MSG_TRUNC the length is that of the datagram, not what fitted.
		n, from, err := unix.Recvfrom(s.fd, s.memory.datagram, unix.MSG_TRUNC)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if err := s.wait(ctx); err != nil {
				return nil, err
			}
		case err != nil:
			return nil, os.NewSyscallError("recvfrom", err)
		case n > len(s.memory.datagram):
			s.memory.datagram = make([]byte, n)
			return nil, errTruncated
		default:
			// Any process may write to a netlink socket whose port it knows.
			if sender, ok := from.(*unix.SockaddrNetlink); ok && sender.Pid == 0 {
				return s.memory.datagram[:n], nil
			}
		}
	}
}

// wait blocks until the socket can be read. That does not happen with a kernel
// that is well: it answers before sendto(2) returns.
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
	return errSilent
}

// answer collects what belongs to one request. It is fed with datagrams and
// does no I/O.
type answer struct {
	sequence    uint32
	want        uint16
	memory      *routeMemory
	payloads    [][]byte
	interrupted bool
	complete    bool
}

// add takes the messages of one datagram. It keeps no part of b.
func (a *answer) add(b []byte) error {
	for len(b) >= unix.SizeofNlMsghdr && !a.complete {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.SizeofNlMsghdr || length > len(b) {
			return errShortMessage
		}
		if err := a.message(b[:length]); err != nil {
			return err
		}
		aligned := (length + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
		b = b[min(aligned, len(b)):]
	}
	return nil
}

// message takes one message with its header: length, type, flags, sequence,
// port.
func (a *answer) message(b []byte) error {
	kind, flags := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint16(b[6:])
	if binary.NativeEndian.Uint32(b[8:]) != a.sequence {
		return nil // left from a request that was given up
	}
	payload := b[unix.SizeofNlMsghdr:]
	if flags&unix.NLM_F_DUMP_INTR != 0 {
		a.interrupted = true
	}
	switch kind {
	case unix.NLMSG_DONE, unix.NLMSG_ERROR:
		a.complete = true
		return kernelError(payload)
	case a.want:
		a.payloads = append(a.payloads, a.memory.keep(payload))
	}
	a.complete = flags&unix.NLM_F_MULTI == 0
	return nil
}

// keep copies b. What was kept before stays where it is.
func (m *routeMemory) keep(b []byte) []byte {
	from := len(m.answers)
	m.answers = append(m.answers, b...)
	return m.answers[from:len(m.answers):len(m.answers)]
}

// kernelError reads the number at the start of NLMSG_ERROR and NLMSG_DONE: 0
// or a negative errno.
func kernelError(payload []byte) error {
	if len(payload) < 4 {
		return nil // an old kernel's end of a dump
	}
	if code := signed(binary.NativeEndian.Uint32(payload)); code < 0 {
		return unix.Errno(-code)
	}
	return nil
}

// A dump that was interrupted by a change is repeated; a host on which pods
// come and go all the time may need a few rounds.
const (
	maxDumps  = 10
	dumpPause = time.Millisecond
)

// dump executes a dump request; see [settle] for settled.
func (s *routeSocket) dump(ctx context.Context, r request, want uint16) (payloads [][]byte, settled bool, err error) {
	r.flags |= unix.NLM_F_DUMP
	before := len(s.memory.answers)
	return settle(ctx, func() ([][]byte, error) {
		s.memory.answers = s.memory.answers[:before] // nobody has those of a round that is repeated
		return s.execute(ctx, r, want)
	})
}

// settle repeats a dump until nothing changes while it runs. settled is false
// where something changed each time: then the last answer may lack entries or
// hold them twice.
func settle(ctx context.Context, dump func() ([][]byte, error)) (payloads [][]byte, settled bool, err error) {
	for round := range maxDumps {
		if round > 0 {
			if err := pause(ctx, dumpPause); err != nil {
				return nil, false, err
			}
		}
		payloads, err = dump()
		switch {
		case err == nil:
			return payloads, true, nil
		case errors.Is(err, errInterrupted), errors.Is(err, errTruncated), errors.Is(err, unix.EBUSY):
			// EBUSY: what is left of a truncated dump is still on its way.
		default:
			return nil, false, err
		}
	}
	if errors.Is(err, errInterrupted) {
		return payloads, false, nil
	}
	return nil, false, err
}

// pause waits for d unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// get executes a request that has one answer.
func (s *routeSocket) get(ctx context.Context, r request, want uint16) ([]byte, error) {
	payloads, err := s.execute(ctx, r, want)
	if err != nil {
		return nil, err
	}
	if len(payloads) != 1 {
		return nil, fmt.Errorf("%d answers to one request", len(payloads))
	}
	return payloads[0], nil
}
