package nsexec_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

func TestRightNamespaceDial(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			s := newSides(t)
			v4, v6 := s.server(t)
			s.check(t, 2, func() func() {
				var conns []net.Conn
				for _, a := range []netip.AddrPort{v4, v6} {
					for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){
						"Dialer": s.target.Dialer().DialContext, "DialContext": s.target.DialContext,
					} {
						c, err := dial(t.Context(), network, a.String())
						if err != nil {
							t.Fatalf("%s: %v", name, err)
						}
						exchange(t, c)
						conns = append(conns, c)
					}
				}
				return func() {
					for _, c := range conns {
						c.Close()
					}
				}
			})
		})
	}
}

// A name with addresses of both families makes package net dial them side by
// side, on goroutines of its own (happy eyeballs, RFC 8305).
func TestRightNamespaceDualStack(t *testing.T) {
	s := newSides(t)
	ln, err := s.target.ListenConfig().Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go serveEcho(ln)
	v4 := ln.Addr().(*net.TCPAddr).AddrPort()
	const nameserver = "127.0.0.1:53"
	s.decoy(t, v4, netip.AddrPortFrom(netip.IPv6Loopback(), v4.Port()), netip.MustParseAddrPort(nameserver))
	serveDNS(t, s.target, nameserver, netip.IPv6Loopback(), v4.Addr())

	hook := &recorder{next: s.target.Control, both: make(chan struct{})}
	dialer := s.target.Dialer()
	dialer.Control = hook.control
	dialer.FallbackDelay = time.Millisecond
	dialer.Timeout = 10 * time.Second
	dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return s.target.DialContext(ctx, network, nameserver)
	}}
	s.check(t, 2, func() func() {
		c, err := dialer.DialContext(t.Context(), "tcp", fmt.Sprintf("dual.test.:%d", v4.Port()))
		if err != nil {
			t.Fatal(err)
		}
		exchange(t, c)
		return func() { c.Close() }
	})
	hook.mu.Lock()
	defer hook.mu.Unlock()
	want := map[string]uint64{"tcp4": s.target.Identity().Cookie, "tcp6": s.target.Identity().Cookie}
	if !maps.Equal(hook.cookies, want) {
		t.Errorf("dialled with cookies %v, want %v", hook.cookies, want)
	}
}

// recorder is a hook around another that notes what comes out of it, and holds
// sockets back until there is one of both families.
type recorder struct {
	next func(network, address string, c syscall.RawConn) error
	both chan struct{}

	mu      sync.Mutex
	cookies map[string]uint64
}

func (r *recorder) control(network, address string, c syscall.RawConn) error {
	if err := r.next(network, address, c); err != nil {
		return err
	}
	var id uint64
	var inner error
	if err := c.Control(func(fd uintptr) {
		id, inner = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	}); err != nil || inner != nil {
		return errors.Join(err, inner)
	}
	r.mu.Lock()
	if r.cookies == nil {
		r.cookies = map[string]uint64{}
	}
	r.cookies[network] = id
	if len(r.cookies) == 2 {
		close(r.both)
	}
	r.mu.Unlock()
	<-r.both
	return nil
}

// serveDNS answers every question inside the target with one address of each
// family.
func serveDNS(t *testing.T, target *nsexec.Handle, address string, v6, v4 netip.Addr) {
	t.Helper()
	pc, err := target.ListenConfig().ListenPacket(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		header := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: dns.ClassINET, Ttl: 1}
		switch q.Question[0].Qtype {
		case dns.TypeA:
			answer.Answer = []dns.RR{&dns.A{Hdr: header, A: v4.AsSlice()}}
		case dns.TypeAAAA:
			answer.Answer = []dns.RR{&dns.AAAA{Hdr: header, AAAA: v6.AsSlice()}}
		}
		w.WriteMsg(answer)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.ActivateAndServe()
	}()
	t.Cleanup(func() {
		pc.Close()
		<-done
	})
}

func TestRightNamespaceHTTP(t *testing.T) {
	s := newSides(t)
	const requests = 10
	ln, err := s.target.ListenConfig().Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := ln.Addr().(*net.TCPAddr).AddrPort()
	s.decoy(t, at)
	arrived, release := make(chan struct{}), make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		arrived <- struct{}{}
		<-release
		io.WriteString(w, "inside")
	})}
	go server.Serve(ln)
	t.Cleanup(func() { server.Close() })

	// The plain dialer: http.Transport calls it on goroutines of its own.
	client := &http.Client{Transport: &http.Transport{DialContext: s.target.Dialer().DialContext, DisableKeepAlives: true}, Timeout: 30 * time.Second}
	s.check(t, 2*requests, func() func() {
		var wg sync.WaitGroup
		for range requests {
			wg.Go(func() {
				r, err := client.Get("http://" + at.String())
				if err != nil {
					t.Error(err)
					return
				}
				defer r.Body.Close()
				if body, err := io.ReadAll(r.Body); string(body) != "inside" {
					t.Errorf("body %q, %v", body, err)
				}
			})
		}
		for range requests {
			<-arrived
		}
		return func() {
			close(release)
			wg.Wait()
		}
	})
}

