package nsexec_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// No way of working, and no way of failing, leaves a descriptor.
func TestNothingLeaks(t *testing.T) {
	home := newHome(t)
	pin := pinNetns(t)
	c := startChild(t, unix.CLONE_NEWNET)
	dir := t.TempDir()
	writeFile(t, dir+"/file", "text")
	round := func() error {
		h, err := home.OpenPath(t.Context(), pin)
		if err != nil {
			return err
		}
		fd, err := h.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		unix.Close(fd)
		n, err := h.Netlink(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		n.Close()
		s, err := h.OpenNetlink(unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		s.Close()
		if _, err := h.Socket(-1, unix.SOCK_DGRAM, 0); err == nil {
			return errors.New("no error for a bad socket")
		}
		if _, err := h.DialContext(t.Context(), "tcp", "127.0.0.1:1"); err == nil {
			return errors.New("no error for a refused dial")
		}
		p, err := home.OpenProcess("/proc", c.pid)
		if err != nil {
			return err
		}
		other, err := p.Net()
		if err != nil {
			return err
		}
		files, err := p.Files()
		if err != nil {
			return err
		}
		if _, err := files.ReadFile(t.Context(), "/nosuch", 1); err == nil {
			return errors.New("no error for a missing file")
		}
		tree, err := home.OpenFiles(dir)
		if err != nil {
			return err
		}
		if _, err := tree.ReadFile(t.Context(), "/file", 10); err != nil {
			return err
		}
		for _, bad := range []string{"/proc/self/ns/uts", dir, dir + "/file", "/nosuch"} {
			if _, err := home.OpenPath(t.Context(), bad); err == nil {
				return fmt.Errorf("no error for %s", bad)
			}
		}
		if _, err := home.OpenProcess("/proc", 0); err == nil {
			return errors.New("no error for pid 0")
		}
		return errors.Join(h.Close(), p.Close(), other.Close(), files.Close(), tree.Close())
	}
	if err := round(); err != nil { // what is made once
		t.Fatal(err)
	}
	fds, threads := countFDs(t), countThreads(t)
	rounds := 5000
	if testing.Short() {
		rounds = 500
	}
	for i := range rounds {
		if err := round(); err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
	if n := countFDs(t); n > fds {
		t.Errorf("%d descriptors before %d rounds, %d after", fds, rounds, n)
	}
	if n := countThreads(t); n > threads+10 {
		t.Errorf("%d threads before %d rounds, %d after", threads, rounds, n)
	}
}

// A namespace ends with the last handle and socket, and not before.
func TestHandleKeepsNamespace(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	a, b := newNetns(t, home), newNetns(t, home)
	other := bareHandle(t, home)
	ra := routeHandle(t, a)
	linkPair(t, a, other, "pair0")
	has := func() bool {
		_, err := ra.LinkByName("pair0")
		return err == nil
	}
	fd, err := other.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	// The kernel ends namespaces one after another: when a later one is gone,
	// this one would be.
	later := bareHandle(t, home)
	linkPair(t, b, later, "pair0")
	if err := later.Close(); err != nil {
		t.Fatal(err)
	}
	rb := routeHandle(t, b)
	eventually(t, "end of a namespace", func() error {
		if _, err := rb.LinkByName("pair0"); err == nil {
			return errors.New("its veth is still there")
		}
		return nil
	})
	if !has() {
		t.Error("the namespace ended while a socket of it was open")
	}
	unix.Close(fd)
	eventually(t, "end of the namespace after its last socket", func() error {
		if has() {
			return errors.New("its veth is still there")
		}
		return nil
	})
}

// bareHandle is a namespace that lives by its handle alone.
func bareHandle(t testing.TB, home *nsexec.Home) *nsexec.Handle {
	t.Helper()
	file := makeNetns(t)
	defer file.Close()
	h, err := home.OpenPath(t.Context(), fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// linkPair joins two namespaces by a veth whose ends are both called name, and
// up.
func linkPair(t testing.TB, a, b *nsexec.Handle, name string) {
	t.Helper()
	// Closed at once, as their sockets keep the namespaces alive.
	ra, err := a.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer ra.Close()
	rb, err := b.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	defer rb.Close()
	const far = "far"
	if err := ra.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: far}); err != nil {
		t.Fatal(err)
	}
	peer, err := ra.LinkByName(far)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.WithFD(func(fd int) error { return ra.LinkSetNsFd(peer, fd) }); err != nil {
		t.Fatal(err)
	}
	peer, err = rb.LinkByName(far)
	if err != nil {
		t.Fatal(err)
	}
	if err := rb.LinkSetName(peer, name); err != nil {
		t.Fatal(err)
	}
	for _, h := range []*netlink.Handle{ra, rb} {
		link, err := h.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := h.LinkSetUp(link); err != nil {
			t.Fatal(err)
		}
	}
}

// Whoever gives up while a path is opened leaves no descriptor, whichever comes first.
func TestGivenUpOpenLeaksNothing(t *testing.T) {
	home := newHome(t)
	pin := pinNetns(t)
	before := countFDs(t)
	for range 3000 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel()
		if h, err := home.OpenPath(ctx, pin); err == nil {
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What was given up is closed by a goroutine of its own.
	deadline := time.Now().Add(20 * time.Second)
	for countFDs(t) > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d descriptors, %d before", countFDs(t), before)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
