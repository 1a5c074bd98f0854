package lookup

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
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
// not answered is Silent.
func (a *asker) ask(ctx context.Context, server netip.AddrPort, name string, types []uint16) (*Exchange, error) {
	x := &Exchange{Name: name, Server: server, Types: types}
	if !a.useTCP {
		if err := a.askDatagrams(ctx, x); err != nil {
			return nil, err
		}
		if !x.truncated() {
			return x, nil
		}
	}
	return x, a.askStream(ctx, x)
}

func (a *asker) askDatagrams(ctx context.Context, x *Exchange) error {
	if !a.oneByOne {
		replies, ignored, err := a.askSocket(ctx, x.Server, x.Name, x.Types)
		x.Datagrams, x.Ignored = replies, ignored
		return err
	}
	for i := range x.Types {
		replies, ignored, err := a.askSocket(ctx, x.Server, x.Name, x.Types[i:i+1])
		if err != nil {
			return err
		}
		x.Datagrams = append(x.Datagrams, replies...)
		x.Ignored += ignored
	}
	return nil
}

// askSocket sends the questions from one socket, as glibc does.
func (a *asker) askSocket(ctx context.Context, server netip.AddrPort, name string, types []uint16) ([]Reply, int, error) {
	s := &datagramSocket{asker: a, name: name, types: types, replies: make([]Reply, len(types)), start: time.Now()}
	conn, err := a.dial(ctx, "udp", server)
	if err != nil {
		if isOwnFault(err) {
			return nil, 0, fmt.Errorf("ask %s: %w", server, err)
		}
		s.fail(failedDial("udp", err), err)
		return s.replies, 0, nil
	}
	s.conn = conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(past) }) // fails on a closed one only
	defer stop()
	err = s.run(ctx)
	_ = conn.Close() // a datagram socket has nothing left to tell
	return s.replies, s.ignored, err
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// datagramSocket is a connected UDP socket with questions under way.
type datagramSocket struct {
	*asker
	conn    net.Conn
	name    string
	types   []uint16
	replies []Reply
	sent    []sentQuery
	ignored int
	start   time.Time
}

// sentQuery remembers a query for as long as its socket lives.
type sentQuery struct {
	id   uint16
	i    int // of the question
	try  int
	when time.Time
}

func (s *datagramSocket) run(ctx context.Context) error {
	for try := 0; ; try++ {
		if err := s.send(try); err != nil {
			return err
		}
		s.receive(ctx, s.nextSend(try))
		if s.done() {
			return nil
		}
		if ctx.Err() != nil {
			s.silence()
			return nil
		}
	}
}

// nextSend is when the queries are repeated after a try; zero is never.
func (s *datagramSocket) nextSend(try int) time.Time {
	if try >= len(s.resend) {
		return time.Time{}
	}
	return s.start.Add(s.resend[try])
}

// send sends what has no answer yet. An error is a fault of the program.
func (s *datagramSocket) send(try int) error {
	for i, r := range s.replies {
		if r.State != Pending {
			continue
		}
		q, err := newQuery(s.name, s.types[i], s.edns, s.trustAD)
		if err != nil {
			return err
		}
		s.sent = append(s.sent, sentQuery{id: q.id, i: i, try: try, when: time.Now()})
		if _, err := s.conn.Write(q.packet); err != nil {
			s.fail(failedIO(err, true), err)
			return nil
		}
	}
	return nil
}

// receive takes packets until all questions are answered, the socket fails,
// until is reached, or ctx ends.
func (s *datagramSocket) receive(ctx context.Context, until time.Time) {
	_ = s.conn.SetReadDeadline(until) // fails on a closed socket only
	if ctx.Err() != nil {
		return // ended between the hook on ctx and the line above
	}
	for !s.done() {
		packet, err := readDatagram(s.conn)
		if err != nil {
			if !isTimeout(err) {
				s.fail(failedIO(err, false), err)
			}
			return
		}
		s.take(packet)
	}
}

