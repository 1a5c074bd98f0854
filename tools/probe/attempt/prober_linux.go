package attempt

import (
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
	start := time.Now()
	watch := p.watch(connecting, h, s)
	failed := s.connect(connecting, r.Timeout)
	took := time.Since(start)
	a.MS = milliseconds(took)
	perhaps := first == nil && r.early(failed, took)
	if failed != nil && !perhaps {
		r.failed()
	}
	a.Wire = watch.end()
	s.describe(&a)
	if failed == nil {
		conn, err := s.conn()
		if err != nil {
			return nil, a, false, err
		}
		a.Outcome = fact.OutcomeOK
		Explain(&a)
		return conn, a, false, nil
	}
	if errors.Is(failed, context.Canceled) {
		a.Outcome = fact.OutcomeAbandoned
		return nil, a, false, nil
	}
	a.Errno = errnoName(failed)
	p.gather(ctx, h, s, &a)
	Explain(&a)
	if perhaps && (explanation{&a}).unresolved() && connecting.Err() == nil {
		return nil, a, true, nil
	}
	if perhaps {
		r.failed()
	}
	return nil, a, false, nil
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
		return h.Do(func() error {
			if err := s.before.read(s.v6); err != nil {
				return fmt.Errorf("read counters: %w", err)
			}
			s.ears.open(s.v6)
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
func (p *Prober) gather(ctx context.Context, h *nsexec.Handle, s *socket, a *fact.Attempt) {
	a.Answer = s.ears.heard(s.local, s.to)
	// An error here is the end of ctx, or a namespace that can no longer be
	// entered; either way there is nothing more to measure.
	_ = p.turn(ctx, func() error {
		measureWay(h, s, a)
		return h.Do(func() error {
			var after counters
			if err := after.read(s.v6); err == nil {
				a.Counters = moved(&s.before, &after)
			}
			if a.Route != nil && a.Route.Type == routeLocal {
				a.Listeners = readListeners(s.to.Port())
			}
			if a.Errno == "EADDRNOTAVAIL" {
				a.PortRange = readPortRange()
			}
			return nil
		})
	})
}

// measureWay asks by which way the packets go, and whether the answer came that
// way at all.
func measureWay(h *nsexec.Handle, s *socket, a *fact.Attempt) {
	handle, err := h.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return
	}
	defer handle.Close()
	if path, err := measurePath(handle, s.to.Addr(), s.zone); err == nil {
		a.Route, a.Neigh = path.route, path.neigh
	}
	if a.Answer == nil || a.Answer.Kind != "icmp" {
		return
	}
	if from, err := netip.ParseAddr(a.Answer.From); err == nil && isOwn(handle, from) {
		a.Answer.Dev, a.Answer.Own = "lo", true
	}
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
