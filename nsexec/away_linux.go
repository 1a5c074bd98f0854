package nsexec

import (
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// away are the threads that are not at home, by their number (gettid(2)). Each is
// locked to the goroutine that moved it.
type away struct {
	count   atomic.Int64
	mu      sync.Mutex
	threads map[int]struct{}
}

func (a *away) add(tid int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.threads == nil {
		a.threads = map[int]struct{}{}
	}
	a.threads[tid] = struct{}{}
	a.count.Store(int64(len(a.threads)))
}

func (a *away) remove(tid int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.threads, tid)
	a.count.Store(int64(len(a.threads)))
}

// has asks for the calling thread, which is the only one that can add or remove
// itself.
func (a *away) has(tid int) bool {
	if a.count.Load() == 0 {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, is := a.threads[tid]
	return is
}

// step runs action, a system call or two of this package's own that depend on the
// thread's namespace, inside target and on the calling thread. To have a visit's
// goroutine do it costs more than the system calls: two wakings, and mostly on
// another processor.
//
// Where the thread cannot be brought back it stays locked to the calling
// goroutine, which goes on, and counts as away: nothing of this package's is done
// on it any more, and with the goroutine it ends. As others would fare no better,
// all further steps are visits.
func (h *Home) step(target *Handle, action func() error) error {
	// An away or the main thread is locked to its goroutine, so the answer stays
	// true also where this goroutine goes to another thread now.
	switch tid := unix.Gettid(); {
	case h.away.has(tid), !target.isHome && (tid == h.mainThread || h.noWayBack.Load()):
		return h.visit(target, action)
	case target.isHome:
		if err := target.enter(); err != nil {
			return err
		}
		return action()
	}
	h.slots <- struct{}{}
	defer func() { <-h.slots }()
	runtime.LockOSThread()
	if err := target.setns(); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err := action()
	if h.self.setns() != nil {
		h.noWayBack.Store(true)
		h.away.add(unix.Gettid())
		h.retired.Add(1)
		return err
	}
	runtime.UnlockOSThread()
	return err
}
