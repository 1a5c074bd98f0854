package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// Scene makes what a fault needs, and breaks it. number tells the addresses of
// scenes that live side by side, since a search for an address looks at all
// networks of the machine; below 90.
func (l *Lab) Scene(tb TB, f *Fault, number int) *Scene {
	tb.Helper()
	s := &Scene{TB: tb, Lab: l, count: f.Count}
	var err error
	s.ca, err = NewAuthority()
	s.Must(err)
	ip := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 244, 1, byte(60 + 2*number + i)}) }
	client := PodSpec{Name: "cart-0", Namespace: "shop", Containers: []ContainerSpec{{Name: "app"}}, IP: ip(0)}
	if f.Pod != nil {
		f.Pod(s, &client)
	}
	server := PodSpec{Name: "api-0", Namespace: "shop", Containers: []ContainerSpec{{Name: "app"}}, IP: ip(1), IPv6: client.IPv6}
	if f.Far {
		server.Node, err = l.AddNode()
		s.Must(err)
		server.IP = netip.Addr{}
	}
	pods := l.Pods(tb, client, server)
	s.Pod, s.Server = pods[0], pods[1]
	if f.Serve == nil {
		s.URL = s.Serve(Hello)
	} else {
		s.URL = f.Serve(s)
	}
	if f.Break != nil {
		s.Must(f.Break(s.Pod))
	}
	return s
}

// Serve serves HTTP on port 80 of the server and returns its URL.
func (s *Scene) Serve(handler http.HandlerFunc) string {
	s.Helper()
	_, err := s.Server.Serve(":80", handler)
	s.Must(err)
	return s.url("http", 80)
}

// Hello answers a request.
func Hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello\n") }

// secure serves HTTPS on port 443 of the server with a certificate of by.
func (s *Scene) secure(by *Authority, change func(*x509.Certificate), names ...string) string {
	s.Helper()
	if names == nil {
		names = []string{s.Server.IP.String()}
	}
	cert, err := by.Issue(change, names...)
	s.Must(err)
	return s.serveTLS(&tls.Config{Certificates: []tls.Certificate{cert}})
}

func (s *Scene) serveTLS(config *tls.Config) string {
	s.Helper()
	_, err := s.Server.ServeTLS(":443", config, http.HandlerFunc(Hello))
	s.Must(err)
	return s.url("https", 443)
}

// Speak lets handle speak on each connection to port 80 of the server.
func (s *Scene) Speak(handle func(net.Conn)) string {
	s.Helper()
	_, err := s.Server.ServeConns(":80", handle)
	s.Must(err)
	return s.url("http", 80)
}

// url is an address of the server, without the port where the scheme says it.
func (s *Scene) url(scheme string, port int) string {
	host := s.Server.IP.String()
	if scheme == "http" && port != 80 || scheme == "https" && port != 443 {
		host += ":" + strconv.Itoa(port)
	}
	return scheme + "://" + host + "/"
}

// FillAcceptQueue listens on a TCP port of the namespace until the test's end, never
// accepts, and fills the queue.
func (n *Netns) FillAcceptQueue(tb TB, port int) netip.AddrPort {
	tb.Helper()
	fd, err := n.Handle.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: port}); err != nil {
		tb.Fatalf("%v", err)
	}
	if err := unix.Listen(fd, 1); err != nil {
		tb.Fatalf("%v", err)
	}
	at := netip.AddrPortFrom(n.IP, uint16(port))
	for i := range 10 {
		limit := time.Second
		if i < 2 {
			limit = 10 * time.Second // these are accepted
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		conn, err := n.Handle.DialContext(ctx, "tcp", at.String())
		cancel()
		if err != nil && i < 2 {
			tb.Fatalf("connection %d: %v", i, err)
		}
		if err != nil {
			return at
		}
		tb.Cleanup(func() { _ = conn.Close() })
	}
	tb.Fatalf("the accept queue never fills")
	return at
}

// TakePorts leaves the namespace no local port for connections to an address.
func (n *Netns) TakePorts(tb TB, to string) {
	tb.Helper()
	if err := n.SetSysctl("net/ipv4/ip_local_port_range", "40000 40001"); err != nil {
		tb.Fatalf("%v", err)
	}
	for range 2 {
		conn, err := n.Handle.DialContext(context.Background(), "tcp", to)
		if err != nil {
			tb.Fatalf("%v", err)
		}
		tb.Cleanup(func() { _ = conn.Close() })
	}
}

// Service makes a service address with these backends.
func (s *Scene) Service(backends ...netip.Addr) string {
	s.Helper()
	service, err := s.Lab.AddService(ServiceSpec{Name: "api", Namespace: "shop", Port: 80, Backends: backends})
	s.Must(err)
	return service.IP.String()
}

const clusterDNS = "10.96.0.10"

// DNS serves the cluster's names on 10.96.0.10, which pods have in their
// resolv.conf. Over TCP it answers only where tcp says so.
func (s *Scene) DNS(tcp bool, handler dns.HandlerFunc) {
	s.Helper()
	pod := s.Lab.Pod(s, PodSpec{Name: "coredns-0", Namespace: "kube-system"})
	packets, err := pod.ListenPacket("udp", pod.IP.String()+":53")
	s.Must(err)
	servers := []*dns.Server{{PacketConn: packets, Handler: handler}}
	protocols := []string{"udp"}
	if tcp {
		listener, err := pod.Listen("tcp", pod.IP.String()+":53")
		s.Must(err)
		servers = append(servers, &dns.Server{Listener: listener, Handler: handler})
		protocols = append(protocols, "tcp")
	}
	for _, server := range servers {
		started := make(chan struct{})
		server.NotifyStartedFunc = func() { close(started) }
		go func() { _ = server.ActivateAndServe() }() // ends at Shutdown
		<-started
		s.Cleanup(func() { _ = server.Shutdown() })
	}
	for _, p := range protocols {
		_, err := s.Lab.AddService(ServiceSpec{
			Name: "kube-dns-" + p, Namespace: "kube-system", IP: netip.MustParseAddr(clusterDNS),
			Protocol: p, Port: 53, Backends: []netip.Addr{pod.IP},
		})
		s.Must(err)
	}
}

// Names answers with A records; other names do not exist.
func Names(table map[string]string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		r.RecursionAvailable = true
		address, known := table[q.Question[0].Name]
		switch {
		case !known:
			r.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			r.Answer = append(r.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5},
				A:   net.ParseIP(address),
			})
		}
		_ = w.WriteMsg(r) // the client may be gone
	}
}

// readRequest reads a request's header.
func readRequest(conn net.Conn) {
	have, one := "", make([]byte, 1)
	for len(have) < 4 || have[len(have)-4:] != "\r\n\r\n" {
		if n, err := conn.Read(one); n == 0 || err != nil {
			return
		}
		have += string(one)
	}
}

// says answers a request, and then nothing more.
func says(text string) func(net.Conn) {
	return func(conn net.Conn) {
		readRequest(conn)
		_, _ = io.WriteString(conn, text)
		_, _ = io.Copy(io.Discard, conn) // until the client has what it wants
	}
}

// fullSegment is a whole answer that fills one segment of a link of 1500 bytes.
func fullSegment() string {
	const size, body = 1420, 1350
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1350\r\n"
	return fmt.Sprintf("%sX: %0*d\r\n\r\n%0*d", head, size-body-len(head)-len("X: \r\n\r\n"), 0, body, 0)
}
