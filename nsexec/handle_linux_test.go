package nsexec_test

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

func TestClosedHandle(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	target, other := newNetns(t, home), newNetns(t, home)
	same, err := home.OpenPath(t.Context(), "/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]*nsexec.Handle{"of a target": target, "of home": same} {
		t.Run(name, func(t *testing.T) {
			id := h.Identity()
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			if h.Identity() != id {
				t.Error("identity changed by Close")
			}
			use := map[string]func() error{
				"Do":          func() error { return h.Do(func() error { t.Error("ran"); return nil }) },
				"Socket":      func() error { _, err := h.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); return err },
				"Netlink":     func() error { _, err := h.Netlink(unix.NETLINK_ROUTE); return err },
				"DialContext": func() error { _, err := h.DialContext(t.Context(), "tcp", "127.0.0.1:1"); return err },
				"Listen":      func() error { _, err := h.ListenConfig().Listen(t.Context(), "tcp", "127.0.0.1:0"); return err },
				"OpenNetlink": func() error { _, err := h.OpenNetlink(unix.NETLINK_ROUTE); return err },
				"Addresses":   func() error { _, err := h.Addresses(t.Context(), unix.AF_UNSPEC); return err },
				"WithFD":      func() error { return h.WithFD(func(int) error { t.Error("ran"); return nil }) },
				"NSID of it":  func() error { _, err := nsid(t, other, h); return err },
				"Close":       h.Close,
			}
			for name, f := range use {
				if err := f(); !errors.Is(err, nsexec.ErrClosed) {
					t.Errorf("%s on a closed handle: %v, want ErrClosed", name, err)
				}
			}
		})
	}
}

// The socket that the cookie was read from serves the first request for one of
// its kind; a handle that is closed leaves none behind.
func TestSpareSocket(t *testing.T) {
	home := newHome(t)
	path := pinNetns(t)
	target, err := home.OpenPath(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	before := countFDs(t)
	for range 3 {
		h, err := home.OpenPath(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		var made [2]int
		for i := range made {
			if made[i], err = h.Socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE); err != nil {
				t.Fatal(err)
			}
			if got := cookie(t, made[i]); got != target.Identity().Cookie {
				t.Errorf("socket %d is in %d, want %d", i, got, target.Identity().Cookie)
			}
		}
		if made[0] == made[1] {
			t.Error("the same socket was given away twice")
		}
		h.Close()
		if got := cookie(t, made[0]); got != target.Identity().Cookie {
			t.Error("closing the handle took away a socket that it had given away")
		}
		unix.Close(made[0])
		unix.Close(made[1])
		unused, err := home.OpenPath(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		unused.Close()
	}
	if after := countFDs(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
