package attempt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/conntrack"
	"nsenter-mcp/tools/probe/journey"
)

// Connect makes one attempt. It returns the connection where it came about, and
// in any case what was measured. The caller closes the connection.
//
// What the network did is no error. An error says that nothing was attempted:
// the namespace could not be entered, no socket could be had, or the context
// ended before. When it ends during the attempt the outcome is
// [fact.OutcomeAbandoned] for a cancellation and [fact.OutcomeTimeout] for a
// deadline, and what would need more time to explain is left out.
//
// One that meets the end of a search for the next hop that began before it says
// nothing of now, as right after a repair. It is made once more.
func (p *Prober) Connect(ctx context.Context, h *nsexec.Handle, r Request) (net.Conn, fact.Attempt, error) {
	conn, first, again, err := p.try(ctx, h, r, nil)
	if !again {
		return conn, first, err
	}
	if r.Timeout > 0 {
		r.Timeout -= time.Duration(first.MS * float64(time.Millisecond))
	}
	conn, second, _, err := p.try(ctx, h, r, &first)
	if err != nil { // the context ended meanwhile
		return nil, first, nil
	}
	second.MS = math.Round((first.MS+second.MS)*1000) / 1000
	return conn, second, nil
}

// try makes one attempt, the second one where there is a first. again says that
// one more is due.
func (p *Prober) try(ctx context.Context, h *nsexec.Handle, r Request, first *fact.Attempt) (conn net.Conn, a fact.Attempt, again bool, err error) {
	a.Address = netip.AddrPortFrom(r.Address.Addr().Unmap(), r.Address.Port()).String()
	if first != nil {
		a.AgainAfterMS = first.MS
	}
	if r.Allow != nil {
		if err := r.Allow(r.Address); err != nil {
			a.Outcome, a.Why = fact.OutcomeDenied, err.Error()
			return nil, a, false, nil
		}
	}
	s, err := p.open(ctx, h, r)
	if err != nil {
		return nil, a, false, err
	}
	defer s.close()

	connecting, cancel := r.connecting(ctx)
	defer cancel()
	if r.FromFirst {
		stop := traceFirst(h, s, r.Tracer)
		defer func() { a.Journey = stop() }()
		r.Tracer = nil
	}
	start := time.Now()
	end := p.watch(connecting, h, s, r.Tracer)
	failed := s.connect(connecting, r.Timeout)
	took := time.Since(start)
	a.MS = milliseconds(took)
	perhaps := first == nil && r.early(failed, took)
	if failed != nil && !perhaps {
		r.failed()
	}
	seen, trail := end()
	if seen != nil {
		a.Wire = seen.wire
	}
	s.describe(&a)
	if failed == nil {
		conn, err := s.conn()
		if err != nil {
			return nil, a, false, err
		}
		a.Outcome = fact.OutcomeOK
		return conn, a, false, nil
	}
	if errors.Is(failed, context.Canceled) {
		a.Outcome = fact.OutcomeAbandoned
		return nil, a, false, nil
	}
	a.Journey = trail
	a.Errno = errnoName(failed)
	a.Outcome = outcomeOf(a.Errno)
	p.gather(ctx, h, s, seen, &a)
	if perhaps && a.Neigh.Failed() && connecting.Err() == nil {
		return nil, a, true, nil
	}
	if perhaps {
		r.failed()
	}
	return nil, a, false, nil
}

// traceFirst records the journey of a connection that is about to begin until stop is
// called. It chooses the local port; the local address is that of a datagram socket
// which is connected likewise, and sends nothing by that (udp(7)).
func traceFirst(h *nsexec.Handle, s *socket, tracer *journey.Tracer) (stop func() *fact.Journey) {
	local, err := s.bind(h)
	if err != nil {
		return func() *fact.Journey { return journey.Unavailable(err) }
	}
	return tracer.Follow(flowOf(h, journey.TCP, local, s.to))
}

func flowOf(h *nsexec.Handle, proto journey.Proto, local, to netip.AddrPort) journey.Flow {
	plain := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port()) }
	return journey.Flow{Proto: proto, Src: plain(local), Dst: plain(to), NetnsInode: h.Identity().Inode}
}

// searchStep is after how long the kernel asks again for a link-layer address; it
// gives up after several times (arp(7), retrans_time_ms and mcast_solicit).
const searchStep = time.Second

// leastSearch is enough for an answer from the link itself.
const leastSearch = 50 * time.Millisecond

// early reports whether the kernel gave up sooner than it can have asked for a
// link-layer address, and awaited the answer, since the attempt began; and whether
// there is time for another one.
func (r *Request) early(failed error, took time.Duration) bool {
	return errors.Is(failed, unix.EHOSTUNREACH) && took < searchStep && (r.Timeout == 0 || r.Timeout-took >= leastSearch)
}

func (r *Request) failed() {
	if r.Failed != nil {
		r.Failed()
	}
}

// connecting is the context for connecting alone.
func (r *Request) connecting(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if r.Abandon == nil {
		return ctx, cancel
	}
	stop := context.AfterFunc(r.Abandon, cancel)
	return ctx, func() { stop(); cancel() }
}

// turn calls fn when it is its turn to work in a namespace.
func (p *Prober) turn(ctx context.Context, fn func() error) error {
	select {
	case p.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.turns }()
	if err := ctx.Err(); err != nil {
		return err
	}
	return fn()
}

