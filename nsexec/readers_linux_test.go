package nsexec

import (
	"context"
	"errors"
	"runtime"
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

// TestReadersGiveUp: reads that are waited for have a turn each; those that are not keep
// none from others, until there are too many of them.
func TestReadersGiveUp(t *testing.T) {
	t.Parallel()
	r := newReaders(maxReaders)
	var undone atomic.Int64
	release := make(chan struct{})
	nothing := func() error { return nil }
	other := targetOfRead(maxHung)
	for hung := 0; hung < maxHung; hung += maxReaders {
		ctx, cancel := context.WithCancel(t.Context())
		var running, callers sync.WaitGroup
		running.Add(maxReaders)
		for i := range maxReaders {
			callers.Go(func() {
				err := r.run(ctx, targetOfRead((hung+i)/maxReadersOf), func() error { running.Done(); <-release; return nil }, func() { undone.Add(1) })
				if !errors.Is(err, context.Canceled) {
					t.Errorf("error %v, want canceled", err)
				}
			})
		}
		running.Wait()
		for _, of := range []readTarget{other, targetOfRead(hung / maxReadersOf)} {
			if err := r.run(endsWhenAwaited(t), of, nothing, nil); !errors.Is(err, ErrReadersBusy) || !errors.Is(err, context.Canceled) {
				t.Errorf("%v: error %v, want ErrReadersBusy and canceled", of, err)
			}
		}
		cancel()
		callers.Wait()
		if err := r.run(t.Context(), other, nothing, nil); hung+maxReaders < maxHung && err != nil {
			t.Errorf("another target, while %d reads hang: %v", hung+maxReaders, err)
		} else if hung+maxReaders >= maxHung && !errors.Is(err, ErrReadersBusy) {
			t.Errorf("error %v, want ErrReadersBusy", err)
		}
	}
	close(release)
	for r.hung.Load() > 0 { // they end one by one, and each says so last
		runtime.Gosched()
	}
	if n := undone.Load(); n != maxHung {
		t.Errorf("%d results were taken back, want %d", n, maxHung)
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
	for kept := 1; kept > 0; runtime.Gosched() {
		r.mu.Lock()
		kept = len(r.targets)
		r.mu.Unlock()
	}
	if err := r.run(t.Context(), bad, nothing, nil); err != nil {
		t.Errorf("after its reads have ended: %v", err)
	}
}
