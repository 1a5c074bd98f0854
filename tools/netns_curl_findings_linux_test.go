package tools

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/journey"
)

// curlScene is a pod that asks a server on another pod of its node. Its
// container trusts an authority of the test's.
type curlScene struct {
	*testing.T
	bench       *testbench
	pod, server *lab.Pod
	ca          *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newCurlScene(t *testing.T) *curlScene {
	t.Helper()
	s := &curlScene{T: t, bench: newTestbench(t, nil)}
	s.ca, s.key = s.certificate(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, nil)
	bundle := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.ca.Raw})
	pods := s.bench.lab.Pods(t,
		lab.PodSpec{Name: "client", Namespace: "shop", Containers: []lab.ContainerSpec{{
			Name: "app", Files: lab.FileSpec{Extra: map[string]string{"etc/ssl/certs/ca-certificates.crt": string(bundle)}},
		}}},
		lab.PodSpec{Name: "server", Namespace: "shop"},
	)
	s.pod, s.server = pods[0], pods[1]
	return s
}

func (s *curlScene) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// certificate makes one that is valid for a day, by that authority or itself.
func (s *curlScene) certificate(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	s.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	s.must(err)
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-24*time.Hour), time.Now().Add(24*time.Hour)
	}
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	s.must(err)
	cert, err := x509.ParseCertificate(der)
	s.must(err)
	return cert, key
}

// http serves in the server's pod and returns the URL.
func (s *curlScene) http(handle http.HandlerFunc) string {
	s.Helper()
	at, err := s.server.Serve(":80", handle)
	s.must(err)
	return "http://" + at.String() + "/"
}

func hello(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }

// https serves with a certificate for the server's address, as changed.
func (s *curlScene) https(change func(*x509.Certificate), config *tls.Config) string {
	s.Helper()
	template := &x509.Certificate{IPAddresses: []net.IP{s.server.IP.AsSlice()}}
	if change != nil {
		change(template)
	}
	cert, key := s.certificate(template, s.ca, s.key)
	return s.serveTLS(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, config)
}

func (s *curlScene) serveTLS(cert tls.Certificate, config *tls.Config) string {
	s.Helper()
	listener, err := s.server.Listen("tcp", s.server.IP.String()+":443")
	s.must(err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	_ = server.Listener.Close()
	server.Listener, server.TLS = listener, config
	if config == nil {
		server.TLS = &tls.Config{}
	}
	server.TLS.Certificates = []tls.Certificate{cert}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	s.Cleanup(server.Close)
	return "https://" + listener.Addr().String() + "/"
}

// raw talks to each connection that comes, and returns the URL.
func (s *curlScene) raw(talk func(net.Conn)) string {
	s.Helper()
	listener, err := s.server.Listen("tcp", s.server.IP.String()+":80")
	s.must(err)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed at the end of the test
			}
			go func() {
				talk(conn)
				_ = conn.Close()
			}()
		}
	}()
	return "http://" + listener.Addr().String() + "/"
}

// filter adds a chain with one rule to a namespace: TCP with that port at that
// offset of its header (0 source, 2 destination) meets the verdict.
func (s *curlScene) filter(n *lab.Netns, hook *nftables.ChainHook, offset uint32, port uint16, verdict expr.Any) {
	s.Helper()
	s.rule(n, hook,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, port)},
		verdict,
	)
}

// filterPush drops the segments of port 80 that carry a whole write (PSH), so
// that connections are made and nothing can be sent on them.
func (s *curlScene) filterPush(n *lab.Netns) {
	s.Helper()
	const flags, push = 13, 8 // in the header of TCP
	s.rule(n, nftables.ChainHookOutput,
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: flags, Len: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{push}, Xor: []byte{0}},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{push}},
		drop,
	)
}

