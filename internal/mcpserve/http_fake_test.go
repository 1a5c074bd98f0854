package mcpserve

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"

	"golang.org/x/sync/semaphore"

	"github.com/mark3labs/mcp-go/mcp"
)

const testSecret = "0123456789abcdef0123456789abcdef"

// site is an HTTP server on loopback, and a client of it.
type site struct {
	t      testing.TB
	http   *HTTP
	url    string
	client *http.Client
	cancel context.CancelFunc // what SIGTERM does
	ended  chan error         // what Serve returned
}

// serveHTTP starts a server that testSecret opens as "test", and a second token
// as "other".
func serveHTTP(t testing.TB, d Dispatcher, change func(*httpLimits)) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := HTTPConfig{Tokens: []Token{newTestToken(t, "test", testSecret), newTestToken(t, "other", "other-"+testSecret)}}
	return serveOn(t, l, d, config, change)
}

func newTestToken(t testing.TB, name, secret string) Token {
	t.Helper()
	token, err := NewToken(name, secret)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func serveOn(t testing.TB, l net.Listener, d Dispatcher, config HTTPConfig, change func(*httpLimits)) *site {
	t.Helper()
	limits := defaultHTTPLimits
	if change != nil {
		change(&limits)
	}
	address := l.Addr()
	transport := &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, address.Network(), address.String())
		},
	}
	s := &site{
		t: t, http: newHTTP(newServer(t, d), config, limits),
		url: "http://localhost" + Endpoint, client: &http.Client{Transport: transport}, ended: make(chan error, 1),
	}
	if tcp, ok := address.(*net.TCPAddr); ok {
		s.url = "http://" + tcp.String() + Endpoint
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() { s.ended <- s.http.Serve(ctx, l) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
	})
	return s
}

// isFree reports whether so much of a semaphore is not in use.
func isFree(s *semaphore.Weighted, n int64) bool {
	free := s.TryAcquire(n)
	if free {
		s.Release(n)
	}
	return free
}

// isIdle reports whether no request is being answered.
func (s *site) isIdle() bool {
	return isFree(s.http.slots.looks, s.http.limits.calls) && isFree(s.http.pending, s.http.limits.bytes)
}

// with returns the site for a subtest.
func (s *site) with(t testing.TB) *site {
	other := *s
	other.t = t
	return &other
}

// bodyless makes a request one of another method, without a body.
func bodyless(r *http.Request, method string) {
	r.Method, r.Body, r.ContentLength = method, nil, 0
}

// end waits for Serve to return.
func (s *site) end() error {
	s.t.Helper()
	return receive(s.t, "the end of Serve", s.ended)
}

// era is one of the two protocols as a client speaks it.
type era struct {
	name    string
	session string // id; empty in the stateless era
	token   string
}

// eras returns a client of each era. Each call makes new ones.
func (s *site) eras() []era {
	s.t.Helper()
	return []era{
		{name: "session era", session: s.open(testSecret), token: testSecret},
		{name: "stateless era", token: testSecret},
	}
}

const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`

// open opens a session.
func (s *site) open(secret string) (id string) {
	s.t.Helper()
	got := s.do(s.post(initialize, era{token: secret}))
	if got.status != http.StatusOK || got.header.Get(mcp.HeaderSessionID) == "" {
		s.t.Fatalf("initialize: %+v", got)
	}
	return got.header.Get(mcp.HeaderSessionID)
}

// post makes a request of a message.
func (s *site) post(body string, e era) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Authorization", "Bearer "+e.token)
	if e.session != "" {
		r.Header.Set(mcp.HeaderSessionID, e.session)
	}
	return r
}

const statelessMeta = `"_meta":{"progressToken":"x","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

// request makes a request of a method in an era.
func (s *site) request(e era, id, method, name, params string) *http.Request {
	s.t.Helper()
	member := ""
	if id != "" {
		member = `"id":` + id + ","
	}
	if params != "" {
		params += ","
	}
	if e.session != "" {
		return s.post(fmt.Sprintf(`{"jsonrpc":"2.0",%s"method":%q,"params":{%s"_meta":{"progressToken":"x"}}}`, member, method, params), e)
	}
	r := s.post(fmt.Sprintf(`{"jsonrpc":"2.0",%s"method":%q,"params":{%s%s}}`, member, method, params, statelessMeta), e)
	r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
	r.Header.Set("Mcp-Method", method)
	if name != "" {
		r.Header.Set("Mcp-Name", name)
	}
	return r
}

func (s *site) call(e era, id, tool, arguments string) *http.Request {
	s.t.Helper()
	return s.request(e, id, "tools/call", tool, fmt.Sprintf(`"name":%q,"arguments":%s`, tool, arguments))
}

func (s *site) cancelRequest(e era, id string) *http.Request {
	s.t.Helper()
	return s.request(e, "", "notifications/cancelled", "", `"requestId":`+id)
}

// answered is a complete HTTP answer.
type answered struct {
	status   int
	header   http.Header
	body     string
	messages []reply // that it holds
}

// do sends a request that must be answered.
func (s *site) do(r *http.Request) answered {
	s.t.Helper()
	got, err := s.try(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return got
}

func (s *site) try(r *http.Request) (answered, error) {
	response, err := s.client.Do(r)
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	got := answered{status: response.StatusCode, header: response.Header, body: string(body)}
	if err != nil {
		return got, err
	}
	texts := []string{got.body}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") {
		texts = nil
		for scan := bufio.NewScanner(strings.NewReader(got.body)); scan.Scan(); {
			if data, ok := strings.CutPrefix(scan.Text(), "data: "); ok {
				texts = append(texts, data)
			}
		}
	}
	for _, text := range texts {
		var m reply
		if text != "" && json.Unmarshal([]byte(text), &m) == nil {
			got.messages = append(got.messages, m)
		}
	}
	return got, nil
}

// one is the only message of an answer.
func (a answered) one(t testing.TB) reply {
	t.Helper()
	if len(a.messages) != 1 {
		t.Fatalf("%d messages: %d %s", len(a.messages), a.status, a.body)
	}
	return a.messages[0]
}

// pendingAnswer is an answer that is awaited.
type pendingAnswer struct {
	answered
	err error
}

// start sends a request and does not wait.
func (s *site) start(r *http.Request) <-chan pendingAnswer {
	c := make(chan pendingAnswer, 1)
	go func() {
		got, err := s.try(r)
		c <- pendingAnswer{got, err}
	}()
	return c
}

func awaitAnswer(t testing.TB, c <-chan pendingAnswer) pendingAnswer {
	t.Helper()
	return receive(t, "an answer", c)
}

func awaitStart(t testing.TB, d *fakeDispatcher) (tag string) {
	t.Helper()
	return receive(t, "the start of a call", d.started)
}

// eventually waits for what no event announces.
func eventually(t testing.TB, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// strictDispatcher ends calls at their deadline, as the real one does.
type strictDispatcher struct{ *fakeDispatcher }

func (d strictDispatcher) Call(ctx context.Context, c dispatch.Call) *dispatch.Envelope {
	var in struct {
		TimeoutMS int `json:"timeout_ms"`
	}
	_ = json.Unmarshal(c.Arguments, &in)
	ctx, cancel := context.WithDeadline(ctx, c.Received.Add(time.Duration(in.TimeoutMS)*time.Millisecond))
	defer cancel()
	return d.fakeDispatcher.Call(ctx, c)
}