func TestRightNamespaceListen(t *testing.T) {
	plain := &net.ListenConfig{}
	plain.SetMultipathTCP(false)
	for _, test := range []struct {
		network, address string
		reachable        []string
	}{
		{"tcp", "127.0.0.1:0", []string{"127.0.0.1"}},
		{"tcp", "[::1]:0", []string{"::1"}},
		{"tcp", ":0", []string{"127.0.0.1", "::1"}},
		{"tcp", "[::]:0", []string{"127.0.0.1", "::1"}},
		{"tcp4", ":0", []string{"127.0.0.1"}},
		{"tcp6", ":0", []string{"::1"}},
		{"udp", "127.0.0.1:0", []string{"127.0.0.1"}},
		{"udp", "[::1]:0", []string{"::1"}},
		{"udp", ":0", []string{"127.0.0.1", "::1"}},
		{"udp6", ":0", []string{"::1"}},
	} {
		t.Run(test.network+" "+test.address, func(t *testing.T) {
			s := newSides(t)
			want, _ := listen(t, plain, test.network, test.address)
			s.check(t, 1, func() func() {
				got, port := listen(t, s.target.ListenConfig(), test.network, test.address)
				for name, option := range map[string][2]int{
					"SO_REUSEADDR": {unix.SOL_SOCKET, unix.SO_REUSEADDR}, "SO_REUSEPORT": {unix.SOL_SOCKET, unix.SO_REUSEPORT},
					"SO_BROADCAST": {unix.SOL_SOCKET, unix.SO_BROADCAST}, "SO_PROTOCOL": {unix.SOL_SOCKET, unix.SO_PROTOCOL},
					"SO_DOMAIN": {unix.SOL_SOCKET, unix.SO_DOMAIN}, "SO_TYPE": {unix.SOL_SOCKET, unix.SO_TYPE},
				} {
					if g, w := socketOption(t, got, option[0], option[1]), socketOption(t, want, option[0], option[1]); g != w {
						t.Errorf("%s is %d, want %d as without the hook", name, g, w)
					}
				}
				if socketOption(t, want, unix.SOL_SOCKET, unix.SO_DOMAIN) == unix.AF_INET6 {
					g, w := socketOption(t, got, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY), socketOption(t, want, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
					if g != w {
						t.Errorf("IPV6_V6ONLY is %d, want %d as without the hook", g, w)
					}
				}
				for _, ip := range test.reachable {
					c, err := s.target.DialContext(t.Context(), test.network, net.JoinHostPort(ip, port))
					if err != nil {
						t.Errorf("from inside: %v", err)
						continue
					}
					exchange(t, c)
					c.Close()
				}
				return func() { got.Close() }
			})
		})
	}
}

type listening interface {
	syscall.Conn
	Close() error
}

// listen serves echoes until the test ends.
func listen(t *testing.T, lc *net.ListenConfig, network, address string) (socket listening, port string) {
	t.Helper()
	var at net.Addr
	if strings.HasPrefix(network, "udp") {
		pc, err := lc.ListenPacket(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		go servePackets(pc)
		socket, at = pc.(*net.UDPConn), pc.LocalAddr()
	} else {
		ln, err := lc.Listen(t.Context(), network, address)
		if err != nil {
			t.Fatal(err)
		}
		go serveEcho(ln)
		socket, at = ln.(*net.TCPListener), ln.Addr()
	}
	t.Cleanup(func() { socket.Close() })
	_, port, err := net.SplitHostPort(at.String())
	if err != nil {
		t.Fatal(err)
	}
	return socket, port
}

// The sysctl that turns dual-stack listeners off is the target's own.
func TestListenIgnoresBindV6Only(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	target := newNetns(t, home)
	setSysctl(t, target, "net/ipv6/bindv6only", "1")
	ln, err := target.ListenConfig().Listen(t.Context(), "tcp", "[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if got := socketOption(t, ln.(*net.TCPListener), unix.IPPROTO_IPV6, unix.IPV6_V6ONLY); got != 0 {
		t.Error("a dual-stack listener became an IPv6 one")
	}
}

// A dialer or listener that asks for multipath TCP gets TCP.
func TestControlMultipath(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	target := newNetns(t, home)
	lc := &net.ListenConfig{Control: target.Control}
	lc.SetMultipathTCP(true)
	ln, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	d := &net.Dialer{Control: target.Control}
	d.SetMultipathTCP(true)
	go serveEcho(ln)
	c, err := d.DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange(t, c)
	for name, socket := range map[string]syscall.Conn{"listener": ln.(*net.TCPListener), "connection": c.(*net.TCPConn)} {
		if got := socketOption(t, socket, unix.SOL_SOCKET, unix.SO_PROTOCOL); got != unix.IPPROTO_TCP {
			t.Errorf("%s has protocol %d, want TCP", name, got)
		}
	}
}

// What Control puts in the place of a socket is inherited by no child and never
// blocks a thread.
func TestControlFlags(t *testing.T) {
	t.Parallel()
	target := newNetns(t, newHome(t))
	socket, _ := listen(t, target.ListenConfig(), "tcp", "127.0.0.1:0")
	raw, err := socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { checkFlags(t, int(fd)) }); err != nil {
		t.Fatal(err)
	}
}

func checkFlags(t *testing.T, fd int) {
	t.Helper()
	for command, want := range map[int]int{unix.F_GETFD: unix.FD_CLOEXEC, unix.F_GETFL: unix.O_NONBLOCK} {
		if flags, err := unix.FcntlInt(uintptr(fd), command, 0); err != nil || flags&want == 0 {
			t.Errorf("flags %#x, %v; want %#x", flags, err, want)
		}
	}
}

func TestControlKeepsMulticastReuse(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	target := newNetns(t, home)
	for range 2 { // the second shares the port with the first
		pc, err := target.ListenConfig().ListenPacket(t.Context(), "udp4", "224.0.0.251:5353")
		if err != nil {
			t.Fatal(err)
		}
		defer pc.Close()
	}
}

func TestRightNamespaceRaw(t *testing.T) {
	s := newSides(t)
	s.check(t, 9, func() func() {
		var open []func()
		lc, d := s.target.ListenConfig(), s.target.Dialer()
		for _, a := range [][2]string{{"ip4:icmp", "127.0.0.1"}, {"ip6:ipv6-icmp", "::1"}} {
			pc, err := lc.ListenPacket(t.Context(), a[0], a[1])
			if err != nil {
				t.Fatal(err)
			}
			c, err := d.DialContext(t.Context(), a[0], a[1])
			if err != nil {
				t.Fatal(err)
			}
			// An echo request without a checksum: what matters is who counts it.
			if _, err := c.Write([]byte{8, 0, 0, 0, 0, 0, 0, 0}); err != nil {
				t.Fatal(err)
			}
			open = append(open, func() { pc.Close(); c.Close() })
		}
		const allPackets = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8 // in network order
		for _, kind := range [][3]int{
			{unix.AF_PACKET, unix.SOCK_RAW, allPackets},
			{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE},
			{unix.AF_UNIX, unix.SOCK_STREAM, 0},
		} {
			fd, err := s.target.Socket(kind[0], kind[1], kind[2])
			if err != nil {
				t.Fatalf("socket %v: %v", kind, err)
			}
			checkFlags(t, fd)
			open = append(open, func() { unix.Close(fd) })
		}
		h, err := s.target.Netlink(unix.NETLINK_ROUTE, unix.NETLINK_NETFILTER)
		if err != nil {
			t.Fatal(err)
		}
		socket, err := s.target.OpenNetlink(unix.NETLINK_INET_DIAG)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, h.Close, socket.Close)
		return func() {
			for _, f := range open {
				f()
			}
		}
	})
}

