package lookup

import (
	"net/netip"
	"slices"
	"time"
)

// Flavour is a resolver library whose way of asking is known.
type Flavour string

// The flavours.
const (
	Glibc Flavour = "glibc"
	Musl  Flavour = "musl"
	// OldMusl has no DNS over TCP, and a search domain that makes no name ends its
	// search (musl's WHATSNEW, 1.2.4).
	OldMusl Flavour = "musl before 1.2.4"
	Go      Flavour = "go" // package net without cgo, as in static programs
)

func (f Flavour) isMusl() bool { return f == Musl || f == OldMusl }

// Outcome is what a lookup came to.
type Outcome string

// The outcomes.
const (
	OutcomeAnswered     Outcome = "answered"
	OutcomeNXDomain     Outcome = "nxdomain"      // the name does not exist
	OutcomeNoData       Outcome = "nodata"        // the name exists, but nothing of the type asked for
	OutcomeServFail     Outcome = "servfail"      // a server says that it could not find out
	OutcomeBadResponse  Outcome = "bad_response"  // what came is no answer: it does not parse, or says nothing
	OutcomeRefused      Outcome = "refused"       // a server says that it will not answer
	OutcomeReset        Outcome = "reset"         // the TCP connection ended before the answer
	OutcomeTimeout      Outcome = "timeout"       // no answer
	OutcomeUnreachable  Outcome = "unreachable"   // told that there is no way, or nobody listens
	OutcomeNoNameserver Outcome = "no_nameserver" // nobody to ask
)

// notFound reports whether a library states that there is no such address, as
// opposed to that it could not find out.
func (o Outcome) notFound() bool { return o == OutcomeNXDomain || o == OutcomeNoData }

// question is what one call of a library asks: one type, or A and AAAA
// together.
type question struct {
	types []uint16
	// addresses: the types are A or AAAA, asked for by getaddrinfo(3) for a
	// program that wants this family.
	addresses bool
	want      family
}

// course is one library's way through what was measured: the configuration as
// it reads it, and the names that it tries.
type course struct {
	question
	conf *Conf
	plan plan
	// offset is the server that rotate begins with.
	offset int
	// seen returns what a server said about a name; nil while it is not known.
	seen func(name string, server netip.AddrPort) *Exchange
}

// Verdict is what a library would have returned, and when.
type Verdict struct {
	Outcome Outcome
	// Error is what the application is told on failure, as it stands in its log:
	// the name of an EAI_ code, or for Go the words.
	Error string
	// Name decided: the one that was answered, or whose failure is reported. ""
	// where nothing was asked.
	Name string
	// Domain is the search domain in Name.
	Domain string
	// Server gave the decision; not valid where none did.
	Server netip.AddrPort
	// Addresses are what it would return.
	Addresses []netip.Addr
	// Exchanges are those that it would have had, in order, each once.
	Exchanges []*Exchange
	// Wait is how long the caller would have been kept waiting. Forever says
	// that nothing would have ended it.
	// Waits is what each exchange adds to that.
	Wait    time.Duration
	Waits   map[*Exchange]time.Duration
	Forever bool
	// TwoDots: musl asked for a name that ends in two dots, from "search .".
	TwoDots bool
	// Pending: what decides was not measured yet; nothing else holds.
	Pending bool
}

// The codes of getaddrinfo(3) that come up.
const (
	eaiAgain  = "EAI_AGAIN"
	eaiNoName = "EAI_NONAME"
	eaiNoData = "EAI_NODATA"
	eaiSystem = "EAI_SYSTEM"
)

// errorText adds the library's own words to a code (gai_strerror(3)): programs
// log those. Go's errors are words already.
func errorText(f Flavour, code string) string {
	words := map[string]string{
		eaiAgain:  "Temporary failure in name resolution",
		eaiNoName: "Name or service not known",
		eaiNoData: "No address associated with hostname",
		eaiSystem: "System error",
	}
	if f.isMusl() {
		words = map[string]string{
			eaiAgain:  "Try again",
			eaiNoName: "Name does not resolve",
			eaiNoData: "Name has no usable address",
		}
	}
	if text := words[code]; text != "" {
		return code + ": " + text
	}
	return code
}