// rule adds a chain with one rule to a namespace.
func (s *curlScene) rule(n *lab.Netns, hook *nftables.ChainHook, rule ...expr.Any) {
	s.Helper()
	var conn *nftables.Conn
	s.must(n.Handle.Do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting())
		return err
	}))
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "fault"})
	chain := conn.AddChain(&nftables.Chain{Name: "fault", Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityFilter})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: rule})
	s.must(errors.Join(conn.Flush(), conn.CloseLasting()))
}

var (
	drop        = &expr.Verdict{Kind: expr.VerdictDrop}
	rejectReset = &expr.Reject{Type: unix.NFT_REJECT_TCP_RST}
	prohibit    = &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: 3} // NFT_REJECT_ICMPX_ADMIN_PROHIBITED
	unreachable = &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: 1} // NFT_REJECT_ICMPX_PORT_UNREACH
)

// far serves on a pod of another node and returns the URL.
func (s *curlScene) far() string {
	s.Helper()
	node, err := s.bench.lab.AddNode()
	s.must(err)
	at, err := s.bench.lab.Pod(s, lab.PodSpec{Name: "far", Node: node}).Serve(":80", http.HandlerFunc(hello))
	s.must(err)
	return "http://" + at.String() + "/"
}

// crowd makes the pod listen without accepting, and fills the queue.
func (s *curlScene) crowd() string {
	s.Helper()
	fd, err := s.pod.Handle.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	s.must(err)
	s.Cleanup(func() { _ = unix.Close(fd) })
	s.must(unix.Bind(fd, &unix.SockaddrInet4{Port: 8080}))
	s.must(unix.Listen(fd, 1))
	at := netip.AddrPortFrom(s.pod.IP, 8080).String()
	for range 10 {
		ctx, cancel := context.WithTimeout(s.Context(), time.Second)
		conn, err := s.pod.Handle.DialContext(ctx, "tcp", at)
		cancel()
		if err != nil {
			return "http://" + at + "/"
		}
		s.Cleanup(func() { _ = conn.Close() })
	}
	s.Fatal("the queue never fills")
	return ""
}

// readHeader reads a request up to its empty line.
func readHeader(conn net.Conn) {
	var text []byte
	b := make([]byte, 1)
	for !strings.HasSuffix(string(text), "\r\n\r\n") {
		if _, err := conn.Read(b); err != nil {
			return
		}
		text = append(text, b...)
	}
}

