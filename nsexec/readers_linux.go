package nsexec

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of what one [readers] does at once. An access that hangs in the kernel
// (FUSE, NFS, the memory of a process) holds a thread, for as long as whoever serves
// it likes. A target can take the turns of its own alone.
const (
	maxReaders   = 32 // of files of targets
	maxReadersOf = 2  // of one target
	// maxNodeReaders bounds the accesses to the node's own files. They have turns of
	// their own, so that targets cannot take them, however many targets hang.
	maxNodeReaders = 8
	// maxHung bounds the accesses that go on without a caller. They keep no turn from
	// others: whoever has many mount namespaces has many targets, and could take all.
	maxHung = 256
)

// readers runs what may hang in the kernel, and bounds it for each target and in all.
type readers struct {
	all     *turns
	hung    atomic.Int64 // accesses whose caller has given up, and that have no turn of all
	mu      sync.Mutex
	targets map[readTarget]*turns // those that are in use
}

// readTarget is what counts as one target of reads: a mount namespace, or a path of
// the node. The zero value is none.
type readTarget struct {
	mountns Identity
	path    string
}

// turns bounds the accesses under way at once.
type turns struct {
	free chan struct{} // holds one value for each access
	hung atomic.Int64  // those whose caller has given up
	// gaveUp is when the last caller gave up, in Unix nanoseconds.
	gaveUp atomic.Int64
	// users counts the accesses under way, and those that wait; guarded by readers.mu.
	users int
}

func newTurns(most int) *turns { return &turns{free: make(chan struct{}, most)} }

func newReaders(most int) *readers {
	return &readers{all: newTurns(most), targets: map[readTarget]*turns{}}
}

// run runs access on another goroutine and returns its error, or that of ctx
// when ctx ends first; access then goes on by itself, and where it succeeds, undo
// (if not nil) takes back what nobody waits for any more. run waits for its turn
// where many read at once, and fails with [ErrReadersBusy] where none is to be
// expected before ctx ends.
func (r *readers) run(ctx context.Context, of readTarget, access func() error, undo func()) error {
	target := r.begin(of)
	if err := target.take(ctx); err != nil {
		r.end(of, target)
		return err
	}
	err := r.all.take(ctx)
	if err == nil && r.hung.Load() >= maxHung {
		r.all.give()
		err = ErrReadersBusy
	}
	if err != nil {
		target.give()
		r.end(of, target)
		return err
	}
	const (
		running = iota
		finished
		abandoned
	)
	var state atomic.Int32
	done := make(chan error, 1)
	go func() {
		err := access()
		done <- err
		if state.CompareAndSwap(running, finished) {
			r.all.give()
		} else {
			if err == nil && undo != nil {
				undo()
			}
			r.hung.Add(-1)
			target.hung.Add(-1)
		}
		target.give()
		r.end(of, target)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if !state.CompareAndSwap(running, abandoned) {
			return <-done
		}
		r.hung.Add(1)
		target.giveUp()
		r.all.give()
		return ctx.Err()
	}
}

func (r *readers) begin(of readTarget) *turns {
	r.mu.Lock()
	defer r.mu.Unlock()
	target := r.targets[of]
	if target == nil {
		target = newTurns(maxReadersOf)
		r.targets[of] = target
	}
	target.users++
	return target
}

func (r *readers) end(of readTarget, target *turns) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if target.users--; target.users == 0 {
		delete(r.targets, of)
	}
}

// take waits for a turn.
func (t *turns) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case t.free <- struct{}{}:
		return nil
	default:
	}
	var tooLong <-chan time.Time
	if t.hung.Load() >= int64(cap(t.free)) {
		timer := time.NewTimer(patience - time.Since(time.Unix(0, t.gaveUp.Load())))
		defer timer.Stop()
		tooLong = timer.C
	}
	select {
	case t.free <- struct{}{}:
		return nil
	case <-tooLong:
		return ErrReadersBusy
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrReadersBusy, ctx.Err())
	}
}

// patience is how long an access is hoped for after its caller has given up: callers
// that end together leave accesses that do not hang.
const patience = 250 * time.Millisecond

func (t *turns) giveUp() {
	t.gaveUp.Store(time.Now().UnixNano())
	t.hung.Add(1)
}

func (t *turns) give() { <-t.free }
