package fetch

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/attempt"
)

const (
	// soon is when what has to wait for nothing has ended on any machine, however busy.
	soon = 10 * time.Second
	// hang is the time of a request that nobody answers: enough for the steps before.
	hang = 3 * time.Second
)

// bench is a pod that fetches from servers on another pod of its node.
type bench struct {
	testing.TB
	lab         *lab.Lab
	pod, server *lab.Pod
	ca          *authority
	client      *Client
}

func newBench(t testing.TB) *bench {
	t.Helper()
	l := lab.Start(t)
	pods := l.Pods(t, lab.PodSpec{Name: "client", IPv6: true}, lab.PodSpec{Name: "server", IPv6: true})
	b := &bench{TB: t, lab: l, pod: pods[0], server: pods[1], ca: newAuthority(t)}
	b.client = &Client{
		Prober: attempt.New(), Target: b.pod.Handle,
		Roots: func(context.Context) Roots { return b.ca.roots() },
	}
	return b
}

// run runs a subtest on the same pods.
func (b *bench) run(name string, test func(b *bench)) {
	b.Helper()
	b.TB.(*testing.T).Run(name, func(t *testing.T) {
		inner := *b
		inner.TB = t
		client := *b.client
		inner.client = &client
		test(&inner)
	})
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// together runs subtests side by side, as most of them wait. They share what counts
// as one parallel test.
func (b *bench) together(tests map[string]func(b *bench)) {
	b.Helper()
	var all sync.WaitGroup
	for name, test := range tests {
		all.Go(func() { b.run(name, test) })
	}
	all.Wait()
}

// silent is the address of a server that accepts and never answers.
func (b *bench) silent() string {
	b.Helper()
	return b.raw(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
}

// serve serves HTTP in the server's pod and returns "address:port".
func (b *bench) serve(handler http.HandlerFunc) string {
	b.Helper()
	at, err := b.server.Serve(b.server.IP.String()+":0", handler)
	b.must(err)
	return at.String()
}

// serveH2C serves HTTP/1.1 and, without TLS, HTTP/2.
func (b *bench) serveH2C(handler http.Handler) string {
	b.Helper()
	listener, err := b.server.Listen("tcp", b.server.IP.String()+":0")
	b.must(err)
	server := &http.Server{Handler: handler, Protocols: &http.Protocols{}, ReadHeaderTimeout: 10 * time.Second}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	b.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.Serve(listener) }() // ends with the listener
	return listener.Addr().String()
}

// raw lets answer speak on each connection to the address that it returns.
func (b *bench) raw(answer func(net.Conn)) string {
	b.Helper()
	listener, err := b.server.Listen("tcp", b.server.IP.String()+":0")
	b.must(err)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed at the end of the test
			}
			go func() {
				defer func() { _ = conn.Close() }()
				answer(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// says answers with a text and closes.
func (b *bench) says(text string) string {
	b.Helper()
	return b.raw(func(conn net.Conn) {
		readRequest(conn)
		_, _ = conn.Write([]byte(text))
		// What comes after the header (frames of HTTP/2) is read, too: closing before
		// would be a reset, which may overtake the answer.
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	})
}

// readRequest reads until the end of a header.
func readRequest(conn net.Conn) {
	have, one := "", make([]byte, 1)
	for len(have) < 64<<10 {
		if n, err := conn.Read(one); n == 0 || err != nil {
			return
		}
		have += string(one)
		if len(have) >= 4 && have[len(have)-4:] == "\r\n\r\n" {
			return
		}
	}
}

// secure serves HTTPS with config, which has no need of a certificate of its
// own.
func (b *bench) secure(config *tls.Config, handler http.HandlerFunc) string {
	b.Helper()
	if config.Certificates == nil {
		config.Certificates = []tls.Certificate{b.ca.issue(nil, b.server.IP.String(), "server.test")}
	}
	listener, err := b.server.Listen("tcp", b.server.IP.String()+":0")
	b.must(err)
	server := &http.Server{Handler: handler, TLSConfig: config, ReadHeaderTimeout: 10 * time.Second, ErrorLog: quietLog()}
	if config.NextProtos != nil {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // no HTTP/2
	}
	b.Cleanup(func() { _ = server.Close() })
	go func() { _ = server.ServeTLS(listener, "", "") }() // ends with the listener
	return listener.Addr().String()
}

// fetch carries out a request that needs no deadline.
func (b *bench) fetch(r Request) *fact.Fetch {
	b.Helper()
	return b.fetchWithin(r, 3*soon)
}

func (b *bench) fetchWithin(r Request, within time.Duration) *fact.Fetch {
	b.Helper()
	answer, err := b.do(r, within)
	b.must(err)
	return answer
}

// fetchErr is fetch for requests that are refused.
func (b *bench) fetchErr(r Request) (*fact.Fetch, error) {
	b.Helper()
	return b.do(r, 3*soon)
}

func (b *bench) do(r Request, within time.Duration) (*fact.Fetch, error) {
	b.Helper()
	if r.MaxBody == 0 {
		r.MaxBody = 1000
	}
	ctx, cancel := context.WithTimeout(b.Context(), within)
	defer cancel()
	answer, err := b.client.Do(ctx, r)
	if err == nil {
		diagnose.Connecting(answer)
		if !r.Details {
			answer.Compact()
		}
	}
	text, jsonErr := json.Marshal(answer)
	b.must(jsonErr)
	b.Logf("%s %v", text, err)
	return answer, err
}

func (b *bench) get(url string) *fact.Fetch {
	b.Helper()
	return b.fetch(Request{URL: url})
}

// expect compares what is the same for each failure.
func (b *bench) expect(f *fact.Fetch, outcome fact.Outcome, stage fact.Stage) {
	b.Helper()
	if f.Outcome != outcome || f.Stage != stage {
		b.Errorf("%s at %s, want %s at %s (%s)", f.Outcome, f.Stage, outcome, stage, f.Reason)
	}
}

// hosts is a lookup from a table.
func hosts(table map[string][]string) Lookup {
	return func(_ context.Context, name string) ([]netip.Addr, fact.Resolution, error) {
		var addrs []netip.Addr
		for _, text := range table[name] {
			addrs = append(addrs, netip.MustParseAddr(text))
		}
		outcome := "answered"
		if len(addrs) == 0 {
			outcome = "nxdomain"
		}
		return addrs, fact.Resolution{Name: name, Outcome: outcome, Addresses: table[name]}, nil
	}
}