// open makes what an attempt needs, in one visit.
func (p *Prober) open(ctx context.Context, h *nsexec.Handle, r Request) (*socket, error) {
	ip := r.Address.Addr().Unmap()
	s := &socket{to: netip.AddrPortFrom(ip, r.Address.Port()), v6: ip.Is6(), mss: r.MSS}
	err := p.turn(ctx, func() error {
		return h.Do(func() (err error) {
			if s.before, err = ReadCounters(s.v6); err != nil {
				return fmt.Errorf("read counters: %w", err)
			}
			s.replies.open(s.v6)
			return s.open()
		})
	})
	if err != nil {
		s.close()
		return nil, fmt.Errorf("prepare to connect to %s: %w", r.Address, err)
	}
	return s, nil
}

// gather measures what may explain that an attempt failed. What cannot be
// measured stays absent.
func (p *Prober) gather(ctx context.Context, h *nsexec.Handle, s *socket, seen *observed, a *fact.Attempt) {
	a.Answer = s.replies.read(s.local, s.to, seen)
	// An error here is the end of ctx, or a namespace that can no longer be
	// entered; either way there is nothing more to measure.
	_ = p.turn(ctx, func() error {
		err := h.Do(func() error {
			if after, err := ReadCounters(s.v6); err == nil {
				a.Counters = Moved(s.before, after, wanted[:])
			}
			if a.Errno == "EADDRNOTAVAIL" {
				a.PortRange = readPortRange()
			}
			return nil
		})
		if err != nil {
			return err
		}
		measureWay(ctx, h, s, seen, a)
		return h.Do(func() error {
			if a.Route != nil && a.Route.Type == fact.RouteLocal {
				a.Listeners = readListeners(s.sentTo(a).Port())
			}
			if s.local.Addr().IsLoopback() && a.SendErrno != "" {
				a.RouteLocalnet = readRouteLocalnet()
			}
			return nil
		})
	})
}

// sendAgain sends the SYN once more where the kernel seems to have kept it back, or
// where it was answered in the namespace itself, which may be NAT's doing: that
// leaves an entry in the conntrack table, which TCP's own RST has removed.
func (s *socket) sendAgain(a *fact.Attempt) error {
	kept := a.Errno == "ETIMEDOUT" && (a.Counters["TcpExt.TCPRetransFail"] > 0 || a.Wire != nil) && (a.Wire == nil || a.Wire.SYNOut == 0)
	made := a.Answer != nil && a.Answer.Own && !a.Neigh.Failed() // for want of a next hop the kernel makes an ICMP error too
	if !kept && !made {
		return nil
	}
	err := s.replies.sendSYN(s.local, s.to, s.zone)
	if err != nil {
		a.SendErrno = errnoName(err)
	}
	return err
}

// sentTo is where the connection went after the namespace's own NAT.
func (s *socket) sentTo(a *fact.Attempt) netip.AddrPort {
	if to, err := netip.ParseAddrPort(a.SentTo); err == nil {
		return to
	}
	return s.to
}

// measureWay asks whether the answer was made in the namespace itself, and by which
// way the packets go. Where a route refuses the SYN that is sent again, the way there
// is not known; then what refuses so is looked for.
func measureWay(ctx context.Context, h *nsexec.Handle, s *socket, seen *observed, a *fact.Attempt) {
	r, err := openRoutes(h)
	if err != nil {
		return
	}
	defer r.Close()
	way := func(to netip.AddrPort) {
		if found, err := r.measure(ctx, lookup{to: to, from: s.local.Addr(), zone: s.zone, udp: s.proto == conntrack.UDP}); err == nil {
			a.Route, a.Neigh = found.route, found.neigh
		}
	}
	way(s.to) // before a SYN is sent again, which asks for the next hop anew
	if a.Answer != nil && a.Answer.Kind == "icmp" {
		if from, err := netip.ParseAddr(a.Answer.From); err == nil && r.isOwn(ctx, from) {
			a.Answer.Dev, a.Answer.Own = "lo", true
		}
	}
	if kind := refusedRoute(s.sendAgain(a)); kind != "" {
		a.Route, a.Neigh = r.refuses(ctx, kind, familyOf(s.to.Addr())), nil
		return
	}
	to := s.to
	if seen != nil && seen.sentTo.IsValid() {
		to = seen.sentTo
	} else if entry, err := conntrack.Get(ctx, h, cmp.Or(s.proto, conntrack.TCP), s.local, s.to); err == nil && entry.Rewritten(s.to).IsValid() {
		to = entry.SentTo
	}
	if to != s.to {
		a.SentTo = to.String()
		way(to)
	}
}

// MeasureWays adds to attempts that connected the route, the next hop, and where the
// target's own NAT leads. What cannot be measured stays absent.
func MeasureWays(ctx context.Context, h *nsexec.Handle, attempts []fact.Attempt) {
	for i := range attempts {
		a := &attempts[i]
		to, err := netip.ParseAddrPort(a.Address)
		from, localErr := netip.ParseAddrPort(a.Local)
		if a.Outcome == fact.OutcomeOK && err == nil && localErr == nil && to.Addr().Zone() == "" {
			measureWay(ctx, h, &socket{to: to, local: from}, nil, a)
		}
	}
}

// outcomeOf is what an errno says by itself.
func outcomeOf(errno string) fact.Outcome {
	switch errno {
	case "ECONNREFUSED":
		return fact.OutcomeRefused
	case "ETIMEDOUT":
		return fact.OutcomeTimeout
	case "ECONNRESET":
		return fact.OutcomeReset
	case "EADDRNOTAVAIL":
		return fact.OutcomeNoPort
	case "EPERM":
		return fact.OutcomeBlockedLocally
	}
	return fact.OutcomeUnreachable
}

// errnoName names the kernel's answer; an attempt that was given up is
// ETIMEDOUT, which is what the application would get in the end.
func errnoName(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return "ETIMEDOUT"
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		if name := unix.ErrnoName(errno); name != "" {
			return name
		}
		return fmt.Sprintf("errno %d", int(errno))
	}
	return "unknown"
}

// milliseconds rounds to microseconds.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
