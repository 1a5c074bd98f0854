package nsexec

import (
	"context"
	"fmt"
	"sync/atomic"
)

// maxReaders bounds the file accesses under way at once. One that hangs in the
// kernel (FUSE, NFS) holds a thread, for as long as the server of that file
// system likes.
const maxReaders = 32

// readers runs what may hang in the kernel.
type readers struct {
	slots chan struct{}
	// hung counts the slots of those whose caller has given up.
	hung atomic.Int64
}

func newReaders() *readers { return &readers{slots: make(chan struct{}, maxReaders)} }

// run runs access on another goroutine and returns its error, or that of ctx
// when ctx ends first; access then goes on by itself, and where it succeeds, undo
// (if not nil) takes back what nobody waits for any more. run waits for its turn
// where many read at once, and fails with [ErrReadersBusy] where none is to be
// expected before ctx ends.
func (r *readers) run(ctx context.Context, access func() error, undo func()) error {
	if err := r.take(ctx); err != nil {
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
		if !state.CompareAndSwap(running, finished) {
			if err == nil && undo != nil {
				undo()
			}
			r.hung.Add(-1)
		}
		<-r.slots
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if !state.CompareAndSwap(running, abandoned) {
			return <-done
		}
		r.hung.Add(1)
		return ctx.Err()
	}
}

// take waits for a slot.
func (r *readers) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case r.slots <- struct{}{}:
		return nil
	default:
	}
	if r.hung.Load() >= maxReaders {
		return ErrReadersBusy
	}
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrReadersBusy, ctx.Err())
	}
}
