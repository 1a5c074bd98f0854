package nsexec_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

func TestDialContextRefusesNames(t *testing.T) {
	s := newSides(t)
	s.decoy(t, netip.MustParseAddrPort("127.0.0.1:80"), netip.MustParseAddrPort("[::1]:80"), netip.MustParseAddrPort("127.0.0.1:53"))
	s.check(t, 0, func() func() {
		for _, address := range []string{
			"localhost:80", "example.com:80", "web:80", ":80", "127.0.0.1:http", "127.0.0.1:", "127.0.0.1", "::1", "[::1]", "::1:80:80",
			"127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+80", "127.1:80", "0127.0.0.1:80", "2130706433:80", "127.0.0.1%lo:80", "[::1%]:80",
			"[127.0.0.1%lo]:80", "", "/run/socket", "@abstract", "127.0.0.1 :80", "127.0.0.1:80\x00", "[localhost]:80",
		} {
			c, err := s.target.DialContext(t.Context(), "tcp", address)
			if !errors.Is(err, nsexec.ErrNotLiteral) {
				t.Errorf("%q: %v %v, want ErrNotLiteral", address, c, err)
			}
		}
		for _, network := range []string{"unix", "ip4:icmp", "nonsense"} {
			if c, err := s.target.DialContext(t.Context(), network, "/run/socket"); !errors.Is(err, nsexec.ErrNotLiteral) {
				t.Errorf("%s: %v %v, want ErrNotLiteral", network, c, err)
			}
		}
		return func() {}
	})
}

// The zone of an address is the name of an interface of the target, whatever
// another namespace calls the same and whatever package net remembers of it.
func TestDialContextZone(t *testing.T) {
	s := newSides(t)
	home := newHome(t)
	far := [2]*nsexec.Handle{newNetns(t, home), newNetns(t, home)}
	near := [2]*nsexec.Handle{s.target, newNetns(t, home)}
	indexes := map[int]bool{}
	for i, h := range near {
		for n := range i * 3 { // so that eth0 gets another index
			addDummy(t, h, fmt.Sprintf("pad%d", n))
		}
		linkPair(t, h, far[i], "eth0")
		indexes[addLinkLocal(t, h, "fe80::1/64")] = true
		addLinkLocal(t, far[i], "fe80::2/64")
		ln, err := far[i].ListenConfig().Listen(t.Context(), "tcp6", "[::]:7777")
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
				fmt.Fprintf(c, "server %d", i)
				c.Close()
			}
		}()
	}
	if len(indexes) != 2 {
		t.Fatalf("eth0 has the same index in both: %v", indexes)
	}
	quiet := counters(t)
	for range 3 {
		for i, h := range near {
			c, err := h.DialContext(t.Context(), "tcp", "[fe80::2%eth0]:7777")
			if err != nil {
				t.Fatalf("namespace %d: %v", i, err)
			}
			if got, err := io.ReadAll(c); string(got) != fmt.Sprintf("server %d", i) {
				t.Errorf("namespace %d reached %q, %v", i, got, err)
			}
			if got := socketOption(t, c.(*net.TCPConn), unix.SOL_SOCKET, unix.SO_DOMAIN); got != unix.AF_INET6 {
				t.Errorf("domain %d", got)
			}
			c.Close()
			u, err := h.DialContext(t.Context(), "udp", "[fe80::2%eth0]:7777")
			if err != nil {
				t.Errorf("udp in namespace %d: %v", i, err)
				continue
			}
			u.Close()
		}
	}
	// By number as well.
	for index := range indexes {
		for i, h := range near {
			link, err := routeHandle(t, h).LinkByName("eth0")
			if err != nil {
				t.Fatal(err)
			}
			c, err := h.DialContext(t.Context(), "tcp", fmt.Sprintf("[fe80::2%%%d]:7777", index))
			if works := link.Attrs().Index == index; works != (err == nil) {
				t.Errorf("namespace %d, zone %d: %v, want it to work %v", i, index, err, works)
			}
			if err == nil {
				c.Close()
			}
		}
	}
	for zone, want := range map[string]error{"nosuch": unix.ENODEV, "this-name-is-too-long": unix.EINVAL} {
		if _, err := s.target.DialContext(t.Context(), "tcp", "[fe80::2%"+zone+"]:7777"); !errors.Is(err, want) {
			t.Errorf("zone %s: %v, want %v", zone, err, want)
		}
	}
	if now := counters(t); now != quiet {
		t.Errorf("home was not quiet:\nbefore %s\nafter  %s", quiet, now)
	}
}

func addDummy(t testing.TB, h *nsexec.Handle, name string) {
	t.Helper()
	// A veth whose both ends stay: every kernel that has pods has it.
	err := routeHandle(t, h).LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-peer"})
	if err != nil {
		t.Fatal(err)
	}
}

// addLinkLocal gives eth0 an address that can be used at once, and returns the
// index of eth0.
func addLinkLocal(t testing.TB, h *nsexec.Handle, prefix string) int {
	t.Helper()
	r := routeHandle(t, h)
	link, err := r.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	address, err := netlink.ParseAddr(prefix)
	if err != nil {
		t.Fatal(err)
	}
	address.Flags = unix.IFA_F_NODAD
	if err := r.AddrAdd(link, address); err != nil {
		t.Fatal(err)
	}
	return link.Attrs().Index
}
