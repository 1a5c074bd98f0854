package lookup

import (
	"net/netip"
	"slices"
	"time"
)

// tcpConnectWait is how long connect(2) tries while nothing answers, with the
// kernel's default of six repetitions (tcp_syn_retries in tcp(7)); kernels from
// 6.5 on take 4 s more. Glibc sets no limit of its own.
const tcpConnectWait = 127 * time.Second

// glibcCode is what h_errno says after a query that failed.
type glibcCode uint8

const (
	hostNotFound glibcCode = iota
	noData
	tryAgain
	noRecovery
)

// glibcFailure is a query without success.
type glibcFailure struct {
	code    glibcCode
	outcome Outcome
	candidate
	server netip.AddrPort
	// rcode is that of the first answer to the query, success where none came.
	rcode int
	// connectionRefused: errno is ECONNREFUSED, no server was reached at all.
	connectionRefused bool
}

// glibcWalk plays getaddrinfo(3), or res_search(3) for other types, of glibc.
type glibcWalk struct {
	*progress
	// single and reopen are modes of the thread's resolver: the second question
	// waits for the answer to the first, and then gets a socket of its own.
	// Options set them, and so does a timeout after one of two answers. They
	// then stay.
	single, reopen bool
	// rcode is that of the first answer to the current query.
	rcode int
	// unavailable: errno says that the last query reached no server, or got no
	// answer.
	unavailable bool
}

func walkGlibc(c *course) Verdict {
	w := &glibcWalk{
		progress: newProgress(c),
		single:   c.conf.SingleRequest || c.conf.SingleRequestReopen,
		reopen:   c.conf.SingleRequestReopen,
	}
	w.search()
	return w.finish()
}

// search follows __res_context_search (resolv/res_query.c).
func (w *glibcWalk) search() {
	var asIs, nodata, servfail, last *glibcFailure
	if w.plan.first {
		if asIs = w.query(w.plan.asIs); asIs == nil {
			return
		}
		last = asIs
	}
search:
	for _, c := range w.plan.search {
		if last = w.query(c); last == nil {
			return
		}
		if last.connectionRefused {
			w.fail(last) // nobody is there: not even the name as it is follows
			return
		}
		switch {
		case last.code == noData:
			if nodata == nil {
				nodata = last
			}
		case last.code == hostNotFound:
		case last.code == tryAgain && last.rcode == rcodeServFail:
			if servfail == nil {
				servfail = last
			}
		default:
			break search // a timeout, for example
		}
	}
	if w.plan.last {
		if last = w.query(w.plan.asIs); last == nil {
			return
		}
	}
	for _, failure := range []*glibcFailure{asIs, nodata, servfail, last} {
		if failure != nil {
			w.fail(failure)
			return
		}
	}
	// No name to ask for: what h_errno begins with.
	w.verdict.Outcome, w.verdict.Error = OutcomeNXDomain, eaiNoName
}

func (w *glibcWalk) fail(f *glibcFailure) {
	w.verdict.Outcome, w.verdict.Name, w.verdict.Domain, w.verdict.Server = f.outcome, f.name, f.domain, f.server
	w.verdict.Error = w.eai(f.code)
}

// eai is what getaddrinfo(3) makes of a code (nss/getaddrinfo.c): a failure for
// good it calls an unknown name. Where IPv4 alone is wanted it goes another way
// (try_simple_gethostbyname), on which only a query that failed as such is worth
// trying again.
func (w *glibcWalk) eai(c glibcCode) string {
	switch {
	case c == noData:
		return eaiNoData
	case c == tryAgain && (w.want != onlyIPv4 || w.unavailable):
		return eaiAgain
	case c == noRecovery && w.want == onlyIPv4 && w.unavailable:
		return eaiNoData
	}
	return eaiNoName
}

// query follows __res_context_query for one name, and what nss_dns makes of a
// success. It returns nil where that ends the search: the verdict is then set.
func (w *glibcWalk) query(c candidate) *glibcFailure {
	if c.name == "" {
		return &glibcFailure{code: noRecovery, outcome: OutcomeNXDomain, candidate: c}
	}
	sent := w.send(c.name)
	if w.verdict.Pending || w.verdict.Forever {
		if w.verdict.Forever {
			w.verdict.Outcome, w.verdict.Name, w.verdict.Domain, w.verdict.Server = OutcomeTimeout, c.name, c.domain, sent.server
		}
		return nil
	}
	failure := &glibcFailure{code: tryAgain, outcome: sent.failure, candidate: c, server: sent.server, rcode: w.rcode}
	w.unavailable = len(sent.replies) == 0 && !sent.hungUp
	if len(sent.replies) == 0 {
		failure.connectionRefused = sent.connectionRefused
		return failure
	}
	// With one answer alone both names stand for it.
	one, two := sent.replies[0].Message, sent.replies[len(sent.replies)-1].Message
	failure.rcode = one.Rcode
	// With no-aaaa an answer for A says nothing but that the name exists.
	thrownAway := w.want == onlyIPv6 && w.conf.NoAAAA
	if (positive(one) || positive(two)) && !thrownAway {
		w.success(c, sent)
		return nil
	}
	code := one.Rcode
	if code == rcodeSuccess {
		code = two.Rcode
	}
	switch code {
	case rcodeNXDomain:
		failure.code, failure.outcome = hostNotFound, OutcomeNXDomain
	case rcodeServFail:
		failure.code, failure.outcome = tryAgain, OutcomeServFail
	case rcodeSuccess:
		failure.code, failure.outcome = noData, OutcomeNoData
	case rcodeRefused:
		failure.code, failure.outcome = noRecovery, OutcomeRefused
	default:
		failure.code, failure.outcome = noRecovery, OutcomeServFail
	}
	return failure
}

