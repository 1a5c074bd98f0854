package fetch

import (
	"context"
	"net"
	"net/netip"
	"time"

	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/attempt"
)

const (
	// stagger is after how long the next address is tried beside the one that
	// has not answered yet (RFC 8305, section 5).
	stagger = 250 * time.Millisecond
	// maxAddresses bounds how many addresses of a name are tried.
	maxAddresses = 8
)

// race connects to the first of the addresses that answers, in their order:
// the next starts when one fails or stagger later. It returns the connection,
// nil where none came about, and all attempts in the order of their start.
// Connecting ends at the deadline; ctx ends later, and leaves time to explain.
func (c *call) race(ctx context.Context, to []netip.AddrPort, deadline time.Time) (net.Conn, []fact.Attempt, error) {
	type finish struct {
		index   int
		conn    net.Conn
		attempt fact.Attempt
		err     error
	}
	to = to[:min(len(to), maxAddresses)]
	abandon, cancel := context.WithCancel(ctx)
	defer cancel()
	start := time.Now()
	failing := make(chan int, len(to)) // comes before its explanation
	finished := make(chan finish, len(to))
	attempts := make([]fact.Attempt, 0, len(to))
	next := time.NewTimer(stagger)
	defer next.Stop()
	running := 0
	var winner net.Conn
	var broken error
	launch := func() {
		if winner != nil || broken != nil || len(attempts) == len(to) || !time.Now().Before(deadline) || ctx.Err() != nil {
			return
		}
		index, begun := len(attempts), time.Since(start)
		attempts = append(attempts, fact.Attempt{})
		running++
		next.Reset(stagger)
		go func() {
			conn, a, err := c.Prober.Connect(ctx, c.Target, attempt.Request{
				Address: to[index], Timeout: max(time.Until(deadline), time.Millisecond), Allow: c.Allow, MSS: c.MSS, Tracer: c.Tracer,
				Abandon: abandon, Failed: func() { failing <- index },
			})
			if index > 0 {
				a.StartedMS = milliseconds(begun)
			}
			finished <- finish{index, conn, a, err}
		}()
	}
	// An attempt that fails starts the next one, once.
	failed := make(map[int]bool)
	fail := func(index int) {
		if !failed[index] {
			failed[index] = true
			launch()
		}
	}
	for launch(); running > 0; {
		select {
		case f := <-finished:
			running--
			attempts[f.index] = f.attempt
			switch {
			case f.err != nil && winner != nil:
				attempts[f.index].Outcome = fact.OutcomeAbandoned
			case f.err != nil:
				broken = f.err
				cancel() // nothing can be attempted here
			case f.conn != nil && winner == nil:
				winner = f.conn
				cancel()
			case f.conn != nil:
				_ = f.conn.Close() // never used
			default:
				fail(f.index)
			}
		case index := <-failing:
			fail(index)
		case <-next.C:
			launch()
		}
	}
	if winner != nil {
		return winner, attempts, nil
	}
	return nil, attempts, broken
}

// explained reports whether every address had its turn, and what explains a
// failure was measured.
func explained(f *fact.Fetch) bool {
	if f.Stage != fact.StageConnect {
		return true
	}
	for i := range f.Attempts {
		switch a := &f.Attempts[i]; a.Outcome {
		case fact.OutcomeDenied, fact.OutcomeAbandoned:
		default:
			if a.Route == nil && a.SendErrno == "" {
				return false
			}
		}
	}
	return len(f.Attempts) == maxAddresses || f.AddressesSkipped == 0
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