// TestCurlFindings: a fault in, its code out, and none where nothing is wrong.
func TestCurlFindings(t *testing.T) {
	t.Parallel()
	day := 24 * time.Hour
	for _, c := range []struct {
		title   string
		prepare func(*curlScene) (url string)
		args    []any
		outcome fact.Outcome
		codes   []string
	}{
		{"healthy", func(s *curlScene) string { return s.http(hello) }, nil, fact.OutcomeOK, nil},
		{"healthy, TLS", func(s *curlScene) string { return s.https(nil, nil) }, nil, fact.OutcomeOK, nil},
		{"healthy, another node", func(s *curlScene) string { return s.far() }, nil, fact.OutcomeOK, nil},

		{"pod drops what it sends", func(s *curlScene) string {
			s.filter(s.pod.Netns, nftables.ChainHookOutput, 2, 80, drop)
			return s.http(hello)
		}, nil, fact.OutcomeBlockedLocally, []string{"fw.pod_drop"}},
		{"pod drops what it gets", func(s *curlScene) string {
			s.filter(s.pod.Netns, nftables.ChainHookInput, 0, 80, drop)
			return s.http(hello)
		}, nil, fact.OutcomeBlockedLocally, []string{"fw.pod_drop"}},
		{"pod rejects", func(s *curlScene) string {
			s.filter(s.pod.Netns, nftables.ChainHookOutput, 2, 80, unreachable)
			return s.http(hello)
		}, nil, fact.OutcomeBlockedLocally, []string{"fw.pod_reject"}},
		{"pod rejects what it gets from itself", func(s *curlScene) string {
			s.filter(s.pod.Netns, nftables.ChainHookInput, 2, 80, unreachable)
			if _, err := s.pod.Serve(":80", http.HandlerFunc(hello)); err != nil {
				s.Fatal(err)
			}
			return "http://" + s.pod.IP.String()
		}, nil, fact.OutcomeBlockedLocally, []string{"fw.pod_reject"}},
		{"pod rejects with a reset", func(s *curlScene) string {
			s.filter(s.pod.Netns, nftables.ChainHookOutput, 2, 80, rejectReset)
			return s.http(hello)
		}, nil, fact.OutcomeBlockedLocally, []string{"fw.pod_reject"}},
		{"node drops", func(s *curlScene) string {
			s.filter(s.bench.lab.Node.Netns, nftables.ChainHookForward, 2, 80, drop)
			return s.far()
		}, nil, fact.OutcomeTimeout, []string{"fw.host_drop"}},
		{"node rejects", func(s *curlScene) string {
			s.filter(s.bench.lab.Node.Netns, nftables.ChainHookForward, 2, 80, prohibit)
			return s.far()
		}, nil, fact.OutcomeUnreachable, []string{"fw.host_reject"}},
		{"server drops", func(s *curlScene) string {
			s.filter(s.server.Netns, nftables.ChainHookInput, 2, 80, drop)
			return s.http(hello)
		}, nil, fact.OutcomeTimeout, []string{"fw.peer_drop"}},
		{"server rejects", func(s *curlScene) string {
			s.filter(s.server.Netns, nftables.ChainHookInput, 2, 80, prohibit)
			return s.http(hello)
		}, nil, fact.OutcomeUnreachable, []string{"tcp.refused"}},
		{"server rejects with a reset", func(s *curlScene) string {
			s.filter(s.server.Netns, nftables.ChainHookInput, 2, 80, rejectReset)
			return s.http(hello)
		}, nil, fact.OutcomeRefused, []string{"tcp.refused"}},
		{"no listener", func(s *curlScene) string { return "http://" + s.server.IP.String() + ":81/" }, nil, fact.OutcomeRefused, []string{"tcp.refused"}},
		{"no listener of its own", func(*curlScene) string { return "http://127.0.0.1:81/" }, nil, fact.OutcomeRefused, []string{"tcp.no_listener"}},
		{"listens on loopback only", func(s *curlScene) string {
			_, err := s.pod.Serve("127.0.0.1:80", http.HandlerFunc(hello))
			s.must(err)
			return "http://" + s.pod.IP.String() + "/"
		}, nil, fact.OutcomeRefused, []string{"tcp.listener_loopback"}},
		{"accept queue full", (*curlScene).crowd, nil, fact.OutcomeTimeout, []string{"tcp.accept_queue_full"}},
		{"ports exhausted", func(s *curlScene) string {
			url := s.http(hello)
			s.must(s.pod.SetSysctl("net/ipv4/ip_local_port_range", "40000 40001"))
			for range 2 {
				conn, err := s.pod.Handle.DialContext(s.Context(), "tcp", s.server.IP.String()+":80")
				s.must(err)
				s.Cleanup(func() { _ = conn.Close() })
			}
			return url
		}, nil, fact.OutcomeNoPort, []string{"tcp.port_exhaustion"}},
		{"loopback down", func(s *curlScene) string {
			s.must(lab.LoopbackDown(s.pod))
			return "http://127.0.0.1/"
		}, nil, fact.OutcomeTimeout, []string{"link.lo_down"}},
		{"nobody on the link", func(*curlScene) string { return "http://10.244.1.251/" }, nil, fact.OutcomeUnreachable, []string{"neigh.failed"}},

		{"reset after accept", func(s *curlScene) string {
			return s.raw(func(conn net.Conn) {
				readHeader(conn)
				_ = conn.(*net.TCPConn).SetLinger(0)
			})
		}, nil, fact.OutcomeReset, []string{"tcp.reset"}},
		{"closed after accept, as by PostgreSQL", func(s *curlScene) string { return s.raw(readHeader) }, nil, fact.OutcomeNotHTTP, nil},
		{"silence", func(s *curlScene) string {
			return s.raw(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		}, nil, fact.OutcomeTimeout, []string{"http.no_response"}},
		{"slow first byte", func(s *curlScene) string {
			return s.http(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(2100 * time.Millisecond)
				hello(w, r)
			})
		}, []any{"timeout_ms", 20_000}, fact.OutcomeOK, []string{"http.slow_first_byte"}},
		{"endless headers", func(s *curlScene) string {
			return s.raw(func(conn net.Conn) {
				readHeader(conn)
				_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
				for err == nil {
					_, err = io.WriteString(conn, "X-More: "+strings.Repeat("a", 1000)+"\r\n")
				}
			})
		}, []any{"timeout_ms", 20_000}, fact.OutcomeNotHTTP, []string{"http.not_http"}},
		{"body that stops", func(s *curlScene) string {
			return s.raw(func(conn net.Conn) {
				readHeader(conn)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
				_, _ = io.Copy(io.Discard, conn)
			})
		}, []any{"timeout_ms", 5000}, fact.OutcomeTimeout, []string{"http.body_stalled"}},
		{"503", func(s *curlScene) string {
			return s.http(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		}, nil, fact.OutcomeHTTPError, []string{"http.server_error"}},
		{"404", func(s *curlScene) string { return s.http(http.NotFound) }, nil, fact.OutcomeHTTPError, []string{"http.client_error"}},
		{"redirect loop", func(s *curlScene) string {
			return s.http(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusFound) })
		}, []any{"follow_redirects", 5}, fact.OutcomeOK, []string{"http.redirect_loop"}},

		{"plain HTTP on TLS", func(s *curlScene) string { return strings.Replace(s.http(hello), "http://", "https://", 1) }, nil, fact.OutcomeTLSFailed, []string{"tls.not_tls"}},
		{"TLS on plain HTTP", func(s *curlScene) string {
			// Go's own server answers such a client in plain HTTP; others do not.
			return s.raw(func(conn net.Conn) {
				readHeader(conn)
				_, _ = conn.Write([]byte{0x15, 3, 3, 0, 2, 2, 10}) // alert: unexpected message
			})
		}, nil, fact.OutcomeNotHTTP, []string{"http.tls_expected"}},
		{"expired", func(s *curlScene) string {
			return s.https(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(-3*day), time.Now().Add(-2*day) }, nil)
		}, nil, fact.OutcomeTLSFailed, []string{"tls.expired"}},
		{"not yet valid", func(s *curlScene) string {
			return s.https(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(2*day), time.Now().Add(3*day) }, nil)
		}, nil, fact.OutcomeTLSFailed, []string{"tls.not_yet_valid"}},
		{"wrong name", func(s *curlScene) string {
			return s.https(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.test"} }, nil)
		}, nil, fact.OutcomeTLSFailed, []string{"tls.name_mismatch"}},
		{"unknown authority", func(s *curlScene) string {
			cert, key := s.certificate(&x509.Certificate{IPAddresses: []net.IP{s.server.IP.AsSlice()}}, nil, nil)
			return s.serveTLS(tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}, nil)
		}, nil, fact.OutcomeTLSFailed, []string{"tls.unknown_ca"}},
		{"client certificate", func(s *curlScene) string { return s.https(nil, &tls.Config{ClientAuth: tls.RequireAnyClientCert}) },
			nil, fact.OutcomeTLSFailed, []string{"tls.client_cert_required"}},
		{"old TLS", func(s *curlScene) string {
			return s.https(nil, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		}, nil, fact.OutcomeTLSFailed, []string{"tls.handshake_failed"}},
		{"expired, insecure", func(s *curlScene) string {
			return s.https(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = time.Now().Add(-3*day), time.Now().Add(-2*day) }, nil)
		}, []any{"insecure", true}, fact.OutcomeOK, nil},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			s := newCurlScene(t)
			args := curlArgs(c.prepare(s), append([]any{"timeout_ms", 4000}, c.args...)...)
			answer, data := succeed[fact.Fetch](t, s.bench, "netns_curl", args)
			if got, want := codes(answer.Findings), seen(c.codes...); data.Outcome != c.outcome || !slices.Equal(got, want) {
				t.Errorf("%s %v, want %s %v: %s", data.Outcome, got, c.outcome, want, answer.Summary)
			}
			if data.TLS != nil && data.TLS.Error == nil && !data.TLS.Verified {
				t.Errorf("%+v", data.TLS)
			}
			if text, _ := json.Marshal(answer); len(text) > 4000 {
				t.Errorf("%d bytes: %s", len(text), text)
			}
			for _, n := range answer.Next {
				if next := s.bench.call(t, n.Tool, n.Arguments); next.Error != nil {
					t.Errorf("next %+v: %+v", n, next.Error)
				}
			}
		})
	}
}

