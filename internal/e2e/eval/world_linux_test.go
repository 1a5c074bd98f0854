//go:build e2e

package eval

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// world is one scenario's cluster: a node with the pod that a user complains
// about and the server that it should reach.
type world struct {
	*testing.T
	lab    *lab.Lab
	ca     *lab.Authority
	pod    *lab.Pod // shop/cart-0
	server *lab.Pod // shop/api-0
}

// newWorld makes the world of one scenario. number tells its addresses from
// those of the others, since a search for an address looks at all networks of
// the machine.
func newWorld(t *testing.T, number int, s *scenario) *world {
	t.Helper()
	w := &world{T: t, lab: lab.Start(t)}
	var err error
	w.ca, err = lab.NewAuthority()
	w.must(err)
	ip := func(i int) netip.Addr { return ip4(60 + 2*number + i) }
	client := lab.PodSpec{Name: "cart-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}, IP: ip(0)}
	if s.pod != nil {
		s.pod(w, &client)
	}
	server := lab.PodSpec{Name: "api-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}, IP: ip(1), IPv6: client.IPv6}
	if s.far {
		server.Node, err = w.lab.AddNode()
		w.must(err)
		server.IP = netip.Addr{}
	}
	pods := w.lab.Pods(t, client, server)
	w.pod, w.server = pods[0], pods[1]
	return w
}

// ip4 is an address of the first node's bridge.
func ip4(last int) netip.Addr { return netip.AddrFrom4([4]byte{10, 244, 1, byte(last)}) }

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// start starts the program for the world's node, as a client does.
func (w *world) start() *mcpclient.Client {
	w.Helper()
	engine, err := w.lab.Node.Engine()
	w.must(err)
	path := os.Getenv("NSENTER_MCP")
	if path == "" {
		path, err = filepath.Abs("../../../bin/nsenter-mcp")
		w.must(err)
	}
	ctx, cancel := context.WithTimeout(w.Context(), time.Minute)
	defer cancel()
	cmd := exec.Command(path, "--docker-host", engine.Host(), "--host-netns", w.lab.Node.Path, "--log-level", "warn")
	client, err := mcpclient.Start(ctx, cmd)
	w.must(err)
	w.Cleanup(func() {
		if err := client.Close(); err != nil {
			w.Errorf("end of the server: %v", err)
		}
	})
	return client
}

// serve serves HTTP on port 80 of the server and returns its URL.
func (w *world) serve(handler http.HandlerFunc) string {
	w.Helper()
	_, err := w.server.Serve(":80", handler)
	w.must(err)
	return w.url("http", 80)
}

// secure serves HTTPS on port 443 of the server with a certificate of by.
func (w *world) secure(by *lab.Authority, change func(*x509.Certificate), names ...string) string {
	w.Helper()
	if names == nil {
		names = []string{w.server.IP.String()}
	}
	cert, err := by.Issue(change, names...)
	w.must(err)
	_, err = w.server.ServeTLS(":443", &tls.Config{Certificates: []tls.Certificate{cert}}, http.HandlerFunc(hello))
	w.must(err)
	return w.url("https", 443)
}

// speak lets handle speak on each connection to port 80 of the server.
func (w *world) speak(handle func(net.Conn)) string {
	w.Helper()
	_, err := w.server.ServeConns(":80", handle)
	w.must(err)
	return w.url("http", 80)
}

// url is an address of the server, without the port where the scheme says it.
func (w *world) url(scheme string, port int) string {
	host := w.server.IP.String()
	if scheme == "http" && port != 80 || scheme == "https" && port != 443 {
		host += ":" + strconv.Itoa(port)
	}
	return scheme + "://" + host + "/"
}

// fillQueue listens on port 80 of the server, never accepts, and fills the
// queue.
func (w *world) fillQueue() string {
	w.Helper()
	fd, err := w.server.Handle.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	w.must(err)
	w.Cleanup(func() { _ = unix.Close(fd) })
	w.must(unix.Bind(fd, &unix.SockaddrInet4{Port: 80}))
	w.must(unix.Listen(fd, 1))
	for range 10 {
		ctx, cancel := context.WithTimeout(w.Context(), time.Second)
		conn, err := w.server.Handle.DialContext(ctx, "tcp", w.server.IP.String()+":80")
		cancel()
		if err != nil {
			return w.url("http", 80)
		}
		w.Cleanup(func() { _ = conn.Close() })
	}
	w.Fatal("the accept queue never fills")
	return ""
}

// takePorts leaves the pod no local port for connections to the server.
func (w *world) takePorts() {
	w.Helper()
	w.must(w.pod.SetSysctl("net/ipv4/ip_local_port_range", "40000 40001"))
	for range 2 {
		conn, err := w.pod.Handle.DialContext(w.Context(), "tcp", w.server.IP.String()+":80")
		w.must(err)
		w.Cleanup(func() { _ = conn.Close() })
	}
}

// service makes a service address with these backends.
func (w *world) service(backends ...netip.Addr) string {
	w.Helper()
	s, err := w.lab.AddService(lab.ServiceSpec{Name: "api", Namespace: "shop", Port: 80, Backends: backends})
	w.must(err)
	return s.IP.String()
}

// dns serves the cluster's names on 10.96.0.10, which pods have in their
// resolv.conf. Over TCP it answers only where tcp says so.
func (w *world) dns(tcp bool, handler dns.HandlerFunc) {
	w.Helper()
	pod := w.lab.Pod(w, lab.PodSpec{Name: "coredns-0", Namespace: "kube-system"})
	packets, err := pod.ListenPacket("udp", pod.IP.String()+":53")
	w.must(err)
	servers := []*dns.Server{{PacketConn: packets, Handler: handler}}
	protocols := []string{"udp"}
	if tcp {
		listener, err := pod.Listen("tcp", pod.IP.String()+":53")
		w.must(err)
		servers = append(servers, &dns.Server{Listener: listener, Handler: handler})
		protocols = append(protocols, "tcp")
	}
	for _, s := range servers {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go func() { _ = s.ActivateAndServe() }() // ends at Shutdown
		<-started
		w.Cleanup(func() { _ = s.Shutdown() })
	}
	for _, p := range protocols {
		_, err := w.lab.AddService(lab.ServiceSpec{
			Name: "kube-dns-" + p, Namespace: "kube-system", IP: netip.MustParseAddr(clusterDNS),
			Protocol: p, Port: 53, Backends: []netip.Addr{pod.IP},
		})
		w.must(err)
	}
}

const clusterDNS = "10.96.0.10"

// names answers with A records; other names do not exist.
func names(table map[string]string) dns.HandlerFunc {
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

// silence answers nothing.
func silence(dns.ResponseWriter, *dns.Msg) {}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello\n") }

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

// ask is the call that a user's first words suggest.
func ask(tool string, arguments ...string) func(*world, string) call {
	return func(_ *world, url string) call {
		c := call{Tool: tool, Arguments: map[string]any{"pod": "cart-0", "namespace": "shop"}}
		for i := 0; i < len(arguments); i += 2 {
			c.Arguments[arguments[i]] = arguments[i+1]
		}
		if tool == "netns_curl" && c.Arguments["url"] == nil {
			c.Arguments["url"] = url
		}
		return c
	}
}

// fullSegment is a whole answer that fills one segment of a link of 1500 bytes.
func fullSegment(conn net.Conn) {
	readRequest(conn)
	const size = 1420
	head := "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1350\r\n"
	body := 1350
	filler := size - body - len(head) - len("X: \r\n\r\n")
	_, _ = fmt.Fprintf(conn, "%sX: %0*d\r\n\r\n%0*d", head, filler, 0, body, 0)
	_, _ = io.Copy(io.Discard, conn) // until the client has what it wants
}
