package nsexec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// maxThreads is how many threads a test may add: far more than the work needs,
// far less than one for each call under way.
const maxThreads = 64

// 200 callers in 20 namespaces, in each of which the same address answers
// something else.
func TestNamespacesNeverMix(t *testing.T) {
	home := newHome(t)
	const namespaces, callers, rounds = 20, 200, 5
	const address = "127.0.0.1:7777"
	targets := make([]*nsexec.Handle, namespaces)
	for i := range targets {
		targets[i] = newNetns(t, home)
		addAddress(t, targets[i], markerOf(i)+"/32")
		ln, err := targets[i].ListenConfig().Listen(t.Context(), "tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				io.WriteString(c, markerOf(i))
				c.Close()
			}
		}()
	}
	threads := countThreads(t)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for round := range rounds {
				i := (caller + 7*round) % namespaces
				for name, look := range map[string]func(context.Context, *nsexec.Handle) (string, error){
					"Do": lookByDo, "Control": lookByDial, "Netlink": lookByNetlink,
				} {
					if got, err := look(t.Context(), targets[i]); err != nil || got != markerOf(i) {
						t.Errorf("%s in namespace %d found %q, %v", name, i, got, err)
					}
				}
			}
		})
	}
	wg.Wait()
	threadsAtHome(t, home)
	if n := countThreads(t) - threads; n > maxThreads {
		t.Errorf("%d threads more for %d callers, want %d or fewer", n, callers, maxThreads)
	}
	if n := home.RetiredThreads(); n != 0 {
		t.Errorf("%d threads were retired", n)
	}
}

func markerOf(namespace int) string { return fmt.Sprintf("198.51.100.%d", namespace+1) }

func addAddress(t testing.TB, target *nsexec.Handle, prefix string) {
	t.Helper()
	h := routeHandle(t, target)
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	address, err := netlink.ParseAddr(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.AddrAdd(lo, address); err != nil {
		t.Fatal(err)
	}
}

// lookByDo reads the marker from the local table of the thread's namespace, and
// looks twice whether the thread stays in it.
func lookByDo(_ context.Context, target *nsexec.Handle) (found string, err error) {
	err = target.Do(func() error {
		if err := inside(target); err != nil {
			return err
		}
		trie, err := os.ReadFile("/proc/thread-self/net/fib_trie")
		if err != nil {
			return err
		}
		if i := bytes.Index(trie, []byte("198.51.100.")); i >= 0 {
			found, _, _ = strings.Cut(string(trie[i:]), "\n")
		}
		return inside(target)
	})
	return found, err
}

// inside checks the calling thread.
func inside(target *nsexec.Handle) error {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return err
	}
	if st.Ino != target.Identity().Inode {
		return fmt.Errorf("thread is in net:[%d], want %s", st.Ino, target.Identity())
	}
	return nil
}

func lookByDial(ctx context.Context, target *nsexec.Handle) (string, error) {
	c, err := target.DialContext(ctx, "tcp", "127.0.0.1:7777")
	if err != nil {
		return "", err
	}
	defer c.Close()
	found, err := io.ReadAll(c)
	return string(found), err
}

func lookByNetlink(_ context.Context, target *nsexec.Handle) (string, error) {
	h, err := target.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return "", err
	}
	defer h.Close()
	addresses, err := h.AddrList(nil, netlink.FAMILY_V4)
	for _, a := range addresses {
		if !a.IP.IsLoopback() {
			return a.IP.String(), err
		}
	}
	return "", err
}

// Connections that hang hold no thread.
func TestHangingDialsHoldNoThread(t *testing.T) {
	home := newHome(t)
	target := newNetns(t, home)
	addBlackHoles(t, target)
	const dials = 1000
	threads := countThreads(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	var connecting sync.WaitGroup
	connecting.Add(dials)
	for range dials {
		wg.Go(func() {
			d := target.Dialer()
			hook := d.Control
			d.Control = func(network, address string, c syscall.RawConn) error {
				defer connecting.Done()
				return hook(network, address, c)
			}
			_, err := d.DialContext(ctx, "tcp", net.JoinHostPort(blackHole4, "80"))
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want canceled", err)
			}
		})
	}
	connecting.Wait()
	if n := countThreads(t) - threads; n > maxThreads {
		t.Errorf("%d threads more for %d dials, want %d or fewer", n, dials, maxThreads)
	}
	cancel()
	wg.Wait()
	threadsAtHome(t, home)
}

