package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// guard keeps one source from holding anybody up: it bounds how long and how
// many at a time it is asked, leaves it alone for a while after it has hung, which
// is when it answers nobody, and turns its panics into errors.
type guard struct {
	source Source
	slots  [2]chan struct{} // by request

	mu      sync.Mutex
	closed  [2]time.Time // by request: not to be asked before; zero while it is well
	answers [2]time.Time // by request: when it last answered one
	hanging int          // calls that were given up and have not come back yet
}

// request is what a source is asked for. One that is slow to list a thousand
// workloads may well be quick to look up one, so the two are judged apart.
type request int

const (
	lookUp request = iota
	list
)

func (r request) String() string {
	if r == list {
		return "list"
	}
	return "look up"
}

const (
	// maxParallel bounds the look-ups under way in one source, and maxLists the lists,
	// which take megabytes on a large node or cluster. More callers than that wait for
	// their turn within their own time.
	maxParallel = 32
	maxLists    = 4
	// maxHanging bounds the goroutines lost to a source that ignores its context.
	maxHanging = 8
)

// errHung says that a source did not answer in the time it had.
var errHung = errors.New("did not answer")

// errPaused says that a source is not asked because it has just hung.
var errPaused = errors.New("not asked")

func newGuard(s Source) *guard {
	return &guard{source: s, slots: [2]chan struct{}{lookUp: make(chan struct{}, maxParallel), list: make(chan struct{}, maxLists)}}
}

// call runs ask against the source. It returns after limit or when ctx ends, even
// if the source does not. now is the clock for the pause, which lasts as long as
// pause.
func (g *guard) call(ctx context.Context, what request, limit time.Duration, now func() time.Time, pause time.Duration,
	ask func(context.Context) ([]Workload, error),
) ([]Workload, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := g.open(what, now()); err != nil {
		return nil, err
	}
	select {
	case g.slots[what] <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("%d callers were in front: %w", cap(g.slots[what]), ctx.Err())
	}
	// Of those who waited for a slot, most need not learn by themselves what the
	// first ones have.
	if err := cmp.Or(ctx.Err(), g.open(what, now())); err != nil {
		<-g.slots[what]
		return nil, err
	}
	type result struct {
		workloads []Workload
		err       error
	}
	began := time.Now()
	// One that got its turn late had little time, which is not the source's fault.
	// One that meanwhile answers others is busy, or cannot tell of this one: were it
	// left alone, all would suffer.
	hung := func(err error) bool {
		return errors.Is(err, context.DeadlineExceeded) && time.Since(began) >= limit/2 && !g.answeredSince(what, began)
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-g.slots[what] }()
		var r result
		r.workloads, r.err = recovered(ctx, ask)
		printableWorkloads(r.workloads)
		switch { // before the next one gets the slot
		case r.err == nil:
			g.locked(func() { g.answers[what] = time.Now() })
		case hung(r.err):
			g.trip(what, now().Add(pause))
		}
		done <- r
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		g.locked(func() { g.hanging++ })
		go func() { <-done; g.locked(func() { g.hanging-- }) }()
		r.err = ctx.Err()
	}
	if hung(r.err) {
		g.trip(what, now().Add(pause))
		return nil, fmt.Errorf("%w in time and is left alone for %s", errHung, pause)
	}
	return r.workloads, r.err
}

// recovered keeps a bug in a source, or an answer it did not expect, from
// ending the process.
func recovered(ctx context.Context, ask func(context.Context) ([]Workload, error)) (ws []Workload, err error) {
	defer func() {
		if p := recover(); p != nil {
			ws, err = nil, &panicError{value: p, stack: debug.Stack()}
		}
	}()
	return ask(ctx)
}

// panicError is a panic of a source.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// open reports whether the source may be asked.
func (g *guard) open(what request, now time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := g.closed[what].Sub(now); wait > 0 {
		return fmt.Errorf("%w: the source hung, and is tried again in %s", errPaused, wait.Round(100*time.Millisecond))
	}
	if g.hanging >= maxHanging {
		return fmt.Errorf("%w: %d requests to it still hang", errPaused, g.hanging)
	}
	return nil
}

// locked runs change with the lock held.
func (g *guard) locked(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

func (g *guard) trip(what request, until time.Time) {
	g.locked(func() { g.closed[what] = until })
}

func (g *guard) answeredSince(what request, began time.Time) (since bool) {
	g.locked(func() { since = g.answers[what].After(began) })
	return since
}