// walker follows a course.
type walker func(c *course) Verdict

// progress is what all walkers keep track of.
type progress struct {
	*course
	verdict Verdict
	clock   time.Duration
	visited map[*Exchange]bool
	// current is the exchange that the library is at, since its clock said so.
	current *Exchange
	since   time.Duration
	// sends counts the queries per reply, and arrivals is when an earlier one
	// will still be answered: a late answer to the first try ends the second.
	sends    map[*Reply]int
	arrivals map[*Reply]time.Duration
}

func newProgress(c *course) *progress {
	return &progress{
		course: c, visited: make(map[*Exchange]bool),
		sends: make(map[*Reply]int), arrivals: make(map[*Reply]time.Duration),
	}
}

// visit notes that the library asks a server for the try-th time, from 0, and
// returns what it said; nil while that is not known.
func (p *progress) visit(name string, server netip.AddrPort, try int) *Exchange {
	x := p.seen(name, server)
	if x == nil {
		p.verdict.Pending = true
		return nil
	}
	if !p.visited[x] {
		p.visited[x] = true
		p.verdict.Exchanges = append(p.verdict.Exchanges, x)
	}
	p.charge(x)
	if try > 0 && x.Again != nil {
		return x.Again
	}
	return x
}

// charge books the time since the last exchange on that one.
func (p *progress) charge(next *Exchange) {
	if p.current != nil {
		if p.verdict.Waits == nil {
			p.verdict.Waits = make(map[*Exchange]time.Duration)
		}
		p.verdict.Waits[p.current] += p.clock - p.since
	}
	p.current, p.since = next, p.clock
}

// finish ends the walk.
func (p *progress) finish() Verdict {
	p.charge(nil)
	p.verdict.Wait = p.clock
	return p.verdict
}

// arrival notes a query sent at a time, and returns when its reply comes, an
// error included; false is never. Queries that were lost when this was measured
// are lost here too.
func (p *progress) arrival(r *Reply, sent time.Duration) (time.Duration, bool) {
	tries := p.sends[r]
	p.sends[r]++
	earlier, coming := p.arrivals[r]
	if r.State == Silent || tries < r.Lost {
		return earlier, coming
	}
	at := sent + r.After
	if coming && earlier < at {
		at = earlier
	}
	p.arrivals[r] = at
	return at, true
}

// failureOf sums up why one server gave no answer that counts.
func failureOf(replies []Reply) Outcome {
	worst := OutcomeUnreachable
	for i := range replies {
		worst = graver(worst, replies[i].failure())
	}
	return worst
}

// failure is the outcome that a reply is, taken by itself.
func (r *Reply) failure() Outcome {
	switch r.State {
	case PortClosed, Unreachable, Unsendable:
		return OutcomeUnreachable
	case Answered:
		return r.Message.failure()
	case HungUp:
		return OutcomeReset
	case Undersized, Garbage:
		return OutcomeBadResponse
	}
	return OutcomeTimeout
}

func (m *Message) failure() Outcome {
	switch {
	case m.Rcode == rcodeNXDomain:
		return OutcomeNXDomain
	case m.Rcode == rcodeRefused:
		return OutcomeRefused
	case m.Rcode != rcodeSuccess:
		return OutcomeServFail
	case m.Lame || m.Malformed:
		return OutcomeBadResponse
	case m.Matching == 0:
		return OutcomeNoData
	}
	return OutcomeAnswered
}

// graver picks the failure that says more: what a server stated, before its
// silence, before not having reached it.
func graver(a, b Outcome) Outcome {
	order := [...]Outcome{OutcomeTimeout, OutcomeReset, OutcomeBadResponse, OutcomeRefused, OutcomeServFail} // others are less
	if slices.Index(order[:], b) > slices.Index(order[:], a) {
		return b
	}
	return a
}

// The response codes that decide something (RFC 1035, section 4.1.1).
const (
	rcodeSuccess  = 0
	rcodeFormErr  = 1
	rcodeServFail = 2
	rcodeNXDomain = 3
	rcodeNotImp   = 4
	rcodeRefused  = 5
)
