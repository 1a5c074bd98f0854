package doctor

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// enter makes a network namespace, opens a socket in it and sees that the
// socket is there and everything else still here.
func enter(home *nsexec.Home) Check {
	took, err := visit(home)
	if err == nil {
		return Check{
			ID: "enter", Status: OK,
			Detail: fmt.Sprintf("entered a network namespace and came back in %.3f ms", float64(took.Nanoseconds())/1e6),
		}
	}
	c := Check{
		ID: "enter", Status: Fail, Detail: err.Error(),
		Cost: "no pod can be entered", Fix: "see the capabilities below",
	}
	if !errors.Is(err, unix.EPERM) {
		c.Fix = "a security module (AppArmor, SELinux, seccomp) may be in the way: see the kernel's log"
	}
	return c
}

func visit(home *nsexec.Home) (time.Duration, error) {
	f, err := newNamespace()
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	target, err := home.OpenPath(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
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
	return took, threadsAreHome(here.Inode)
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

// threadsAreHome looks at every thread of the process. The one that made the
// namespace may still be ending.
func threadsAreHome(inode uint64) error {
	const patience = time.Second
	for start := time.Now(); ; {
		stray, err := threadElsewhere(inode)
		if err != nil || stray == 0 {
			return err
		}
		if time.Since(start) > patience {
			return fmt.Errorf("thread %d is still in another network namespace", stray)
		}
		runtime.Gosched()
	}
}

func threadElsewhere(inode uint64) (int, error) {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	for _, t := range threads {
		var st unix.Stat_t
		err := unix.Stat("/proc/self/task/"+t.Name()+"/ns/net", &st)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return 0, fmt.Errorf("thread %s: %w", t.Name(), err)
		}
		if st.Ino != inode {
			return strconv.Atoi(t.Name())
		}
	}
	return 0, nil
}
