package lookup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// asker asks servers. It is safe for concurrent use.
type asker struct {
	dial func(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error)
	// edns and trustAD go into the queries, useTCP leaves UDP out.
	edns, trustAD, useTCP bool
	// oneByOne: never two queries under way on one socket.
	oneByOne bool
	// resend are the times after the first query at which one that is still
	// unanswered is sent again, so that a lost packet can be told from a server
	// that does not answer. Each has an ID of its own: an answer tells which
	// query it is for.
	resend []time.Duration
}

// maxIgnoredMessages bounds the messages that do not belong to a question and are
// skipped on one connection over TCP. Over UDP anybody can send them, so there
// the time alone bounds them.
const maxIgnoredMessages = 64

// ask puts all questions about one name to one server and waits until each has
// its answer or ctx ends. It then returns, and every reply is final: what was
// not answered is Silent. A server that gives an error is asked once more.
func (a *asker) ask(ctx context.Context, server netip.AddrPort, name string, types []uint16) (*Exchange, error) {
	x, err := a.askOnce(ctx, server, name, types)
	failed := func(r Reply) bool { return r.OK() && (isServerError(r.Message) || r.Lame) }
	if err != nil || !slices.ContainsFunc(x.Datagrams, failed) {
		return x, err
	}
	again, err := a.askOnce(ctx, server, name, types)
	if err == nil && !slices.ContainsFunc(again.finals(), func(r Reply) bool { return !r.OK() || failed(r) }) {
		x.Again = again
	}
	return x, err
}

func (a *asker) askOnce(ctx context.Context, server netip.AddrPort, name string, types []uint16) (*Exchange, error) {
	x := &Exchange{Name: name, Server: server, Types: types}
	if !a.useTCP {
		together := len(types)
		if a.oneByOne {
			together = 1
		}
		for group := range slices.Chunk(types, together) {
			s := a.newSocket(name, group)
			if err := s.overUDP(ctx, server); err != nil {
				return nil, fmt.Errorf("ask %s: %w", server, err)
			}
			x.Datagrams = append(x.Datagrams, s.replies...)
			x.Ignored += s.ignored
			x.Local = s.local
		}
		if !slices.ContainsFunc(x.Datagrams, func(r Reply) bool { return r.OK() && r.TC }) {
			return x, nil
		}
	}
	if err := a.askStream(ctx, x); err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	return x, nil
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// socket is one connected socket with questions about one name under way.
type socket struct {
	*asker
	name    string
	types   []uint16
	replies []Reply // one a type
	sent    []sentQuery
	ignored int
	start   time.Time
	local   netip.AddrPort
}

// sentQuery remembers a query for as long as its socket lives.
type sentQuery struct {
	id   uint16
	i    int // of the question
	try  int
	when time.Time
}

func (a *asker) newSocket(name string, types []uint16) *socket {
	return &socket{asker: a, name: name, types: types, replies: make([]Reply, len(types)), start: time.Now()}
}

// pack returns queries for the questions without a reply. An error is a fault of
// the program.
func (s *socket) pack(try int) ([][]byte, error) {
	var packets [][]byte
	for i, r := range s.replies {
		if r.State != Pending {
			continue
		}
		id, packet, err := newQuery(s.name, s.types[i], s.edns, s.trustAD)
		if err != nil {
			return nil, err
		}
		s.sent = append(s.sent, sentQuery{id: id, i: i, try: try, when: time.Now()})
		packets = append(packets, packet)
	}
	return packets, nil
}

// take assigns a packet to its question.
func (s *socket) take(packet []byte) {
	for _, q := range s.sent {
		if s.replies[q.i].State != Pending {
			continue
		}
		if m := readAnswer(packet, q.id, s.name, s.types[q.i]); m != nil {
			s.replies[q.i] = Reply{State: Answered, After: time.Since(q.when), Lost: q.try, Message: m}
			return
		}
	}
	s.ignored++
}

// waiting reports whether a question has no reply.
func (s *socket) waiting() bool {
	return slices.ContainsFunc(s.replies, func(r Reply) bool { return r.State == Pending })
}

// finish gives every question without a reply one.
func (s *socket) finish(state State, err error) {
	for i := range s.replies {
		if s.replies[i].State == Pending {
			s.replies[i] = Reply{State: state, After: time.Since(s.start), Reason: errnoName(err)}
		}
	}
}

// overUDP sends the questions from one socket, as glibc does, and fails only for a
// reason that lies with this process.
func (s *socket) overUDP(ctx context.Context, server netip.AddrPort) error {
	conn, err := s.dial(ctx, "udp", server)
	if err != nil {
		if isOwnFault(err) {
			return err
		}
		s.finish(failedDial("udp", err), err)
		return nil
	}
	defer func() { _ = conn.Close() }() // a datagram socket has nothing left to tell
	if local, ok := conn.LocalAddr().(*net.UDPAddr); ok {
		s.local = local.AddrPort()
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(past) }) // fails on a closed one only
	defer stop()
	for try := 0; s.waiting(); try++ {
		if ctx.Err() != nil {
			s.finish(Silent, nil)
			break
		}
		packets, err := s.pack(try)
		if err != nil {
			return err
		}
		for _, packet := range packets {
			if _, err := conn.Write(packet); err != nil {
				s.finish(failedIO(err, true), err)
				return nil
			}
		}
		var until time.Time // none after the last repetition
		if try < len(s.resend) {
			until = s.start.Add(s.resend[try])
		}
		s.receive(ctx, conn, until)
	}
	return nil
}