// seen replaces codes that the journey of packets alone proves, where this kernel shows
// none to this user.
func seen(codes ...string) []string {
	if new(journey.Tracer).Check() == nil {
		return append([]string{}, codes...)
	}
	less := []string{}
	for _, code := range codes {
		if code == "fw.host_drop" || code == "fw.peer_drop" {
			code = "tcp.timeout"
		}
		less = append(less, code)
	}
	return less
}

// A call that is too short to tell why nobody answers blames nothing, and
// proposes first to wait longer.
func TestCurlTooShortToTell(t *testing.T) {
	t.Parallel()
	s := newCurlScene(t)
	s.filter(s.server.Netns, nftables.ChainHookInput, 2, 80, drop)
	answer, data := succeed[fact.Fetch](t, s.bench, "netns_curl", curlArgs(s.http(hello), "timeout_ms", 500))
	if data.Outcome != fact.OutcomeTimeout || len(answer.Findings) != 0 {
		t.Errorf("%s %+v", data.Outcome, answer.Findings)
	}
	if len(answer.Next) == 0 || answer.Next[0].Tool != "netns_curl" || answer.Next[0].Arguments["timeout_ms"] != 5000 || answer.Next[0].Arguments["pod"] != "client" {
		t.Fatalf("next is %+v", answer.Next)
	}
	longer, _ := succeed[fact.Fetch](t, s.bench, "netns_curl", answer.Next[0].Arguments)
	if got := codes(longer.Findings); !slices.Equal(got, seen("fw.peer_drop")) {
		t.Errorf("with more time: %v, %s", got, longer.Summary)
	}
}