// What belongs home is at home.
func TestRightNamespaceHome(t *testing.T) {
	home := newHome(t)
	target := newNetns(t, home)
	if target.Identity().Same(home.Self().Identity()) {
		t.Fatal("the target is home")
	}
	before := sockets(t) // the target's handle keeps one
	ln, err := home.Self().ListenConfig().Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go serveEcho(ln)
	c, err := home.Self().DialContext(t.Context(), "tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange(t, c)
	if _, err := target.DialContext(t.Context(), "tcp", ln.Addr().String()); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("the same address inside the target: %v, want connection refused", err)
	}
	for name, socket := range map[string]syscall.Conn{"listener": ln.(*net.TCPListener), "connection": c.(*net.TCPConn)} {
		raw, err := socket.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(func(fd uintptr) {
			if got := cookie(t, int(fd)); got != home.Self().Identity().Cookie {
				t.Errorf("%s has cookie %d, want that of home", name, got)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	for socket, got := range sockets(t) {
		if _, old := before[socket]; !old && got == target.Identity().Cookie {
			t.Errorf("%s is in the target", socket)
		}
	}
}

// A failure inside the hook is the dial's, and leaves no socket.
func TestControlFails(t *testing.T) {
	home := newHome(t)
	target := newNetns(t, home)
	dialer, lc := target.Dialer(), target.ListenConfig()
	target.Close()
	before := countFDs(t)
	for range 100 {
		if _, err := dialer.DialContext(t.Context(), "tcp", "127.0.0.1:1"); !errors.Is(err, nsexec.ErrClosed) {
			t.Fatalf("dial: %v", err)
		}
		if _, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0"); !errors.Is(err, nsexec.ErrClosed) {
			t.Fatalf("listen: %v", err)
		}
	}
	if after := countFDs(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func socketOption(t testing.TB, socket syscall.Conn, level, name int) int {
	t.Helper()
	raw, err := socket.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var value int
	var inner error
	if err := raw.Control(func(fd uintptr) { value, inner = unix.GetsockoptInt(int(fd), level, name) }); err != nil || inner != nil {
		t.Fatal(err, inner)
	}
	return value
}
