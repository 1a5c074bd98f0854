//go:build e2e

package eval

import (
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"nsenter-mcp/internal/lab"
)

// scenario is a fault, or none, and what a walk has to find.
type scenario struct {
	name string
	// pod changes the pod that is complained about before it is made.
	pod func(*world, *lab.PodSpec)
	far bool // the server is on another node
	// serve makes the other side, and returns the URL that the pod cannot get.
	serve func(*world) string
	fault func(*lab.Pod) error // what is broken in the pod or its node, nil for nothing
	// ask is the first call; asking for the URL is the default.
	ask func(*world, string) call

	code string // the finding that names the cause, "" for a healthy control
	// beside are findings that come before it and are true: symptoms of the cause.
	beside []string
	// node is the outcome that the same request from the node has to have where
	// no tool of today proves the cause, and missing what would prove it. Then code
	// is a symptom, and the walk has to tell the side.
	node, missing string
}

func scenarios() []scenario {
	return []scenario{
		// Healthy controls.
		{name: "healthy: pod to pod", serve: web},
		{name: "healthy: by name, service with two backends", serve: byService},
		{name: "healthy: routed pod (Calico), its interfaces", pod: calico, serve: web, ask: ask("netns_ip_addr")},
		{name: "healthy: HTTPS with a private authority", pod: trusting, serve: func(w *world) string { return w.secure(w.ca, nil) }},
		{name: "healthy: redirect, IPv6 beside IPv4", pod: dualStack, serve: redirecting},
		{name: "healthy network: the container crashes", pod: crashing, serve: web, ask: ask("resolve_pod_pid")},
		{name: "healthy: pod of the node's network", pod: onHost, serve: web},
		{name: "healthy: server on another node", far: true, serve: web},

		// The link.
		{name: "node's end of the veth down", serve: web, fault: lab.PeerDown, code: "link.no_carrier"},
		{name: "the same, and the container crashes", pod: crashing, serve: web, fault: lab.PeerDown, ask: ask("resolve_pod_pid"), code: "link.no_carrier"},
		{name: "veth on no bridge", serve: web, fault: lab.Detach, code: "link.detached"},
		{name: "the same, seen by a name", serve: byService, fault: lab.Detach, ask: ask("netns_dns_lookup", "name", "api"),
			code: "link.detached"},
		{name: "eth0 down", serve: web, fault: lab.LinkDown, code: "link.down"},
		{name: "eth0 gone", serve: web, fault: lab.LinkMissing, code: "link.missing"},
		{name: "eth0 without address", serve: web, fault: lab.RemoveAddress, code: "addr.none"},
		{name: "lo down", serve: sidecar, fault: lab.LoopbackDown, code: "link.lo_down"},
		{name: "MTU of the veth's ends differs", serve: func(w *world) string { return w.speak(fullSegment) }, fault: lab.ShrinkPeer,
			code: "link.mtu_mismatch", beside: []string{"tcp.timeout", "http.no_response", "http.body_stalled"}},

		// Routes and neighbours.
		{name: "no default route", far: true, serve: web, fault: lab.RemoveDefaultRoute, code: "route.no_default"},
		{name: "default route is a blackhole", far: true, serve: web, fault: lab.BlackholeDefaultRoute, code: "route.blackhole"},
		{name: "gateway does not answer ARP", far: true, serve: web, fault: lab.WrongGateway, code: "neigh.gateway_failed"},

		// Firewalls.
		{name: "pod drops outgoing", serve: web, fault: lab.DropOutgoing, code: "fw.pod_drop"},
		{name: "pod rejects outgoing", serve: web, fault: lab.RejectOutgoing, code: "fw.pod_reject"},
		{name: "server's pod drops incoming", serve: guarded, code: "fw.peer_drop", beside: []string{"tcp.timeout"}},
		{name: "node rejects what it forwards", far: true, serve: web, fault: lab.RejectForwarded, code: "fw.host_reject"},
		{name: "node drops what it forwards", far: true, serve: web, fault: lab.DropForwarded, code: "fw.host_drop"},
		{name: "service without endpoints", serve: func(w *world) string { return "http://" + w.service() + "/" },
			code: "fw.host_reject", beside: []string{"tcp.refused"}, node: "blocked_locally", missing: "its endpoints: the Kubernetes API"},
		{name: "pod drops its DNS queries", serve: byService, fault: dropDNS, code: "dns.nameserver_unreachable"},
		{name: "node drops DNS from pods", serve: byService, fault: forwardNoDNS, code: "dns.nameserver_timeout",
			node: "answered", missing: "the rule: netns_firewall"},

		// Servers.
		{name: "nobody listens", serve: func(w *world) string { w.serve(hello); return w.url("http", 81) },
			code: "tcp.no_listener", beside: []string{"tcp.refused"}},
		{name: "server listens on loopback only", serve: loopbackOnly, code: "tcp.listener_loopback", beside: []string{"tcp.refused"}},
		{name: "accept queue full", serve: (*world).fillQueue, code: "tcp.accept_queue_full", beside: []string{"tcp.timeout"}},
		{name: "no local port left", serve: func(w *world) string { defer w.takePorts(); return w.serve(hello) }, code: "tcp.port_exhaustion"},
		{name: "reset after accept", serve: func(w *world) string { return w.speak(reset) }, code: "tcp.reset"},
		{name: "silent after accept", serve: func(w *world) string { return w.speak(mute) }, code: "http.no_response"},
		{name: "slow first byte", serve: func(w *world) string { return w.serve(slow) }, code: "http.slow_first_byte"},
		{name: "status 503", serve: func(w *world) string { return w.serve(unavailable) }, code: "http.server_error"},
		{name: "redirect loop", serve: func(w *world) string { return w.serve(loop) }, code: "http.redirect_loop"},
		{name: "proxy variable leads nowhere", pod: proxied, serve: web, code: "http.proxy_env", beside: []string{"neigh.failed"}},

		// TLS.
		{name: "plain HTTP on the TLS port", serve: func(w *world) string { w.serve(hello); return w.url("https", 80) },
			code: "tls.not_tls"},
		{name: "TLS on the plain port", serve: func(w *world) string { w.secure(w.ca, nil); return w.url("http", 443) },
			code: "http.tls_expected"},
		{name: "certificate expired", pod: trusting, serve: func(w *world) string { return w.secure(w.ca, expired) }, code: "tls.expired"},
		{name: "certificate not yet valid", pod: trusting, serve: func(w *world) string { return w.secure(w.ca, tomorrow) }, code: "tls.not_yet_valid"},
		{name: "certificate for another name", pod: trusting, serve: func(w *world) string { return w.secure(w.ca, nil, "other.test") }, code: "tls.name_mismatch"},
		{name: "unknown authority", pod: trusting, serve: func(w *world) string { return w.secure(w.stranger(), nil) }, code: "tls.unknown_ca"},

		// Names.
		{name: "nameserver silent", serve: func(w *world) string { w.dns(true, silence); return "http://api/" }, code: "dns.nameserver_timeout"},
		{name: "nobody listens at the nameserver", pod: resolver("nameserver 10.244.1.1"), serve: nameless, code: "dns.nameserver_refused"},
		{name: "first of two nameservers dead", pod: resolver("search shop.svc.cluster.local\nnameserver 10.96.0.11\nnameserver " + clusterDNS),
			serve: byService, code: "dns.nameserver_timeout", beside: []string{"dns.slow"}},
		{name: "no such name", serve: func(w *world) string { byService(w); return "http://apy/" }, code: "dns.nxdomain"},
		{name: "search list lacks the domain", pod: resolver("search cluster.local\nnameserver " + clusterDNS), serve: byService,
			code: "dns.search_missing", beside: []string{"dns.nxdomain"}},
		{name: "AAAA never answered", serve: onlyA, code: "dns.aaaa_timeout", beside: []string{"dns.slow"}},
		{name: "answer cut short, no TCP", serve: cutShort, code: "dns.tcp_unavailable"},
		{name: "hosts file has an old address", pod: oldHosts, serve: byService, code: "dns.hosts_override", beside: []string{"tcp.timeout", "neigh.failed"}},
	}
}

