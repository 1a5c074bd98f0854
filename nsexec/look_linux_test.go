package nsexec_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

// maxLooks is that of the package.
const maxLooks = 8

// However many look at networks, few threads wait in the kernel for them.
func TestLooksAreFew(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	var inside, most atomic.Int64
	var wg sync.WaitGroup
	var once sync.Once
	full, release := make(chan struct{}), make(chan struct{})
	for range 10 * maxLooks {
		wg.Go(func() {
			err := h.Self().Look(t.Context(), func() error {
				now := inside.Add(1)
				defer inside.Add(-1)
				for seen := most.Load(); now > seen; seen = most.Load() {
					if most.CompareAndSwap(seen, now) {
						break
					}
				}
				if now == maxLooks {
					once.Do(func() { close(full) })
				}
				<-release
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	<-full
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Self().Look(ctx, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("who cannot wait gets %v", err)
	}
	close(release)
	wg.Wait()
	if most.Load() != maxLooks {
		t.Errorf("%d at once, want %d", most.Load(), maxLooks)
	}
	failed := errors.New("failed")
	if err := h.Self().Look(t.Context(), func() error { return failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}