// take assigns a packet to its question.
func (s *datagramSocket) take(packet []byte) {
	h, ok := parseHeader(packet)
	if !ok {
		// Glibc gives the server up for it (send_dg).
		s.finish(func(int) Reply { return Reply{State: Undersized, After: time.Since(s.start)} })
		return
	}
	for _, q := range s.sent {
		if q.id != h.id || s.replies[q.i].State != Pending || !h.response || !h.answers(packet, s.name, s.types[q.i]) {
			continue
		}
		s.replies[q.i] = Reply{
			State: Answered, After: time.Since(q.when), Lost: q.try,
			Message: parseMessage(packet, h, s.name, s.types[q.i]),
		}
		return
	}
	s.ignored++
}

func (s *datagramSocket) done() bool {
	for i := range s.replies {
		if s.replies[i].State == Pending {
			return false
		}
	}
	return true
}

// finish gives every question without a reply one.
func (s *datagramSocket) finish(reply func(i int) Reply) {
	for i := range s.replies {
		if s.replies[i].State == Pending {
			s.replies[i] = reply(i)
		}
	}
}

func (s *datagramSocket) silence() {
	s.finish(func(int) Reply { return Reply{State: Silent, After: time.Since(s.start)} })
}

func (s *datagramSocket) fail(state State, err error) {
	after := time.Since(s.start)
	s.finish(func(int) Reply { return Reply{State: state, After: after, Reason: errnoName(err)} })
}

// askStream asks all questions over one TCP connection.
func (a *asker) askStream(ctx context.Context, x *Exchange) error {
	start := time.Now()
	conn, err := a.dial(ctx, "tcp", x.Server)
	x.Stream = &Stream{Connect: Answered, ConnectTime: time.Since(start)}
	if err != nil {
		if isOwnFault(err) {
			return fmt.Errorf("ask %s: %w", x.Server, err)
		}
		x.Stream.Connect, x.Stream.Reason = failedDial("tcp", err), errnoName(err)
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) }) // fails on a closed one only
	defer stop()
	x.Stream.Replies, err = a.converse(conn, x)
	_ = conn.Close() // whatever it says, the answers are there
	return err
}

// converse sends the questions one after the other without waiting, as glibc
// does (send_vc), and collects the answers.
func (a *asker) converse(conn net.Conn, x *Exchange) ([]Reply, error) {
	replies := make([]Reply, len(x.Types))
	ids := make([]uint16, len(x.Types))
	var packet []byte
	for i, qtype := range x.Types {
		q, err := newQuery(x.Name, qtype, a.edns, a.trustAD)
		if err != nil {
			return nil, err
		}
		ids[i] = q.id
		packet = binary.BigEndian.AppendUint16(packet, uint16(len(q.packet))) //nolint:gosec // a query has less than 300 bytes
		packet = append(packet, q.packet...)
	}
	start := time.Now()
	missing, ignored := len(replies), 0
	finish := func(state State, err error) []Reply {
		for i := range replies {
			if replies[i].State == Pending {
				replies[i] = Reply{State: state, After: time.Since(start), Reason: errnoName(err)}
			}
		}
		return replies
	}
	if _, err := conn.Write(packet); err != nil {
		return finish(failedStream(err), err), nil
	}
	for missing > 0 {
		packet, err := readStream(conn)
		if err != nil {
			return finish(failedStream(err), err), nil
		}
		i := matchStream(packet, x, ids, replies)
		if i < 0 {
			if ignored++; ignored > maxIgnoredMessages {
				return finish(Garbage, nil), nil
			}
			x.Ignored++
			continue
		}
		h, _ := parseHeader(packet)
		replies[i] = Reply{State: Answered, After: time.Since(start), Message: parseMessage(packet, h, x.Name, x.Types[i])}
		missing--
	}
	return replies, nil
}

func failedStream(err error) State {
	if isTimeout(err) {
		return Silent
	}
	return HungUp
}

// matchStream returns the question that a message answers, or -1.
func matchStream(packet []byte, x *Exchange, ids []uint16, replies []Reply) int {
	h, ok := parseHeader(packet)
	if !ok || !h.response {
		return -1
	}
	for i, id := range ids {
		if h.id == id && replies[i].State == Pending && h.answers(packet, x.Name, x.Types[i]) {
			return i
		}
	}
	return -1
}

// readStream reads one message with its length before it. Memory grows with
// what arrives, not with what is announced.
func readStream(conn io.Reader) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint16(length[:]))
	packet, err := io.ReadAll(io.LimitReader(conn, size))
	if err == nil && int64(len(packet)) < size {
		err = io.ErrUnexpectedEOF
	}
	return packet, err
}
