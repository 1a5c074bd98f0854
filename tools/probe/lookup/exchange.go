package lookup

import (
	"net/netip"
	"slices"
	"time"
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
}

// finals are the replies that count: those over TCP, where an answer was
// truncated and TCP gave one.
func (x *Exchange) finals() []Reply {
	if x.Stream == nil {
		return x.Datagrams
	}
	if x.Stream.Connect == Answered {
		return x.Stream.Replies
	}
	failed := make([]Reply, len(x.Types))
	for i := range failed {
		failed[i] = Reply{State: x.Stream.Connect, After: x.Stream.ConnectTime, Reason: x.Stream.Reason}
	}
	return failed
}

// truncated reports whether a reply over UDP told to use TCP.
func (x *Exchange) truncated() bool {
	return slices.ContainsFunc(x.Datagrams, func(r Reply) bool { return r.OK() && r.TC })
}

// key names an exchange.
type key struct {
	name   string
	server netip.AddrPort
	group  int // index of the question
}

// table holds what was measured so far.
type table map[key]*Exchange
