package nsexec

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// awaited is a context that ends as soon as somebody waits for its end.
type awaited struct {
	context.Context
	cancel context.CancelFunc
}

func (c awaited) Done() <-chan struct{} {
	c.cancel()
	return c.Context.Done()
}

func endsWhenAwaited(t *testing.T) context.Context {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return awaited{ctx, cancel}
}

func TestReadersGiveUp(t *testing.T) {
	t.Parallel()
	r := newReaders()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var undone atomic.Int64
	release := make(chan struct{})
	var running, callers sync.WaitGroup
	running.Add(maxReaders)
	for range maxReaders {
		callers.Go(func() {
			err := r.run(ctx, func() error { running.Done(); <-release; return nil }, func() { undone.Add(1) })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want canceled", err)
			}
		})
	}
	running.Wait()
	nothing := func() error { return nil }
	// Somebody waits for each of them, so there is hope.
	if err := r.run(endsWhenAwaited(t), nothing, nil); !errors.Is(err, ErrReadersBusy) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want ErrReadersBusy and canceled", err)
	}
	cancel()
	callers.Wait()
	if err := r.run(t.Context(), nothing, nil); !errors.Is(err, ErrReadersBusy) {
		t.Errorf("error %v, want ErrReadersBusy", err)
	}
	close(release)
	// Each slot that comes free gives up one that hung; with all of them taken
	// at once, everything was given back.
	for range maxReaders {
		r.slots <- struct{}{}
	}
	if n := undone.Load(); n != maxReaders {
		t.Errorf("%d results were taken back, want %d", n, maxReaders)
	}
	if n := r.hung.Load(); n != 0 {
		t.Errorf("%d still count as hung", n)
	}
	for range maxReaders {
		<-r.slots
	}
	failure := errors.New("failure")
	if err := r.run(t.Context(), func() error { return failure }, func() { t.Error("undone") }); !errors.Is(err, failure) {
		t.Errorf("error %v, want the access's own", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := r.run(ended, func() error { t.Error("ran"); return nil }, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}