// positive: an answer in the sense of __res_context_query. What it answers is
// not looked at, so an alias that leads nowhere ends the search.
func positive(m *Message) bool { return m.Rcode == rcodeSuccess && m.Answers > 0 }

// success follows gaih_getanswer (resolv/nss_dns/dns-host.c).
func (w *glibcWalk) success(c candidate, sent glibcSent) {
	v := &w.verdict
	v.Name, v.Domain, v.Server = c.name, c.domain, sent.server
	// Nothing of use is "no recovery" to the caller.
	w.unavailable = true
	if sent.replies[0].Malformed {
		v.Outcome, v.Error = OutcomeServFail, w.eai(noRecovery)
		return
	}
	matching := 0
	for _, r := range sent.replies {
		if r.Rcode != rcodeSuccess || r.Malformed {
			continue
		}
		v.Addresses = append(v.Addresses, r.Addresses...)
		matching += r.Matching
	}
	v.Outcome = OutcomeAnswered
	if w.addresses && len(v.Addresses) == 0 || matching == 0 {
		v.Outcome, v.Error = OutcomeNoData, w.eai(noRecovery)
	}
}

// glibcSent is the result of sending a query to the servers.
type glibcSent struct {
	// replies are the answers in the order in which they came, none on failure.
	replies []*Reply
	server  netip.AddrPort // that gave them
	failure Outcome        // why there are none
	// connectionRefused: see glibcFailure.
	connectionRefused bool
	// hungUp: the last connection ended without an errno.
	hungUp bool
}

// send follows __res_context_send (resolv/res_send.c).
func (w *glibcWalk) send(name string) glibcSent {
	w.rcode = rcodeSuccess
	servers := w.conf.Servers
	overTCP := w.conf.UseVC
	gotSomewhere, streamState := false, Answered
	result := glibcSent{failure: OutcomeUnreachable}
	for try := 0; try < w.conf.Attempts; try++ {
		for shift := range servers {
			n := (shift + w.offset) % len(servers)
			x := w.visit(name, servers[n], try)
			if x == nil {
				return glibcSent{}
			}
			if !overTCP {
				replies, next := w.datagrams(x, n, &gotSomewhere)
				switch next {
				case useReplies:
					return glibcSent{replies: replies, server: x.Server}
				case useStream:
					overTCP = true
				}
			}
			if overTCP {
				try = w.conf.Attempts // one try at each server that is left
				replies, state := w.stream(x)
				if w.verdict.Forever || len(replies) > 0 {
					return glibcSent{replies: replies, server: x.Server}
				}
				streamState = state
			}
			if failure := failureOf(x.finals()); result.failure != graver(result.failure, failure) || !result.server.IsValid() {
				result.failure, result.server = graver(result.failure, failure), x.Server
			}
		}
	}
	result.connectionRefused = !gotSomewhere && !overTCP || overTCP && streamState == PortClosed
	result.hungUp = overTCP && streamState == HungUp
	return result
}

// What follows one server's datagrams.
type afterDatagrams uint8

const (
	useNext afterDatagrams = iota // ask the next server
	useReplies
	useStream
)

// datagrams follows send_dg: one server, one try, both questions. n is the
// server's place in the list.
func (w *glibcWalk) datagrams(x *Exchange, n int, gotSomewhere *bool) ([]*Reply, afterDatagrams) {
	if len(x.Datagrams) == 0 {
		return nil, useStream // measured over TCP alone
	}
	timeout := w.timeout(n)
	for {
		before := *gotSomewhere
		replies, next, timedOut := w.round(x, timeout, gotSomewhere)
		if !timedOut || len(replies) == 0 {
			return replies, next
		}
		// One answer came and the other did not: some servers cannot handle two
		// questions at a time, some firewalls not two from one port.
		switch {
		case !w.single:
			w.single = true
		case !w.reopen:
			w.reopen = true
		default:
			return replies, useReplies
		}
		*gotSomewhere = before
	}
}

// timeout is how long the n-th server is waited for. It doubles with each
// server and is then shared among all of them, in whole seconds.
func (w *glibcWalk) timeout(n int) time.Duration {
	seconds := int(w.conf.Timeout/time.Second) << n
	if n > 0 {
		seconds /= len(w.conf.Servers)
	}
	return time.Duration(max(seconds, 1)) * time.Second
}

