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

// targetOfRead returns one of many targets.
func targetOfRead(i int) readTarget { return readTarget{mountns: Identity{Inode: uint64(i)}} }

func TestReadersGiveUp(t *testing.T) {
	t.Parallel()
	r := newReaders(maxReaders)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var undone atomic.Int64
	release := make(chan struct{})
	var running, callers sync.WaitGroup
	running.Add(maxReaders)
	for i := range maxReaders {
		callers.Go(func() {
			err := r.run(ctx, targetOfRead(i/maxReadersOf), func() error { running.Done(); <-release; return nil }, func() { undone.Add(1) })
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want canceled", err)
			}
		})
	}
	running.Wait()
	other := targetOfRead(maxReaders)
	nothing := func() error { return nil }
	// Somebody waits for each of them, so there is hope.
	for _, of := range []readTarget{other, targetOfRead(0)} {
		if err := r.run(endsWhenAwaited(t), of, nothing, nil); !errors.Is(err, ErrReadersBusy) || !errors.Is(err, context.Canceled) {
			t.Errorf("%v: error %v, want ErrReadersBusy and canceled", of, err)
		}
	}
	cancel()
	callers.Wait()
	if err := r.run(t.Context(), other, nothing, nil); !errors.Is(err, ErrReadersBusy) {
		t.Errorf("error %v, want ErrReadersBusy", err)
	}
	close(release)
	// Each turn that comes free gives up one that hung; with all of them taken
	// at once, everything was given back.
	for range maxReaders {
		r.all.free <- struct{}{}
	}
	if n := undone.Load(); n != maxReaders {
		t.Errorf("%d results were taken back, want %d", n, maxReaders)
	}
	if n := r.all.hung.Load(); n != 0 {
		t.Errorf("%d still count as hung", n)
	}
	for range maxReaders {
		<-r.all.free
	}
	failure := errors.New("failure")
	if err := r.run(t.Context(), other, func() error { return failure }, func() { t.Error("undone") }); !errors.Is(err, failure) {
		t.Errorf("error %v, want the access's own", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := r.run(ended, other, func() error { t.Error("ran"); return nil }, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
}

// TestReadersOfOneTarget: one whose reads hang has its own turns taken, and no others.
func TestReadersOfOneTarget(t *testing.T) {
	t.Parallel()
	r := newReaders(maxReaders)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	release := make(chan struct{})
	var running, callers sync.WaitGroup
	running.Add(maxReadersOf)
	bad, good := targetOfRead(1), targetOfRead(2)
	var begun atomic.Int64
	hang := func() error {
		begun.Add(1)
		running.Done()
		<-release
		return nil
	}
	for range 4 * maxReaders {
		callers.Go(func() {
			if err := r.run(ctx, bad, hang, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want canceled", err)
			}
		})
	}
	running.Wait()
	nothing := func() error { return nil }
	if err := r.run(t.Context(), good, nothing, nil); err != nil {
		t.Errorf("another target, while reads are waited for: %v", err)
	}
	cancel()
	callers.Wait()
	if err := r.run(t.Context(), bad, nothing, nil); !errors.Is(err, ErrReadersBusy) {
		t.Errorf("the target whose reads hang: %v, want ErrReadersBusy", err)
	}
	if err := r.run(t.Context(), good, nothing, nil); err != nil {
		t.Errorf("another target, while reads hang: %v", err)
	}
	if n := begun.Load(); n != maxReadersOf {
		t.Errorf("%d reads of one target at once, want %d", n, maxReadersOf)
	}
	close(release)
	// Nothing is kept of a target that is not in use.
	for range cap(r.all.free) {
		r.all.free <- struct{}{}
	}
	r.mu.Lock()
	if n := len(r.targets); n != 0 {
		t.Errorf("%d targets are kept", n)
	}
	r.mu.Unlock()
	for range cap(r.all.free) {
		<-r.all.free
	}
	if err := r.run(t.Context(), bad, nothing, nil); err != nil {
		t.Errorf("after its reads have ended: %v", err)
	}
}