// A segment that the other end of the veth has no room for is refused in the
// sender's own call, as a firewall's drop is.
func TestCurlSmallerMTUAtTheOtherEnd(t *testing.T) {
	t.Parallel()
	// With its headers a single segment of more than 1404 bytes, which are the MTU and
	// the room for a VLAN tag; what is longer than a segment passes, as it is cut later.
	header := map[string]any{"X-Long": strings.Repeat("a", 1250)}
	s := newCurlScene(t)
	url := s.http(hello)
	if _, data := succeed[fact.Fetch](t, s.bench, "netns_curl", curlArgs(url, "headers", header)); data.Outcome != fact.OutcomeOK {
		t.Fatalf("before the fault: %+v", data)
	}
	s.must(lab.ShrinkPeer(s.pod))
	answer, data := succeed[fact.Fetch](t, s.bench, "netns_curl", curlArgs(url, "headers", header, "timeout_ms", 3000))
	if got := codes(answer.Findings); data.Outcome != fact.OutcomeTimeout || !slices.Equal(got, []string{"link.mtu_mismatch", "http.no_response"}) {
		t.Errorf("%s %v: %s %+v", data.Outcome, got, answer.Summary, data.Conn)
	}
	if !strings.Contains(answer.Summary, "the other end of eth0 on the host, has mtu 1400 and drops longer packets") || strings.Contains(answer.Summary, "firewall") {
		t.Errorf("%s", answer.Summary)
	}
	if len(answer.Next) == 0 || answer.Next[0].Tool != "netns_ip_addr" {
		t.Errorf("next is %+v", answer.Next)
	}
}

