package nsexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Home is this process's own network namespace and the owner of all trips out
// of it. One per process is enough; it is safe for concurrent use.
type Home struct {
	self   *Handle
	tooOld error
	// readers read files of targets, nodeReaders those of the node itself.
	readers, nodeReaders *readers

	retired atomic.Int64
	away    away
	// noWayBack: a thread could not be brought home after a step.
	noWayBack atomic.Bool
	slots     chan struct{} // counting semaphore
	looks     chan struct{} // another one
	buffers   sync.Pool     // of *netlinkBuffer
	// mainThread is the one that must never enter a namespace (see mainthread.go).
	mainThread int
}

// NewHome pins the namespace of the calling process. It fails only where
// /proc is not mounted or cannot be read; a kernel that is too old is reported
// by whatever is opened later. The caller owns the Home and must Close it.
func NewHome() (*Home, error) {
	h := &Home{
		readers: newReaders(maxReaders), nodeReaders: newReaders(maxNodeReaders),
		slots: make(chan struct{}, maxInside), looks: make(chan struct{}, maxLooks), mainThread: os.Getpid(),
	}
	h.tooOld = checkKernel()
	// The leader's link, not thread-self: a program that was moved by its
	// parent has all threads in one namespace, and this is the one that
	// /proc/self/net shows.
	f, err := os.Open("/proc/self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open own network namespace: %w", err)
	}
	id, err := statIdentity(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("own network namespace: %w", err), f.Close())
	}
	h.self = &Handle{home: h, file: f, id: id, isHome: true}
	if err := h.self.readCookie(); err != nil {
		return nil, errors.Join(fmt.Errorf("own network namespace: %w", err), h.self.close())
	}
	return h, nil
}

// Self is the handle of the process's own namespace. It is owned by h: closing
// it does nothing.
func (h *Home) Self() *Handle { return h.self }

// RetiredThreads counts the threads that were destroyed because they could not
// be brought home or because a function panicked on them.
func (h *Home) RetiredThreads() int64 { return h.retired.Load() }

// Close releases the pinned namespace. Handles opened from h must not be used
// afterwards.
func (h *Home) Close() error { return h.self.close() }

// maxInside bounds the threads that are inside other namespaces at once. On a
// busy machine each caller would have one of its own: the scheduler lets others
// run while a system call takes its time, and those would be locked, too.
const maxInside = 32

// maxLooks bounds the threads that wait for the kernel to tell how networks are set
// up. It does so under one lock of the whole machine (rtnl_mutex, net/core/rtnetlink.c),
// which is held for long while pods come and go.
const maxLooks = 8

// Look runs fn, which asks the kernel how networks are set up (a dump of netlink, a
// walk through /proc), on the calling goroutine when its turn has come. Each goroutine
// that waits in the kernel holds a thread, and Go keeps a thread for good. fn waits for
// no network and calls no Look. The error is that of fn, or of ctx where it ends before
// the turn has come.
func (n *Handle) Look(ctx context.Context, fn func() error) error {
	select {
	case n.home.looks <- struct{}{}:
		defer func() { <-n.home.looks }()
		return fn()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errGoexit is reported when a function ended its goroutine by runtime.Goexit,
// as testing.T.FailNow does.
var errGoexit = errors.New("function ended its goroutine")

// visit runs fn on a thread that is inside target and waits for it. fn runs on
// a goroutine of its own: only a goroutine that may end can take a poisoned
// thread with it.
func (h *Home) visit(target *Handle, fn func() error) error {
	if !h.away.has(unix.Gettid()) { // one visit within another waits for nobody
		h.slots <- struct{}{}
		defer func() { <-h.slots }()
	}
	done := make(chan error, 1)
	go h.trip(target, fn, done)
	return <-done
}

func (h *Home) trip(target *Handle, fn func() error, done chan<- error) {
	runtime.LockOSThread()
	tid := unix.Gettid()
	h.away.add(tid)
	if err := target.enter(); err != nil {
		h.away.remove(tid)
		runtime.UnlockOSThread()
		done <- err
		return
	}
	err, returned := errGoexit, false
	// Deferred, so that it also runs on a panic and on runtime.Goexit.
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
		back := h.comeHome(target) == nil
		h.away.remove(tid) // it is at home, or ends with this goroutine
		if back && returned {
			runtime.UnlockOSThread()
		} else {
			h.retired.Add(1)
		}
		done <- err
	}()
	err = fn()
	returned = true
}

// comeHome brings the calling thread back from target. fn may have moved the
// thread even from home; but there setns is only tried when it has, as it needs
// a privilege that a process which stays at home may lack.
func (h *Home) comeHome(target *Handle) error {
	if target.isHome {
		var st unix.Stat_t
		err := unix.Stat("/proc/thread-self/ns/net", &st)
		if err == nil && h.self.id.Same(Identity{Dev: st.Dev, Inode: st.Ino}) {
			return nil
		}
	}
	return h.self.setns()
}

// kernelFloor is the first release with everything used here: openat2(2) is of
// 5.6, and 5.8 is the oldest kernel whose answers the tests have seen described.
const kernelFloor = "5.8"

func checkKernel() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	if !releaseAtLeast(release, 5, 8) {
		return &KernelTooOldError{Have: release, Need: kernelFloor}
	}
	return nil
}