// round sends the questions once and waits for the answers.
func (w *glibcWalk) round(x *Exchange, timeout time.Duration, gotSomewhere *bool) (replies []*Reply, next afterDatagrams, timedOut bool) {
	end := w.clock + timeout
	if w.single {
		return w.serial(x, end, gotSomewhere)
	}
	errors := 0
	for i, r := range w.inOrder(x) {
		if r.never || r.at > end {
			break // and so are all after it
		}
		w.clock = max(w.clock, r.at)
		switch w.judge(r.reply, i == 0, gotSomewhere) {
		case replyFails:
			return nil, useNext, false
		case replyTruncated:
			return nil, useStream, false
		case replyGood:
			replies = append(replies, r.reply)
		case replyIsError:
			errors++
			if w.conf.StrictError || len(x.Datagrams) == 1 {
				return nil, useNext, false
			}
			if len(replies) > 0 {
				return replies, useReplies, false // the other one suffices
			}
		}
		if errors+len(replies) == len(x.Datagrams) {
			if len(replies) == 0 {
				return nil, useNext, false
			}
			return replies, useReplies, false
		}
	}
	w.clock = end
	*gotSomewhere = true
	return replies, useNext, true
}

// serial is round with the second question sent after the first is answered.
func (w *glibcWalk) serial(x *Exchange, end time.Duration, gotSomewhere *bool) (replies []*Reply, next afterDatagrams, timedOut bool) {
	for i := range x.Datagrams {
		r := &x.Datagrams[i]
		at, comes := w.arrival(r, w.clock)
		if !comes || at > end || w.isSkipped(r) {
			w.clock = end
			*gotSomewhere = true
			return replies, useNext, true
		}
		w.clock = max(w.clock, at)
		switch w.judge(r, i == 0, gotSomewhere) {
		case replyTruncated:
			return nil, useStream, false
		case replyGood:
			replies = append(replies, r)
		case replyIsError:
			if !w.conf.StrictError && len(replies) > 0 {
				return replies, useReplies, false
			}
			return nil, useNext, false
		case replyFails:
			return nil, useNext, false
		}
	}
	return replies, useReplies, false
}

// timedReply is a reply with the time at which it comes.
type timedReply struct {
	reply *Reply
	at    time.Duration
	never bool
}

func (w *glibcWalk) inOrder(x *Exchange) []timedReply {
	order := make([]timedReply, len(x.Datagrams))
	for i := range x.Datagrams {
		r := &x.Datagrams[i]
		at, comes := w.arrival(r, w.clock)
		order[i] = timedReply{reply: r, at: at, never: !comes || w.isSkipped(r)}
	}
	slices.SortStableFunc(order, func(a, b timedReply) int {
		switch {
		case a.never != b.never:
			if b.never {
				return -1
			}
			return 1
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	return order
}

// isSkipped reports whether glibc drops the answer as if it did not belong to
// the question: of those without a question it accepts three errors.
func (w *glibcWalk) isSkipped(r *Reply) bool {
	return r.OK() && r.Bare && !isServerError(r.Message)
}

func isServerError(m *Message) bool {
	return m.Rcode == rcodeServFail || m.Rcode == rcodeNotImp || m.Rcode == rcodeRefused
}

// replyKind is how send_dg takes one datagram.
type replyKind uint8

const (
	replyGood      replyKind = iota // also NXDOMAIN, NODATA and FORMERR
	replyIsError                    // the server has no answer, another may
	replyTruncated                  // to be asked again over TCP
	replyFails                      // an error on the socket: the next server
)

// judge takes one reply; first says that it is the first of its round.
func (w *glibcWalk) judge(r *Reply, first bool, gotSomewhere *bool) replyKind {
	if r.State == Undersized {
		*gotSomewhere = true
	}
	if !r.OK() {
		return replyFails
	}
	*gotSomewhere = true
	if first {
		w.rcode = r.Rcode & 0xf // it lies in the buffer that is looked at afterwards
	}
	switch {
	case isServerError(r.Message), r.Lame:
		return replyIsError
	case r.TC:
		return replyTruncated
	}
	return replyGood
}

// stream follows send_vc. Neither connecting nor reading has a time limit.
// Without replies the state says why.
func (w *glibcWalk) stream(x *Exchange) (replies []*Reply, state State) {
	s := x.Stream
	if s == nil {
		// TCP was not tried at this server, as its answers were not truncated.
		for i := range x.Datagrams {
			r := &x.Datagrams[i]
			if !r.OK() {
				return nil, r.State
			}
			replies = append(replies, r)
			w.clock += r.After
		}
		return replies, Answered
	}
	if s.Connect == Silent {
		w.clock += tcpConnectWait
		return nil, Silent
	}
	w.clock += s.ConnectTime
	if s.Connect != Answered {
		return nil, s.Connect
	}
	last := time.Duration(0)
	for i := range s.Replies {
		r := &s.Replies[i]
		last = max(last, r.After)
		switch {
		case r.OK():
			replies = append(replies, r)
		case r.State == Silent || r.State == Garbage:
			w.verdict.Forever = true
			return nil, r.State
		}
	}
	w.clock += last
	if len(replies) < len(s.Replies) {
		return nil, HungUp
	}
	return replies, Answered
}
