package lookup

import (
	"cmp"
	"math"
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
	candidate
	code    glibcCode
	outcome Outcome
	server  netip.AddrPort
}

// glibcWalk plays getaddrinfo(3), or res_search(3) for other types, of glibc.
type glibcWalk struct {
	*progress
	// single and reopen are modes of the thread's resolver: the second question
	// waits for the answer to the first, and then gets a socket of its own.
	// Options set them, and so does a timeout after one of two answers. They
	// then stay.
	single, reopen bool
	// rcode is that of the last answer in the buffer, which is looked at afterwards.
	rcode int
}

func walkGlibc(c *course) Verdict {
	w := &glibcWalk{
		progress: newProgress(c),
		single:   c.conf.Flags[singleRequest] || c.conf.Flags[singleRequestReopen],
		reopen:   c.conf.Flags[singleRequestReopen],
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
		switch {
		case last.outcome == OutcomeUnreachable:
			w.fail(last) // nobody is there (ECONNREFUSED): not even the name as it is follows
			return
		case last.code == noData:
			if nodata == nil {
				nodata = last
			}
		case last.code == hostNotFound:
		case last.code == tryAgain && w.rcode == rcodeServFail:
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
// (try_simple_gethostbyname), on which these depend on more; then nothing is said.
func (w *glibcWalk) eai(c glibcCode) string {
	switch {
	case c == noData:
		return eaiNoData
	case c == hostNotFound:
		return eaiNoName
	case w.want == onlyIPv4:
		return ""
	case c == tryAgain:
		return eaiAgain
	}
	return eaiNoName
}

// query follows __res_context_query for one name, and what nss_dns makes of a
// success. It returns nil where that ends the search: the verdict is then set.
func (w *glibcWalk) query(c candidate) *glibcFailure {
	if c.name == "" {
		return &glibcFailure{code: noRecovery, outcome: OutcomeNXDomain, candidate: c}
	}
	replies, server, why := w.send(c.name)
	failure := &glibcFailure{code: tryAgain, outcome: why, candidate: c, server: server}
	switch {
	case w.verdict.Pending:
		return nil
	case w.verdict.Forever:
		w.verdict.Outcome, w.verdict.Name, w.verdict.Domain, w.verdict.Server = OutcomeTimeout, c.name, c.domain, server
		return nil
	case len(replies) == 0:
		return failure
	}
	// With one answer alone both names stand for it.
	one, two := replies[0].Message, replies[len(replies)-1].Message
	// With no-aaaa an answer for A says nothing but that the name exists.
	thrownAway := w.want == onlyIPv6 && w.conf.Flags[noAAAA]
	if (positive(one) || positive(two)) && !thrownAway {
		w.success(c, server, replies)
		return nil
	}
	if one.Rcode == rcodeSuccess {
		one = two
	}
	w.rcode = one.Rcode
	switch failure.outcome = one.failure(); one.Rcode {
	case rcodeSuccess:
		failure.code, failure.outcome = noData, OutcomeNoData
	case rcodeNXDomain:
		failure.code = hostNotFound
	case rcodeServFail:
	default:
		failure.code = noRecovery
	}
	return failure
}

// positive: an answer in the sense of __res_context_query. What it answers is
// not looked at, so an alias that leads nowhere ends the search.
func positive(m *Message) bool { return m.Rcode == rcodeSuccess && m.Answers > 0 }

// success follows gaih_getanswer (resolv/nss_dns/dns-host.c).
func (w *glibcWalk) success(c candidate, server netip.AddrPort, replies []*Reply) {
	v := &w.verdict
	v.Name, v.Domain, v.Server = c.name, c.domain, server
	if replies[0].Malformed {
		v.Outcome, v.Error = OutcomeServFail, w.eai(noRecovery)
		return
	}
	matching := 0
	for _, r := range replies {
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

// send follows __res_context_send (resolv/res_send.c). It returns the answers in the
// order in which they came, or none and why.
func (w *glibcWalk) send(name string) (replies []*Reply, server netip.AddrPort, failure Outcome) {
	w.rcode, failure = rcodeSuccess, OutcomeUnreachable
	servers := w.conf.Servers
	overTCP := w.conf.Flags[useVC]
	for try := 0; try < w.conf.Attempts; try++ {
		for shift := range servers {
			n := (shift + w.offset) % len(servers)
			x := w.visit(name, servers[n], try)
			if x == nil {
				return nil, server, failure
			}
			if !overTCP {
				replies, overTCP = w.datagrams(x, n)
			}
			if overTCP {
				try = w.conf.Attempts // one try at each server that is left
				replies = w.stream(x)
			}
			if len(replies) > 0 || w.verdict.Forever {
				return replies, x.Server, failure
			}
			if worse := graver(failure, failureOf(x.finals())); worse != failure || !server.IsValid() {
				failure, server = worse, x.Server
			}
		}
	}
	return nil, server, failure
}

// datagrams follows send_dg: one server, one try, both questions. n is the
// server's place in the list.
func (w *glibcWalk) datagrams(x *Exchange, n int) (replies []*Reply, useTCP bool) {
	if len(x.Datagrams) == 0 {
		return nil, true // measured over TCP alone
	}
	for {
		replies, useTCP, timedOut := w.round(x, w.timeout(n))
		// One answer came and the other did not: some servers cannot handle two
		// questions at a time, some firewalls not two from one port.
		switch {
		case !timedOut || len(replies) == 0:
			return replies, useTCP
		case !w.single:
			w.single = true
		case !w.reopen:
			w.reopen = true
		default:
			return replies, false
		}
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

// dueReply is a reply with the time at which it comes.
type dueReply struct {
	*Reply
	at time.Duration
}

// never is later than any end.
const never = time.Duration(math.MaxInt64)

// ask sends a question now.
func (w *glibcWalk) ask(r *Reply) dueReply {
	at, comes := w.arrival(r, w.clock)
	// glibc drops answers without a question, but for three errors.
	if !comes || r.OK() && r.Bare && !isServerError(r.Message) {
		at = never
	}
	return dueReply{r, at}
}

// round sends the questions, both at once or one after the other, and waits for the
// answers.
func (w *glibcWalk) round(x *Exchange, timeout time.Duration) (replies []*Reply, useTCP, timedOut bool) {
	end := w.clock + timeout
	due := make([]dueReply, len(x.Datagrams))
	if !w.single {
		for i := range due {
			due[i] = w.ask(&x.Datagrams[i])
		}
		slices.SortStableFunc(due, func(a, b dueReply) int { return cmp.Compare(a.at, b.at) })
	}
	for i := range due {
		if w.single {
			due[i] = w.ask(&x.Datagrams[i])
		}
		r := due[i]
		if r.at > end {
			w.clock = end
			return replies, false, true
		}
		w.clock = max(w.clock, r.at)
		if !r.OK() {
			return nil, false, false // an error on the socket: the next server
		}
		if i == 0 {
			w.rcode = r.Rcode & 0xf
		}
		switch {
		case isServerError(r.Message), r.Lame:
			if w.conf.Flags[strictError] || len(due) == 1 || w.single && len(replies) == 0 {
				return nil, false, false
			}
			if len(replies) > 0 {
				return replies, false, false // the other one suffices
			}
		case r.TC:
			return nil, true, false
		default: // also NXDOMAIN, NODATA and FORMERR
			replies = append(replies, r.Reply)
		}
	}
	return replies, false, false
}

func isServerError(m *Message) bool {
	return m.Rcode == rcodeServFail || m.Rcode == rcodeNotImp || m.Rcode == rcodeRefused
}

// stream follows send_vc. Neither connecting nor reading has a time limit.
func (w *glibcWalk) stream(x *Exchange) (replies []*Reply) {
	s := x.Stream
	if s == nil {
		// TCP was not tried at this server, as its answers were not truncated.
		for i := range x.Datagrams {
			r := &x.Datagrams[i]
			if !r.OK() {
				return nil
			}
			replies = append(replies, r)
			w.clock += r.After
		}
		return replies
	}
	if s.Connect == Silent {
		w.clock += tcpConnectWait
		return nil
	}
	w.clock += s.ConnectTime
	if s.Connect != Answered {
		return nil
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
			return nil
		}
	}
	w.clock += last
	if len(replies) < len(s.Replies) {
		return nil
	}
	return replies
}