// receive takes datagrams until all questions are answered, the socket fails,
// until is reached, or ctx ends.
func (s *socket) receive(ctx context.Context, conn net.Conn, until time.Time) {
	_ = conn.SetReadDeadline(until) // fails on a closed socket only
	if ctx.Err() != nil {
		return // ended between the hook on ctx and the line above
	}
	for s.waiting() {
		packet, err := readDatagram(conn)
		switch {
		case err == nil && len(packet) < headerSize:
			s.finish(Undersized, nil) // glibc gives the server up for it (send_dg)
		case err == nil:
			s.take(packet)
		case isTimeout(err):
			return
		default:
			s.finish(failedIO(err, false), err)
		}
	}
}

// askStream asks all questions over one TCP connection, as glibc does. Those that
// the connection ended before are asked once more over one each, as musl and Go do
// from the start.
func (a *asker) askStream(ctx context.Context, x *Exchange) error {
	var err error
	if x.Stream, err = a.overTCP(ctx, x, x.Types); err != nil || len(x.Types) == 1 {
		return err
	}
	for i, r := range x.Stream.Replies {
		if r.State != HungUp {
			continue
		}
		if x.Stream.Separate == nil {
			x.Stream.Separate = slices.Clone(x.Stream.Replies)
		}
		alone, err := a.overTCP(ctx, x, x.Types[i:i+1])
		if err != nil {
			return err
		}
		x.Stream.Separate[i] = alone.finals(1)[0]
	}
	return nil
}

// overTCP asks without waiting for one answer before the next question, as glibc
// does (send_vc).
func (a *asker) overTCP(ctx context.Context, x *Exchange, types []uint16) (*Stream, error) {
	start := time.Now()
	conn, err := a.dial(ctx, "tcp", x.Server)
	stream := &Stream{Connect: Answered, ConnectTime: time.Since(start)}
	if err != nil {
		if isOwnFault(err) {
			return nil, err
		}
		stream.Connect, stream.Reason = failedDial("tcp", err), errnoName(err)
		return stream, nil
	}
	defer func() { _ = conn.Close() }()                                   // whatever it says, the answers are there
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) }) // fails on a closed one only
	defer stop()
	s := a.newSocket(x.Name, types)
	packets, err := s.pack(0)
	if err != nil {
		return nil, err
	}
	var whole []byte
	for _, packet := range packets {
		whole = binary.BigEndian.AppendUint16(whole, uint16(len(packet))) //nolint:gosec // a query has less than 300 bytes
		whole = append(whole, packet...)
	}
	_, err = conn.Write(whole)
	for err == nil && s.waiting() {
		if s.ignored > maxIgnoredMessages {
			s.finish(Garbage, nil)
			break
		}
		var packet []byte
		packet, err = (&dns.Conn{Conn: conn}).ReadMsgHeader(nil)
		if err == nil || errors.Is(err, dns.ErrShortRead) { // a message shorter than a header
			s.take(packet)
			err = nil
		}
	}
	switch {
	case isTimeout(err):
		s.finish(Silent, err)
	case err != nil:
		s.finish(HungUp, err)
	}
	x.Ignored += s.ignored
	stream.Replies = s.replies
	return stream, nil
}