// The thread stays inside however often the goroutine gives way.
func TestDoYields(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	var wg sync.WaitGroup
	for range 8 {
		target := newNetns(t, home)
		wg.Go(func() {
			err := target.Do(func() error {
				for range 100 {
					runtime.Gosched()
					if err := inside(target); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestDoReturnsError(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	want := errors.New("from inside")
	for name, h := range map[string]*nsexec.Handle{"target": newNetns(t, home), "home": home.Self()} {
		if err := h.Do(func() error { return errors.Join(inside(h), want) }); !errors.Is(err, want) || err.Error() != want.Error() {
			t.Errorf("%s: error %v, want %v", name, err, want)
		}
	}
	if n := home.RetiredThreads(); n != 0 {
		t.Errorf("%d threads were retired", n)
	}
}

func TestDoThatDoesNotReturn(t *testing.T) {
	home := newHome(t)
	target := newNetns(t, home)
	boom := errors.New("boom")
	var nothing map[string]int
	var nobody *nsexec.Handle
	for _, test := range []struct {
		name string
		fn   func() error
		want any // value of the panic; nil: any runtime error; false: no panic
	}{
		{"string", func() error { panic("boom") }, "boom"},
		{"error", func() error { panic(boom) }, boom},
		{"nil", func() error { panic(nil) }, nil},
		{"nil map", func() error { nothing["x"] = 1; return nil }, nil},
		{"nil pointer", func() error { nobody.Identity(); return nil }, nil},
		{"nil function", nil, nil},
		{"panic in a deferred call", func() error { defer func() { panic("second") }(); panic("first") }, "second"},
		{"Goexit", func() error { runtime.Goexit(); return nil }, false},
		{"Goexit after a panic", func() error { defer func() { recover(); runtime.Goexit() }(); panic("first") }, false},
	} {
		for where, h := range map[string]*nsexec.Handle{"target": target, "home": home.Self()} {
			t.Run(test.name+" "+where, func(t *testing.T) {
				before := home.RetiredThreads()
				err := h.Do(test.fn)
				var p *nsexec.PanicError
				switch {
				case err == nil:
					t.Error("no error")
				case test.want == false:
					if errors.As(err, &p) {
						t.Errorf("error %v is a panic", err)
					}
				case !errors.As(err, &p):
					t.Errorf("error %v is no panic", err)
				case test.want != nil && p.Value != test.want:
					t.Errorf("panic of %v, want %v", p.Value, test.want)
				case len(p.Stack) == 0:
					t.Error("no stack")
				}
				if n := home.RetiredThreads() - before; n != 1 {
					t.Errorf("%d threads were retired, want 1", n)
				}
				if err := h.Do(func() error { return inside(h) }); err != nil {
					t.Errorf("next call: %v", err)
				}
			})
		}
	}
	threadsAtHome(t, home)
}

func TestPanicErrorShowsWhere(t *testing.T) {
	t.Parallel()
	err := newHome(t).Self().Do(explode)
	var p *nsexec.PanicError
	if !errors.As(err, &p) || !bytes.Contains(p.Stack, []byte("nsexec_test.explode")) {
		t.Errorf("stack of %v does not name the function:\n%s", err, p.Stack)
	}
}

func explode() error { panic("boom") }

// Many retired threads: the main thread, which cannot be destroyed, is never
// among them, and new ones are made.
func TestRetiredThreadsEnd(t *testing.T) {
	home := newHome(t)
	target := newNetns(t, home)
	const calls = 500
	threads := countThreads(t)
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() { target.Do(func() error { runtime.Goexit(); return nil }) })
	}
	wg.Wait()
	if n := home.RetiredThreads(); n != calls {
		t.Errorf("%d threads were retired, want %d", n, calls)
	}
	threadsAtHome(t, home)
	if n := countThreads(t) - threads; n > maxThreads {
		t.Errorf("%d threads more are left, want %d or fewer", n, maxThreads)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil || st.Ino != home.Self().Identity().Inode {
		t.Errorf("main thread is in net:[%d], %v", st.Ino, err)
	}
}

// fn that moves the thread elsewhere itself.
func TestDoBringsMovedThreadHome(t *testing.T) {
	home := newHome(t)
	target := newNetns(t, home)
	elsewhere := makeNetns(t)
	defer elsewhere.Close()
	for where, h := range map[string]*nsexec.Handle{"target": target, "home": home.Self()} {
		for how, move := range map[string]func() error{
			"setns":   func() error { return unix.Setns(int(elsewhere.Fd()), unix.CLONE_NEWNET) },
			"unshare": func() error { return unix.Unshare(unix.CLONE_NEWNET) },
		} {
			t.Run(how+" from "+where, func(t *testing.T) {
				if err := h.Do(move); err != nil {
					t.Fatal(err)
				}
				threadsAtHome(t, home)
			})
		}
	}
	if n := home.RetiredThreads(); n != 0 {
		t.Errorf("%d threads were retired", n)
	}
}

func TestDoNested(t *testing.T) {
	home := newHome(t)
	a, b := newNetns(t, home), newNetns(t, home)
	err := a.Do(func() error {
		err := b.Do(func() error {
			return errors.Join(inside(b), home.Self().Do(func() error { return inside(home.Self()) }), inside(b))
		})
		return errors.Join(err, inside(a))
	})
	if err != nil {
		t.Error(err)
	}
	// The inner thread is lost, the outer one is fine and hands the error on.
	err = a.Do(func() error {
		err := b.Do(func() error { runtime.Goexit(); return nil })
		return errors.Join(err, inside(a))
	})
	if err == nil {
		t.Error("no error")
	}
	if n := home.RetiredThreads(); n != 1 {
		t.Errorf("%d threads were retired, want 1", n)
	}
	threadsAtHome(t, home)
}

// Close while others are inside: each of them ends well or finds it closed.
func TestCloseDuringDo(t *testing.T) {
	home := newHome(t)
	for range 10 {
		target := newNetns(t, home)
		var wg sync.WaitGroup
		var ran atomic.Int64
		first := make(chan struct{})
		for range 4 {
			wg.Go(func() {
				for {
					err := target.Do(func() error {
						if ran.Add(1) == 1 {
							close(first)
						}
						return inside(target)
					})
					if errors.Is(err, nsexec.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		<-first
		if err := target.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
	}
	if n := home.RetiredThreads(); n != 0 {
		t.Errorf("%d threads were retired", n)
	}
	threadsAtHome(t, home)
}
