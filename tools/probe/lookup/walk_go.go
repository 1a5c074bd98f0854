package lookup

import (
	"net/netip"
	"time"
)

// goWalk plays the resolver of Go's package net (net/dnsclient_unix.go). Each
// question goes its own way through servers and tries, and every failure leads
// to the next name.
type goWalk struct {
	*progress
}

func walkGo(c *course) Verdict {
	w := &goWalk{newProgress(c)}
	w.search()
	return w.finish()
}

// goResult is what tryOneName returns.
type goResult struct {
	reply   *Reply // of success
	failure Outcome
	server  netip.AddrPort
	took    time.Duration
}

// search follows goLookupIPCNAMEOrder.
func (w *goWalk) search() {
	v := &w.verdict
	v.Outcome, v.Error = OutcomeNXDomain, goError(OutcomeNXDomain)
	reported := false
	for _, c := range w.plan.candidates() {
		start, end := w.clock, w.clock
		var addresses []netip.Addr
		matching := 0
		var from netip.AddrPort
		for i := range w.types {
			if w.conf.Flags[singleRequest] {
				start = end
			}
			r := w.tryOneName(c.name, i)
			if v.Pending {
				return
			}
			end = max(end, start+r.took)
			if r.reply != nil {
				addresses = append(addresses, r.reply.Loose...)
				matching += r.reply.Matching
				from = r.server
				continue
			}
			// The error of the name as it is is preferred, else the first.
			if !reported || c.domain == "" {
				v.Outcome, v.Name, v.Domain, v.Server = r.failure, c.name, c.domain, r.server
				v.Error = goError(r.failure)
				reported = true
			}
		}
		w.clock = end
		if matching > 0 {
			v.Outcome, v.Name, v.Domain, v.Server, v.Addresses = OutcomeAnswered, c.name, c.domain, from, addresses
			v.Error = ""
			return
		}
	}
}

// goError is what stands in the error that a Go program gets.
func goError(o Outcome) string {
	switch o {
	case OutcomeNXDomain, OutcomeNoData:
		return "no such host"
	case OutcomeTimeout:
		return "i/o timeout"
	case OutcomeUnreachable:
		return "connection refused"
	}
	return "server misbehaving"
}

// tryOneName asks one question about one name, server by server.
func (w *goWalk) tryOneName(name string, question int) goResult {
	result := goResult{failure: OutcomeUnreachable}
	servers := w.conf.Servers
	asked := make(map[netip.AddrPort]int)
	for range w.conf.Attempts {
		for shift := range servers {
			server := servers[(shift+w.offset)%len(servers)]
			x := w.visit(name, server, asked[server])
			if x == nil {
				return goResult{}
			}
			r, took := w.exchange(x, question, asked[server])
			asked[server]++
			result.took += took
			outcome := OutcomeTimeout
			if r != nil {
				outcome = r.failure()
			}
			switch {
			case outcome == OutcomeAnswered:
				result.reply, result.server = r, server
				return result
			case outcome.notFound():
				// No other server is asked.
				result.failure, result.server = outcome, server
				return result
			}
			// The last error is the one that is returned.
			result.failure, result.server = outcome, server
		}
	}
	return result
}

// exchange asks one server once: UDP, then TCP where the answer is truncated. A
// nil reply is a timeout.
func (w *goWalk) exchange(x *Exchange, question, tries int) (*Reply, time.Duration) {
	took := time.Duration(0)
	if len(x.Datagrams) > 0 && !w.conf.Flags[useVC] {
		r := &x.Datagrams[question]
		// The socket does not ask for errors about hosts and networks, and a
		// header without a question is no answer.
		unheard := r.State == Unreachable || r.OK() && r.Bare || r.State == Undersized
		if r.State == Silent || unheard || tries < r.Lost || r.After > w.conf.Timeout {
			return nil, w.conf.Timeout
		}
		if !r.OK() || !r.TC || x.Stream == nil {
			return r, r.After
		}
		took = r.After
	}
	return w.stream(x, question, took)
}

func (w *goWalk) stream(x *Exchange, question int, took time.Duration) (*Reply, time.Duration) {
	s := x.Stream
	if s == nil {
		return &x.Datagrams[question], x.Datagrams[question].After
	}
	spent := s.ConnectTime
	r := &Reply{State: s.Connect}
	if s.Connect == Answered {
		r = s.separate(question)
		spent += r.After
	}
	if r.State == Silent || r.State == Garbage || spent > w.conf.Timeout {
		return nil, took + w.conf.Timeout
	}
	return r, took + spent
}
