package lab

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// serverFaults are those of servers: their sockets, and HTTP.
func serverFaults() []Fault {
	return []Fault{
		{Name: "nobody listens", Serve: func(s *Scene) string { s.Serve(Hello); return s.url("http", 81) },
			Code: "tcp.no_listener", Beside: []string{"tcp.refused"}, Says: []Answer{curl("refused", "tcp.refused")}},
		{Name: "nobody listens in the pod itself", Serve: func(*Scene) string { return "http://127.0.0.1:81/" },
			Code: "tcp.no_listener", Says: []Answer{curl("refused", "tcp.no_listener")}},
		{Name: "server listens on loopback only", Serve: func(s *Scene) string { s.Must(loopbackServer(s.Server, ":80")); return s.url("http", 80) },
			Code: "tcp.listener_loopback", Beside: []string{"tcp.refused"}, Says: []Answer{curl("refused", "tcp.refused")}},
		{Name: "pod itself listens on loopback only", Serve: func(s *Scene) string { return s.itself("127.0.0.1:80") },
			Code: "tcp.listener_loopback", Says: []Answer{curl("refused", "tcp.listener_loopback")}},
		{Name: "accept queue full", Serve: func(s *Scene) string { s.Server.FillAcceptQueue(s, 80); return s.url("http", 80) },
			Code: "tcp.accept_queue_full", Beside: []string{"tcp.timeout"}, Journey: true, Says: []Answer{curl("timeout", "tcp.accept_queue_full")}},
		{Name: "accept queue of the pod itself full", Serve: func(s *Scene) string { return "http://" + s.Pod.FillAcceptQueue(s, 8080).String() + "/" },
			Code: "tcp.accept_queue_full", Says: []Answer{curl("timeout", "tcp.accept_queue_full")}},
		{Name: "no local port left", Serve: func(s *Scene) string {
			defer func() { s.Pod.TakePorts(s, s.Server.IP.String()+":80") }()
			return s.Serve(Hello)
		}, Code: "tcp.port_exhaustion", Says: []Answer{curl("no_port", "tcp.port_exhaustion")}},
		{Name: "reset after accept", Serve: func(s *Scene) string { return s.Speak(reset) }, Code: "tcp.reset",
			Says: []Answer{curl("reset", "tcp.reset")}},
		{Name: "silent after accept", Serve: func(s *Scene) string { return s.Speak(says("")) }, Code: "http.no_response",
			Says: []Answer{curl("timeout", "http.no_response")}},
		{Name: "slow first byte", Serve: func(s *Scene) string { return s.Serve(slow) }, Code: "http.slow_first_byte",
			Says: []Answer{curl("ok", "http.slow_first_byte").with("timeout_ms", 20_000)}},
		{Name: "body that stops", Serve: func(s *Scene) string {
			return s.Speak(says("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
		}, Code: "http.body_stalled", Says: []Answer{curl("timeout", "http.body_stalled")}},
		{Name: "headers without end", Serve: func(s *Scene) string { return s.Speak(endless) }, Code: "http.not_http",
			Says: []Answer{curl("not_http", "http.not_http").with("timeout_ms", 20_000)}},
		{Name: "status 503", Serve: func(s *Scene) string { return s.Serve(unavailable) }, Code: "http.server_error",
			Says: []Answer{curl("http_error", "http.server_error")}},
		{Name: "status 404", Serve: func(s *Scene) string { return s.Serve(http.NotFound) }, Code: "http.client_error",
			Says: []Answer{curl("http_error", "http.client_error")}},
		{Name: "redirect loop", Serve: func(s *Scene) string { return s.Serve(loop) }, Code: "http.redirect_loop",
			Says: []Answer{curl("ok", "http.redirect_loop").with("follow_redirects", 5)}},
		{Name: "proxy variable leads nowhere", Pod: proxied, Code: "http.proxy_env", Beside: []string{"neigh.failed"}},
	}
}

// tlsFaults are those of TLS.
func tlsFaults() []Fault {
	certified := func(change func(*x509.Certificate), names ...string) func(*Scene) string {
		return func(s *Scene) string { return s.secure(s.ca, change, names...) }
	}
	demanding := func(change func(*tls.Config)) func(*Scene) string {
		return func(s *Scene) string {
			cert, err := s.ca.Issue(nil, s.Server.IP.String())
			s.Must(err)
			config := &tls.Config{Certificates: []tls.Certificate{cert}}
			change(config)
			return s.serveTLS(config)
		}
	}
	return []Fault{
		{Name: "plain HTTP on the TLS port", Serve: func(s *Scene) string { s.Serve(Hello); return s.url("https", 80) },
			Code: "tls.not_tls", Says: []Answer{curl("tls_failed", "tls.not_tls")}},
		{Name: "TLS on the plain port", Serve: func(s *Scene) string { s.secure(s.ca, nil); return s.url("http", 443) },
			Code: "http.tls_expected", Says: []Answer{curl("http_error", "http.tls_expected")}},
		// Go's own server answers such a client in plain HTTP; others do not.
		{Name: "TLS on the plain port, told by an alert", Serve: func(s *Scene) string { return s.Speak(alert) },
			Code: "http.tls_expected", Says: []Answer{curl("not_http", "http.tls_expected")}},
		{Name: "certificate expired", Pod: trusting, Serve: certified(valid(-72 * time.Hour)), Code: "tls.expired",
			Says: []Answer{curl("tls_failed", "tls.expired"), curl("ok").with("insecure", true)}},
		{Name: "certificate not yet valid", Pod: trusting, Serve: certified(valid(24 * time.Hour)), Code: "tls.not_yet_valid",
			Says: []Answer{curl("tls_failed", "tls.not_yet_valid")}},
		{Name: "certificate for another name", Pod: trusting, Serve: certified(nil, "other.test"), Code: "tls.name_mismatch",
			Says: []Answer{curl("tls_failed", "tls.name_mismatch")}},
		{Name: "unknown authority", Pod: trusting, Serve: func(s *Scene) string {
			stranger, err := NewAuthority()
			s.Must(err)
			return s.secure(stranger, nil)
		}, Code: "tls.unknown_ca", Says: []Answer{curl("tls_failed", "tls.unknown_ca")}},
		{Name: "client certificate required", Pod: trusting, Serve: demanding(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }),
			Code: "tls.client_cert_required", Says: []Answer{curl("tls_failed", "tls.client_cert_required")}},
		{Name: "old TLS only", Pod: trusting, Serve: demanding(func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		}), Code: "tls.handshake_failed", Says: []Answer{curl("tls_failed", "tls.handshake_failed")}},
	}
}

// valid makes a certificate valid for a day from then on.
func valid(from time.Duration) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.NotBefore = time.Now().Add(from)
		c.NotAfter = c.NotBefore.Add(24 * time.Hour)
	}
}

// loopbackServer serves on loopback of the pod alone.
func loopbackServer(p *Pod, port string) error {
	_, err := p.Serve("127.0.0.1"+port, http.HandlerFunc(Hello))
	return err
}

func redirecting(s *Scene) string {
	return s.Serve(func(out http.ResponseWriter, r *http.Request) {
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
	Hello(out, r)
}

func reset(conn net.Conn) {
	readRequest(conn)
	_ = conn.(*net.TCPConn).SetLinger(0)
}

func endless(conn net.Conn) {
	readRequest(conn)
	_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
	for err == nil {
		_, err = io.WriteString(conn, "X-More: "+strings.Repeat("a", 1000)+"\r\n")
	}
}

func alert(conn net.Conn) {
	readRequest(conn)
	_, _ = conn.Write([]byte{0x15, 3, 3, 0, 2, 2, 10}) // unexpected message
}

func proxied(_ *Scene, s *PodSpec) {
	s.Containers[0].Env = []string{"HTTP_PROXY=http://10.244.1.252:3128"}
}