// What the pod's own firewall drops on an established connection is not blamed on
// an MTU that is right.
func TestCurlFirewallOnEstablished(t *testing.T) {
	t.Parallel()
	for _, length := range []int{10, 1250} {
		s := newCurlScene(t)
		header := map[string]any{"X-Long": strings.Repeat("a", length)}
		url := s.raw(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		s.filterPush(s.pod.Netns)
		answer, data := succeed[fact.Fetch](t, s.bench, "netns_curl", curlArgs(url, "headers", header, "timeout_ms", 3000))
		if got := codes(answer.Findings); data.Outcome != fact.OutcomeTimeout || !slices.Equal(got, []string{"http.no_response"}) {
			t.Errorf("%s %v: %s %+v", data.Outcome, got, answer.Summary, data.Conn)
		}
		if suspects := strings.Contains(answer.Summary, "smaller MTU"); !strings.Contains(answer.Summary, "firewall or traffic control drops") || suspects != (length > 1000) {
			t.Errorf("%d bytes: %s", length, answer.Summary)
		}
		if len(answer.Next) == 0 || answer.Next[0].Tool != "netns_ip_addr" {
			t.Errorf("next is %+v", answer.Next)
		}
	}
}

// Where a server does not speak HTTP/2, the first step is to speak HTTP/1.1.
func TestCurlHTTP1ToWhomHTTP2WasSpoken(t *testing.T) {
	t.Parallel()
	s := newCurlScene(t)
	answer, _ := succeed[fact.Fetch](t, s.bench, "netns_curl", curlArgs(s.http(hello), "http_version", "h2c"))
	if got := codes(answer.Findings); !slices.Equal(got, []string{"http.not_http"}) || !strings.Contains(answer.Summary, "speaks HTTP/1.1, not h2c") {
		t.Errorf("%v, %s", got, answer.Summary)
	}
	if len(answer.Next) == 0 || answer.Next[0].Arguments["http_version"] != "1.1" {
		t.Fatalf("next is %+v", answer.Next)
	}
	if _, data := succeed[fact.Fetch](t, s.bench, "netns_curl", answer.Next[0].Arguments); data.Outcome != fact.OutcomeOK {
		t.Errorf("%+v", data)
	}
}

// Where a port speaks plain HTTP, the first step is to speak it too.
func TestCurlPlainHTTPOnTLS(t *testing.T) {
	t.Parallel()
	s := newCurlScene(t)
	plain := s.http(hello)
	_, err := s.server.Serve(":443", http.HandlerFunc(hello))
	s.must(err)
	bare := "https://" + s.server.IP.String() + "/x?y=z"
	for from, want := range map[string]string{
		strings.Replace(plain, "http://", "https://", 1): plain,
		bare: "http://" + s.server.IP.String() + ":443/x?y=z",
	} {
		answer, _ := succeed[fact.Fetch](t, s.bench, "netns_curl", curlArgs(from))
		if len(answer.Next) == 0 || answer.Next[0].Arguments["url"] != want {
			t.Errorf("%s: next is %+v, want first %s", from, answer.Next, want)
			continue
		}
		if _, data := succeed[fact.Fetch](t, s.bench, "netns_curl", answer.Next[0].Arguments); data.Outcome != fact.OutcomeOK {
			t.Errorf("%s: %+v", want, data)
		}
	}
}