func web(w *world) string { return w.serve(hello) }

// byService serves behind a service with two backends, by the name "api".
func byService(w *world) string {
	second := w.lab.Pod(w, lab.PodSpec{Name: "api-1", Namespace: "shop"})
	_, err := second.Serve(":80", http.HandlerFunc(hello))
	w.must(err)
	w.serve(hello)
	w.dns(true, names(map[string]string{"api.shop.svc.cluster.local.": w.service(w.server.IP, second.IP)}))
	return "http://api/"
}

func nameless(*world) string { return "http://api/" }

func redirecting(w *world) string {
	return w.serve(func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(out, r, "/home", http.StatusFound)
		}
	})
}

func loop(out http.ResponseWriter, r *http.Request) { http.Redirect(out, r, "/", http.StatusFound) }

func unavailable(out http.ResponseWriter, _ *http.Request) {
	out.WriteHeader(http.StatusServiceUnavailable)
}

// slow answers as an application does that waits for something.
func slow(out http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(2500 * time.Millisecond):
	case <-r.Context().Done():
	}
	hello(out, r)
}

func reset(conn net.Conn) {
	readRequest(conn)
	_ = conn.(*net.TCPConn).SetLinger(0)
}

// dropDNS is a firewall of the pod's own.
func dropDNS(p *lab.Pod) error {
	return p.Firewall(lab.FirewallRule{Hook: lab.Outgoing, Protocol: "udp", Port: 53})
}

