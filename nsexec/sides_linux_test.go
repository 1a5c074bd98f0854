package nsexec_test

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nsenter-mcp/nsexec"
)

// sides proves from three sides that what a test does happens inside target:
// every socket that it makes carries the target's cookie, listeners on the same
// addresses at home hear nothing, and home's counters stand still.
//
// Tests that use it are not parallel: home has to be quiet.
type sides struct {
	home, target *nsexec.Handle
	decoys       []interface{ Close() error }
	heard        atomic.Int64
	listening    sync.WaitGroup
}

func newSides(t *testing.T) *sides {
	t.Helper()
	home := newHome(t)
	awaitQuiet(t)
	s := &sides{home: home.Self(), target: newNetns(t, home)}
	t.Cleanup(func() {
		for _, d := range s.decoys {
			d.Close()
		}
		s.listening.Wait()
	})
	return s
}

// awaitQuiet waits until the connections that a test before made at home have
// said all that they have to say.
func awaitQuiet(t *testing.T) {
	t.Helper()
	eventually(t, "end of connections at home", func() error {
		for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
			text, err := os.ReadFile(table)
			if err != nil {
				return err
			}
			for line := range strings.Lines(string(text)) {
				const listen, timeWait = "0A", "06"
				if f := strings.Fields(line); f[0] != "sl" && f[3] != listen && f[3] != timeWait {
					return errors.New(line)
				}
			}
		}
		return nil
	})
}

// decoy listens at home on the addresses, for TCP and UDP.
func (s *sides) decoy(t *testing.T, addresses ...netip.AddrPort) {
	t.Helper()
	for _, a := range addresses {
		ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a))
		if err != nil {
			t.Fatalf("decoy: %v", err)
		}
		s.decoys = append(s.decoys, ln)
		s.listening.Go(func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				s.heard.Add(1)
				c.Close()
			}
		})
		pc, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
		if err != nil {
			t.Fatalf("decoy: %v", err)
		}
		s.decoys = append(s.decoys, pc)
		s.listening.Go(func() {
			for {
				if _, _, err := pc.ReadFrom(make([]byte, 1)); err != nil {
					return
				}
				s.heard.Add(1)
			}
		})
	}
}

// check runs act, which returns with its sockets open and a function that
// closes them. At least want of them must be there.
func (s *sides) check(t *testing.T, want int, act func() (release func())) {
	t.Helper()
	before, quiet := sockets(t), counters(t)
	release := act()
	inside := 0
	for socket, c := range sockets(t) {
		if _, old := before[socket]; old {
			continue
		}
		if c != s.target.Identity().Cookie {
			t.Errorf("%s is in the namespace with cookie %d, want %d (home is %d)", socket, c, s.target.Identity().Cookie, s.home.Identity().Cookie)
		}
		inside++
	}
	if inside < want {
		t.Errorf("%d sockets are open, want %d or more: nothing was proven", inside, want)
	}
	release()
	if now := counters(t); now != quiet {
		t.Errorf("home was not quiet:\nbefore %s\nafter  %s", quiet, now)
	}
	if n := s.heard.Load(); n != 0 {
		t.Errorf("decoys at home heard %d times", n)
	}
}

// server is a TCP and UDP echo server inside the target on one port of
// 127.0.0.1 and ::1, with a decoy for each.
func (s *sides) server(t *testing.T) (v4, v6 netip.AddrPort) {
	t.Helper()
	lc := s.target.ListenConfig()
	ln, err := lc.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v4 = ln.Addr().(*net.TCPAddr).AddrPort()
	v6 = netip.AddrPortFrom(netip.IPv6Loopback(), v4.Port())
	ln6, err := lc.Listen(t.Context(), "tcp6", v6.String())
	if err != nil {
		t.Fatal(err)
	}
	for _, ln := range []net.Listener{ln, ln6} {
		t.Cleanup(func() { ln.Close() })
		go serveEcho(ln)
	}
	for _, a := range []netip.AddrPort{v4, v6} {
		pc, err := lc.ListenPacket(t.Context(), "udp", a.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pc.Close() })
		go servePackets(pc)
	}
	s.decoy(t, v4, v6)
	return v4, v6
}

func serveEcho(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := make([]byte, 64)
			for {
				n, err := c.Read(b)
				if err != nil {
					return
				}
				if _, err := c.Write(b[:n]); err != nil {
					return
				}
			}
		}()
	}
}

func servePackets(pc net.PacketConn) {
	b := make([]byte, 64)
	for {
		n, from, err := pc.ReadFrom(b)
		if err != nil {
			return
		}
		if _, err := pc.WriteTo(b[:n], from); err != nil {
			return
		}
	}
}

// exchange sends and receives once.
func exchange(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const text = "hello"
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, len(text))
	if n, err := c.Read(b); err != nil || string(b[:n]) != text {
		t.Fatalf("echo %q, %v", b[:n], err)
	}
}
