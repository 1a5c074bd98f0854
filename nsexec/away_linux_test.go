package nsexec_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// madeIn makes a socket in h and reports where it is if that is not h.
func madeIn(h *nsexec.Handle) error {
	fd, err := h.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return err
	}
	if want := h.Identity().Cookie; cookie != want {
		return fmt.Errorf("the socket is in the namespace with cookie %d, want %d", cookie, want)
	}
	return nil
}

// A socket that is made on a thread which is inside somewhere else: in its own
// namespace, and the thread stays where it is.
func TestSocketWithinDo(t *testing.T) {
	home := newHome(t)
	a, b := newNetns(t, home), newNetns(t, home)
	err := a.Do(func() error {
		return errors.Join(madeIn(b), inside(a), madeIn(home.Self()), inside(a), madeIn(a), inside(a))
	})
	if err != nil {
		t.Error(err)
	}
	err = home.Self().Do(func() error { return errors.Join(madeIn(a), inside(home.Self()), madeIn(home.Self())) })
	if err != nil {
		t.Error(err)
	}
	if n := home.RetiredThreads(); n != 0 {
		t.Errorf("%d threads were retired", n)
	}
	threadsAtHome(t, home)
}

// A thread that cannot be brought home after a socket was made: the socket is
// good, nothing else is done on the thread, and it ends with its goroutine.
func TestSocketOnThreadThatIsLost(t *testing.T) {
	home, err := nsexec.NewHome()
	if err != nil {
		t.Fatal(err)
	}
	target := newNetns(t, home)
	other := newHome(t)
	lost := make(chan struct{})
	finish := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// Without the namespace to go back to, no thread comes home.
		if err := home.Close(); err != nil {
			t.Error(err)
		}
		if err := madeIn(target); err != nil {
			t.Errorf("the socket: %v", err)
		}
		if n := home.RetiredThreads(); n != 1 {
			t.Errorf("%d threads were retired, want 1", n)
		}
		if err := madeIn(target); err != nil {
			t.Errorf("another socket: %v", err)
		}
		if n := home.RetiredThreads(); n != 2 {
			t.Errorf("%d threads were retired, want another one for another socket", n)
		}
		before := countThreads(t)
		for range 2 * maxThreads {
			done := make(chan error)
			go func() { done <- madeIn(target) }()
			if err := <-done; err != nil {
				t.Errorf("a socket for another goroutine: %v", err)
			}
		}
		if n := countThreads(t) - before; n > maxThreads {
			t.Errorf("%d threads more are left", n)
		}
		close(lost)
		<-finish
		// The goroutine is locked to it.
		if err := inside(target); err != nil {
			t.Errorf("not the thread that is lost: %v", err)
		}
	}()
	<-lost
	// Others never run on it.
	for range 100 {
		done := make(chan error)
		go func() { done <- inside(other.Self()) }()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		runtime.Gosched()
	}
	close(finish)
	<-ended
	threadsAtHome(t, other)
}