// forwardNoDNS is what a network policy that forgets DNS comes to.
func forwardNoDNS(p *lab.Pod) error {
	return p.Node.Firewall(lab.FirewallRule{Hook: lab.Forwarded, Protocol: "udp", Port: 53})
}

func mute(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// guarded serves behind a firewall of the server's own.
func guarded(w *world) string {
	w.must(w.server.Firewall(lab.FirewallRule{Hook: lab.Incoming, Port: 80}))
	return w.serve(hello)
}

func loopbackOnly(w *world) string {
	_, err := w.server.Serve("127.0.0.1:80", http.HandlerFunc(hello))
	w.must(err)
	return w.url("http", 80)
}

// sidecar serves in the pod itself.
func sidecar(w *world) string {
	_, err := w.pod.Serve("127.0.0.1:9000", http.HandlerFunc(hello))
	w.must(err)
	return "http://127.0.0.1:9000/"
}

func onlyA(w *world) string {
	w.serve(hello)
	answer := names(map[string]string{"api.shop.svc.cluster.local.": w.server.IP.String()})
	w.dns(true, func(out dns.ResponseWriter, q *dns.Msg) {
		if q.Question[0].Qtype != dns.TypeAAAA {
			answer(out, q)
		}
	})
	return "http://api/"
}

// cutShort says over UDP that the answer does not fit, and does not answer over
// TCP.
func cutShort(w *world) string {
	w.dns(false, func(out dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		r.RecursionAvailable, r.Truncated = true, true
		_ = out.WriteMsg(r)
	})
	return "http://api/"
}

func (w *world) stranger() *lab.Authority {
	w.Helper()
	other, err := lab.NewAuthority()
	w.must(err)
	return other
}

func expired(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(-72*time.Hour), time.Now().Add(-48*time.Hour)
}

func tomorrow(c *x509.Certificate) {
	c.NotBefore, c.NotAfter = time.Now().Add(24*time.Hour), time.Now().Add(48*time.Hour)
}

func calico(_ *world, s *lab.PodSpec) { s.Style, s.IP = lab.Calico, netip.Addr{} }

func onHost(_ *world, s *lab.PodSpec) { s.Style, s.IP = lab.HostNetwork, netip.Addr{} }

func dualStack(_ *world, s *lab.PodSpec) { s.IPv6 = true }

// crashing: the application ends again and again; the pause process stays.
func crashing(_ *world, s *lab.PodSpec) {
	s.Containers = []lab.ContainerSpec{{Name: "app", State: lab.Exited, ExitCode: 1, Restarts: 7}}
}

// trusting: the pod's CA bundle holds the world's authority.
func trusting(w *world, s *lab.PodSpec) {
	s.Containers[0].Files.Extra = map[string]string{"etc/ssl/certs/ca-certificates.crt": w.ca.PEM()}
}

func proxied(_ *world, s *lab.PodSpec) {
	s.Containers[0].Env = []string{"HTTP_PROXY=http://10.244.1.252:3128"}
}

func resolver(text string) func(*world, *lab.PodSpec) {
	return func(_ *world, s *lab.PodSpec) { s.Files.ResolvConf = text + "\n" }
}

func oldHosts(_ *world, s *lab.PodSpec) { s.Files.Hosts = "127.0.0.1 localhost\n10.244.1.252 api\n" }
