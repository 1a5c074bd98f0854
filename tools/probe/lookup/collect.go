package lookup

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"
)

// The times of a lookup.
const (
	// DefaultWindow is how long servers are waited for: as long as glibc waits
	// for one.
	DefaultWindow = 5 * time.Second
	// settle is how long after the start servers are still waited for when what
	// the application gets is already known: enough for one repetition.
	settle = 2 * time.Second
)

// resendTimes are the times after which an unanswered query is repeated.
func resendTimes() []time.Duration { return []time.Duration{time.Second, 3 * time.Second} }

// errDecided ends the questions that are still open when what matters is known.
var errDecided = errors.New("decided")

// job is one exchange to be had.
type job struct {
	key
	types []uint16
}

// collect has all exchanges side by side and returns when each has ended: all
// is answered, or the window is over, or decided reports that what is still open
// does not matter and the settling time is over. Both times count from the
// start. It then waits for its own goroutines, which end at once.
//
// It fails where this process cannot ask (no privilege, refused by policy), and
// with the error of ctx where that ends before the window does.
func collect(ctx context.Context, a *asker, jobs []job, window, settle time.Duration, decided func(table) bool) (table, error) {
	start := time.Now()
	asking, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	asking, cancel := context.WithDeadline(asking, start.Add(window))
	defer cancel()

	type done struct {
		key
		exchange *Exchange
		err      error
	}
	results := make(chan done, len(jobs))
	for _, j := range jobs {
		go func() {
			x, err := a.askSafely(asking, j)
			results <- done{j.key, x, err}
		}()
	}
	seen := make(table, len(jobs))
	var failed error
	var settled <-chan time.Time
	settleIfDecided := func() {
		if settled == nil && failed == nil && len(seen) < len(jobs) && decided(seen) {
			// Stopped by nobody: it lives as long as the window at most.
			settled = time.After(time.Until(start.Add(settle)))
		}
	}
	settleIfDecided()
	for range jobs {
		var d done
		for waiting := true; waiting; {
			select {
			case d = <-results:
				waiting = false
			case <-settled:
				stop(errDecided) // and the channel gives nothing more
			}
		}
		if d.err != nil {
			failed = d.err
			stop(d.err)
			continue
		}
		seen[d.key] = d.exchange
		settleIfDecided()
	}
	if failed != nil {
		return nil, failed
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err()
	}
	return seen, nil
}

// askSafely is ask. A panic over something that a server has sent is an error of
// this one lookup: nobody else could catch it here.
func (a *asker) askSafely(ctx context.Context, j job) (x *Exchange, err error) {
	defer func() {
		if p := recover(); p != nil {
			x, err = nil, fmt.Errorf("ask %s about %s: panic: %v\n%s", j.server, j.name, p, debug.Stack())
		}
	}()
	return a.ask(ctx, j.server, j.name, j.types)
}
