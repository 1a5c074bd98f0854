package lookup

import (
	"net/netip"
	"slices"
	"time"

	"nsenter-mcp/tools/fact"
)

// State is what became of one query, or of one connection.
type State uint8

// The states. All but Pending are final.
const (
	Pending     State = iota
	Answered          // a message came, or the connection was made
	Silent            // nothing, for as long as it was waited
	PortClosed        // an ICMP port unreachable, or a reset connection attempt
	Unreachable       // a router, or the own host after its address resolution failed, says that there is no way
	Unsendable        // the own host did not send it: no route, no source address, firewall
	Undersized        // a datagram shorter than a header, which glibc takes for an error
	HungUp            // the connection ended before the answer
	Garbage           // so many other messages on the connection that it was given up
)

// Reply is what came back for one question from one server.
type Reply struct {
	State State
	// After is the time from the query to its answer or to the error; for
	// Silent, how long it was waited.
	After time.Duration
	// Lost counts the queries before the one that was answered, each of which
	// nothing answered.
	Lost int
	// Reason is the kernel's word for a failure: "ECONNREFUSED".
	Reason string
	// Message is set where State is Answered.
	*Message
}

// OK reports whether a message came.
func (r *Reply) OK() bool { return r.State == Answered }

// Stream is what happened over TCP: one connection for all questions.
type Stream struct {
	Connect State
	// ConnectTime is the time until Connect was known.
	ConnectTime time.Duration
	Reason      string
	Replies     []Reply // one a question, where Connect is Answered
	// Separate are the replies where each question has a connection of its own; nil
	// where they are the same.
	Separate []Reply
}

// finals are the replies, of which a failed connection is one to each question.
func (s *Stream) finals(questions int) []Reply {
	if s.Connect == Answered {
		return s.Replies
	}
	return slices.Repeat([]Reply{{State: s.Connect, After: s.ConnectTime, Reason: s.Reason}}, questions)
}

// separate is the reply to a question that has a connection of its own.
func (s *Stream) separate(question int) *Reply {
	if s.Separate != nil {
		return &s.Separate[question]
	}
	return &s.Replies[question]
}

// Exchange is everything that one server said about one name. Questions of one
// exchange differ only in their type.
type Exchange struct {
	Name   string
	Server netip.AddrPort
	Types  []uint16
	// Datagrams are the replies over UDP, one a type; nil where TCP alone was
	// asked for.
	Datagrams []Reply
	// Stream is set where TCP was used: asked for, or after a truncated answer.
	Stream *Stream
	// Ignored counts packets that did not belong to a question: wrong ID, wrong
	// question, no DNS at all.
	Ignored int
	// Again is the same asked once more, where the server gave an error and then an
	// answer to everything; libraries try twice.
	Again *Exchange
	// Local is where the datagrams were sent from, of the last socket.
	Local netip.AddrPort
	// SentTo is where the target's own NAT sent them; not valid where that did nothing,
	// or nobody knows.
	SentTo netip.AddrPort
	// Wire is what came to the target's interfaces, where no socket got an answer; nil
	// where that was not watched.
	Wire *fact.DNSWire
	// Journey is where one more question went; nil where that was not recorded.
	Journey *fact.Journey
	// AnsweredBy is another address than the server's, from which the answer came; a
	// connected socket does not get it.
	AnsweredBy netip.AddrPort
}

// finals are the replies that count: those over TCP, where an answer was
// truncated and TCP gave one.
func (x *Exchange) finals() []Reply {
	if x.Stream == nil {
		return x.Datagrams
	}
	return x.Stream.finals(len(x.Types))
}

// key names an exchange.
type key struct {
	name   string
	server netip.AddrPort
	group  int // index of the question
}

// table holds what was measured so far.
type table map[key]*Exchange
