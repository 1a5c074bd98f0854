package attempt

import (
	"context"
	"errors"
	"fmt"
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
func (p *Prober) Connect(ctx context.Context, h *nsexec.Handle, r Request) (net.Conn, fact.Attempt, error) {
	a := fact.Attempt{Address: netip.AddrPortFrom(r.Address.Addr().Unmap(), r.Address.Port()).String()}
	if r.Allow != nil {
		if err := r.Allow(r.Address); err != nil {
			a.Outcome, a.Why = fact.OutcomeDenied, err.Error()
			return nil, a, nil
		}
	}
	s, err := p.open(ctx, h, r)
	if err != nil {
		return nil, a, err
	}
	defer s.close()

	connecting, cancel := r.connecting(ctx)
	defer cancel()
	start := time.Now()
	watch := p.watch(connecting, h, s)
	failed := s.connect(connecting, r.Timeout)
	a.MS = milliseconds(time.Since(start))
	if failed != nil && r.Failed != nil {
		r.Failed()
	}
	a.Wire = watch.end()
	s.describe(&a)
	if failed == nil {
		conn, err := s.conn()
		if err != nil {
			return nil, a, err
		}
		a.Outcome = fact.OutcomeOK
		Explain(&a)
		return conn, a, nil
	}
	if errors.Is(failed, context.Canceled) {
		a.Outcome = fact.OutcomeAbandoned
		return nil, a, nil
	}
	a.Errno = errnoName(failed)
	p.gather(ctx, h, s, &a)
	Explain(&a)
	return nil, a, nil
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
