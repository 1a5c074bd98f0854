package lookup

import (
	"context"
	"errors"
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
// does not matter and the settling time, which counts from the start, is over. It then waits for its own
// goroutines, which end at once.
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
			x, err := a.ask(asking, j.server, j.name, j.types)
			results <- done{j.key, x, err}
		}()
	}
	seen := make(table, len(jobs))
	var failed error
	var settled <-chan time.Time
	for range jobs {
		var d done
		for waiting := true; waiting; {
			select {
			case d = <-results:
				waiting = false
			case <-settled:
				stop(errDecided)
				settled = nil
			}
		}
		if d.err != nil {
			failed = d.err
			stop(d.err)
			continue
		}
		seen[d.key] = d.exchange
		if settled == nil && len(seen) < len(jobs) && failed == nil && decided(seen) {
			timer := time.NewTimer(time.Until(start.Add(settle)))
			defer timer.Stop()
			settled = timer.C
		}
	}
	if failed != nil {
		return nil, failed
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err()
	}
	return seen, nil
}
