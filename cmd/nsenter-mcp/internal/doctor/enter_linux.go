package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// enter makes a network namespace, opens a socket in it and comes back. In a user
// namespace the way back is closed: the thread ends then, and with it the goroutine
// that entered.
func enter(ctx context.Context, home *nsexec.Home) Check {
	var took time.Duration
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		took, err = visit(ctx, home)
	}()
	<-done
	switch {
	case errors.Is(err, unix.EPERM):
		return Check{ID: "enter", Status: Fail, Detail: err.Error(), Cost: "no pod can be entered", Fix: "see the capabilities below"}
	case err != nil:
		return Check{
			ID: "enter", Status: Fail, Detail: err.Error(), Cost: "no pod can be entered",
			Fix: "a security module (AppArmor, SELinux, seccomp) may be in the way: see the kernel's log",
		}
	}
	c := Check{ID: "enter", Status: OK, Detail: fmt.Sprintf("entered a network namespace and came back in %.3f ms", float64(took.Nanoseconds())/1e6)}
	if home.RetiredThreads() > 0 {
		c.Detail = "entered a network namespace; the way back is closed, as in a user namespace, so each entry uses up a thread"
	}
	return c
}

func visit(ctx context.Context, home *nsexec.Home) (time.Duration, error) {
	f, err := newNamespace()
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	target, err := home.OpenPath(ctx, fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return 0, err
	}
	defer func() { _ = target.Close() }()
	there, here := target.Identity(), home.Self().Identity()
	if there.Same(here) {
		return 0, errors.New("a new network namespace is not told from the own one")
	}

	start := time.Now()
	socket, err := target.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	took := time.Since(start)
	if err != nil {
		return 0, err
	}
	defer func() { _ = unix.Close(socket) }()
	if there.Cookie != 0 {
		cookie, err := unix.GetsockoptUint64(socket, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		if err != nil {
			return 0, os.NewSyscallError("getsockopt SO_NETNS_COOKIE", err)
		}
		if cookie != there.Cookie {
			return 0, errors.New("the socket is in another network namespace than the one entered")
		}
	}
	return took, nil
}

// newNamespace makes a network namespace that lives as long as the returned
// file is open. The thread that made it is never used for anything else: its
// goroutine ends while locked to it.
func newNamespace() (*os.File, error) {
	type result struct {
		file *os.File
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			done <- result{nil, os.NewSyscallError("make a network namespace: unshare", err)}
			return
		}
		f, err := os.Open("/proc/thread-self/ns/net")
		done <- result{f, err}
	}()
	r := <-done
	return r.file, r.err
}
