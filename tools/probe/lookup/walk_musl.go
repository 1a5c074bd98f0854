package lookup

import "time"

// muslWalk plays getaddrinfo(3) of musl (src/network/lookup_name.c and
// res_msend.c). All servers are asked at the same time, and the first answer
// that states something counts; there is no rotate, no TCP-only, no EDNS. ICMP
// errors are not seen, as the socket is not connected.
type muslWalk struct {
	*progress
	old bool // [OldMusl]
}

func walkMusl(c *course) Verdict { return (&muslWalk{progress: newProgress(c)}).search() }

func walkOldMusl(c *course) Verdict { return (&muslWalk{progress: newProgress(c), old: true}).search() }

// search follows name_from_dns_search: only a name that does not exist leads to
// the next one.
func (w *muslWalk) search() Verdict {
	candidates := w.plan.search
	if w.plan.first {
		candidates = nil
	}
	for _, c := range candidates {
		if w.query(c) {
			return w.finish()
		}
	}
	w.query(w.plan.asIs)
	return w.finish()
}

// query follows name_from_dns and reports whether the search ends. The verdict
// is that on the last name asked.
func (w *muslWalk) query(c candidate) bool {
	v := &w.verdict
	v.Name, v.Domain, v.Addresses, v.Error = c.name, c.domain, nil, ""
	switch {
	case c.twoDots:
		// Sent as it is, which makes the packet no question; an error is ignored.
		v.Outcome, v.Error, v.TwoDots = OutcomeTimeout, eaiAgain, true
		w.clock += w.conf.Timeout
		return true
	case c.name == "":
		v.Outcome, v.Error = OutcomeNXDomain, eaiNoName
		return true
	}
	replies := w.send(c.name)
	if v.Pending {
		return true
	}
	for _, r := range replies {
		if r == nil {
			v.Error = eaiAgain // and v.Outcome says why
			return true
		}
		if r.Rcode == rcodeNXDomain {
			v.Outcome, v.Error = OutcomeNXDomain, eaiNoName
			return false
		}
	}
	matching := 0
	for _, r := range replies {
		v.Addresses = append(v.Addresses, r.Loose...)
		matching += r.Matching
	}
	v.Outcome = OutcomeAnswered
	if matching == 0 {
		v.Outcome, v.Error = OutcomeNoData, eaiNoData
		if w.old {
			v.Error = eaiNoName
		}
	}
	return true
}

// send follows __res_msend_rc. It returns a reply for each question, nil where
// none came, and moves the clock.
func (w *muslWalk) send(name string) []*Reply {
	exchanges := make([]*Exchange, 0, len(w.conf.Servers))
	for _, server := range w.conf.Servers {
		x := w.visit(name, server, 0)
		if x == nil {
			return nil
		}
		exchanges = append(exchanges, x)
	}
	w.current = exchanges[0] // for all of them
	start := w.clock
	replies := make([]*Reply, len(w.types))
	for i := range w.types {
		r, at, stop := w.first(exchanges, i)
		replies[i] = r
		w.clock = max(w.clock, start+at)
		if stop {
			break // a failed TCP connection ends it for all questions
		}
	}
	return replies
}

// first returns the reply to one question that counts, when it comes, and
// whether a failure over TCP ends everything.
func (w *muslWalk) first(exchanges []*Exchange, question int) (best *Reply, at time.Duration, stop bool) {
	at = w.conf.Timeout
	from := -1
	failure := OutcomeUnreachable
	for i, x := range exchanges {
		r := muslReply(x, question)
		sent := time.Duration(0)
		if x.Again != nil && r.OK() && r.Rcode == rcodeServFail {
			sent, r = r.After, muslReply(x.Again, question) // repeated at once
		}
		failure = graver(failure, muslFailure(r))
		if x.Server.Addr().IsUnspecified() {
			failure = graver(failure, OutcomeTimeout) // the answer comes from loopback, which musl did not ask
			continue
		}
		if !muslAccepts(r) {
			continue
		}
		// A query that was lost is repeated after a part of the time.
		comes := sent + time.Duration(r.Lost)*(w.conf.Timeout/time.Duration(w.conf.Attempts)) + r.After
		if comes < at {
			best, at, from = r, comes, i
		} else if best == nil {
			failure = graver(failure, OutcomeTimeout)
		}
	}
	if best == nil {
		w.verdict.Outcome = failure
		return nil, w.conf.Timeout, false
	}
	w.verdict.Server = exchanges[from].Server
	if w.old || !best.TC || len(exchanges[from].Datagrams) == 0 {
		return best, at, false
	}
	return w.stream(exchanges[from], question, at)
}

// stream is what follows a truncated answer that came at a time.
func (w *muslWalk) stream(x *Exchange, question int, at time.Duration) (*Reply, time.Duration, bool) {
	s := x.Stream
	w.verdict.Outcome = OutcomeTimeout
	switch {
	case s == nil:
		return &x.Datagrams[question], at, false
	case s.Connect == Silent:
		return nil, w.conf.Timeout, false
	case s.Connect != Answered:
		w.verdict.Outcome = OutcomeUnreachable
		return nil, at + s.ConnectTime, true
	}
	r := s.separate(question)
	switch {
	case muslAccepts(r):
		return r, min(at+s.ConnectTime+r.After, w.conf.Timeout), false
	case r.State == Silent:
		return nil, w.conf.Timeout, false
	}
	w.verdict.Outcome = r.failure()
	return nil, at + s.ConnectTime + r.After, true
}

// muslReply is the reply over UDP; where that was not measured, over TCP.
func muslReply(x *Exchange, question int) *Reply {
	if len(x.Datagrams) > 0 {
		return &x.Datagrams[question]
	}
	replies := x.finals()
	return &replies[question]
}

// muslAccepts: everything but success and NXDOMAIN is ignored, as if nothing
// had come.
func muslAccepts(r *Reply) bool {
	return r.OK() && (r.Rcode == rcodeSuccess || r.Rcode == rcodeNXDomain)
}

// muslFailure is why a reply does not count. An ICMP error is silence to musl;
// the name of the outcome still says what happened.
func muslFailure(r *Reply) Outcome {
	if r.OK() && (r.Rcode == rcodeSuccess || r.Rcode == rcodeNXDomain) {
		return OutcomeUnreachable
	}
	return r.failure()
}
