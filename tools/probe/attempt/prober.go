package attempt

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/probe/journey"
)

// Bounds of what one [Prober] does at a time. Both kinds of work hold an
// operating system thread for some microseconds to milliseconds.
const (
	// maxTurns bounds the visits to namespaces for counters, routes and sockets.
	maxTurns = 4
	// maxWatchers bounds the packet sockets. Closing one waits for all CPUs to
	// pass through the scheduler (synchronize_net in the kernel), and while it is
	// open it sees, through a filter, every packet of the namespace.
	maxWatchers = 8
)

// A Prober makes connection attempts. One serves a whole process; it is safe
// for concurrent use and holds nothing but the bounds of what runs at a time.
type Prober struct {
	turns    chan struct{}
	watchers chan struct{}
}

// New returns a Prober.
func New() *Prober {
	return &Prober{
		turns:    make(chan struct{}, maxTurns),
		watchers: make(chan struct{}, maxWatchers),
	}
}

// ErrZone is the error for a link-local address without a zone, or with one that
// is no interface of the target. Nothing was attempted.
var ErrZone = errors.New("a link-local address needs an interface of the target as its zone, as in fe80::1%eth0")

// Request is what to connect to.
type Request struct {
	// Address is literal. The zone of a link-local address names an interface of
	// the target, or its index.
	Address netip.AddrPort
	// Timeout bounds connecting alone; what explains a failure is gathered
	// after it, while the context lasts. Zero means until the context ends.
	Timeout time.Duration
	// Abandon, where it is not nil, ends connecting when it is done, and leaves the
	// time for explaining.
	Abandon context.Context //nolint:containedctx // it belongs to one attempt, as the struct does
	// Failed, where it is not nil, is called when connecting has failed, before it
	// is found out why.
	Failed func()
	// MSS is the largest segment in bytes that is sent and asked for (tcp(7),
	// TCP_MAXSEG); 0 leaves it to the kernel.
	MSS int
	// Tracer records where the packets of an attempt without an answer went; nil for
	// none.
	Tracer *journey.Tracer
	// FromFirst records from before the first packet on, also an attempt that succeeds.
	FromFirst bool
	// Allow is asked right before connecting, with the very address that will
	// be connected to; its error refuses. Nil allows everything.
	Allow func(netip.AddrPort) error
}

// Question is one packet that is answered by one: a datagram, or an echo request.
type Question struct {
	Echo    bool   // by ICMP; the port of the request's address means nothing
	Payload []byte // of the datagram
}

// defaultAnswerTime is how long an answer is awaited where the request does not say.
const defaultAnswerTime = 3 * time.Second

// unwatched is how long an attempt goes on before it is watched: long
// enough that nothing healthy pays for it, short enough to see the first
// repetition of the SYN after one second (RFC 6298, section 2.1).
const unwatched = 800 * time.Millisecond

// Network is one that a trail passed.
type Network struct {
	*nsexec.Handle
	Name string // as [fact.JourneyDevice.LeadsTo] says it
	Node bool   // it is the node's
	Read bool   // its devices are to be described
}
