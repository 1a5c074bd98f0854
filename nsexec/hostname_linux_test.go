package nsexec_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestHostname: the name is that of the process's UTS namespace, and asking changes
// nothing here.
func TestHostname(t *testing.T) {
	t.Parallel()
	before, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	c := startChild(t, unix.CLONE_NEWUTS)
	const name = "web-0.shop.example"
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/uts", c.pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			defer func() { _ = unix.Close(fd) }()
			err = unix.Setns(fd, unix.CLONE_NEWUTS)
		}
		if err == nil {
			err = unix.Sethostname([]byte(name))
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := openProcess(t, newHome(t), c.pid).Hostname(); got != name {
		t.Errorf("%q, want %q", got, name)
	}
	if after, err := os.Hostname(); err != nil || after != before {
		t.Errorf("here it is %q now, was %q: %v", after, before, err)
	}
}
