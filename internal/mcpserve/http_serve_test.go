package mcpserve

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
)

// gatedDispatcher has one tool more, gate, that answers when it is told to.
type gatedDispatcher struct {
	*fakeDispatcher
	gate chan struct{}
}

func (d gatedDispatcher) Call(ctx context.Context, c dispatch.Call) *dispatch.Envelope {
	if c.Tool != "fail" { // which has nothing to do here
		return d.fakeDispatcher.Call(ctx, c)
	}
	d.started <- "gate"
	select {
	case <-d.gate:
		return fakeAnswer("done in time", nil)
	case <-ctx.Done():
		return fakeError(dispatch.CodeCanceled, "canceled", "")
	}
}

// A server that ends lets running calls finish and accepts no others.
func TestHTTPDrains(t *testing.T) {
	t.Parallel()
	d := gatedDispatcher{&fakeDispatcher{started: make(chan string, 2)}, make(chan struct{})}
	s := serveHTTP(t, d, nil)
	var calls []<-chan pendingAnswer
	for _, e := range s.eras() {
		calls = append(calls, s.start(s.call(e, "1", "fail", "{}")))
		awaitStart(t, d.fakeDispatcher)
	}
	s.cancel()
	eventually(t, "no connection is accepted", func() bool {
		c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), Endpoint))
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	select {
	case err := <-s.ended:
		t.Fatalf("Serve returned while calls run: %v", err)
	default:
	}
	close(d.gate)
	for _, c := range calls {
		if got := awaitAnswer(t, c); got.err != nil || !strings.Contains(got.body, "done in time") {
			t.Errorf("%+v", got)
		}
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

// Calls that take too long are cancelled then, and still answered.
func TestHTTPDrainHasAnEnd(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 3)}
	s := serveHTTP(t, d, func(l *httpLimits) { l.grace, l.calls = 100*time.Millisecond, 2 })
	var calls []<-chan pendingAnswer
	for _, e := range s.eras() {
		calls = append(calls, s.start(s.call(e, "1", "hang", "{}")))
		awaitStart(t, d)
	}
	calls = append(calls, s.start(s.call(era{token: testSecret}, "2", "hang", "{}"))) // waits for its turn
	eventually(t, "the third call waits", func() bool { return !isFree(s.http.pending, s.http.limits.bytes-3*minHeld+1) })
	s.cancel()
	for _, c := range calls {
		got := awaitAnswer(t, c)
		if got.err != nil {
			t.Fatal(got.err)
		}
		if m := got.one(t); !m.isFailure(dispatch.CodeCanceled) {
			t.Errorf("%s", got.body)
		}
	}
	if err := s.end(); err != nil {
		t.Error(err)
	}
}

// A handler that does not end keeps the server from ending only so long.
func TestHTTPEndsDespiteAStuckCall(t *testing.T) {
	t.Parallel()
	d := &stuckDispatcher{fakeDispatcher: &fakeDispatcher{started: make(chan string, 1)}, release: make(chan struct{})}
	t.Cleanup(func() { close(d.release) })
	s := serveHTTP(t, d, func(l *httpLimits) { l.grace, l.flush = 50*time.Millisecond, 50*time.Millisecond })
	call := s.start(s.call(era{token: testSecret}, "1", "hang", "{}"))
	awaitStart(t, d.fakeDispatcher)
	s.cancel()
	if err := s.end(); err != nil {
		t.Error(err)
	}
	if got := awaitAnswer(t, call); got.err == nil {
		t.Errorf("%+v", got)
	}
}

type stuckDispatcher struct {
	*fakeDispatcher
	release chan struct{}
}

func (d *stuckDispatcher) Call(context.Context, dispatch.Call) *dispatch.Envelope {
	d.started <- "stuck"
	<-d.release
	return fakeAnswer("at last", nil)
}

func TestHTTPRefusesOpenListeners(t *testing.T) {
	t.Parallel()
	token := []Token{newTestToken(t, "test", testSecret)}
	for _, c := range []struct {
		address string
		tokens  []Token
		want    string
	}{
		{"127.0.0.1:0", nil, "token"},
		{"0.0.0.0:0", token, "loopback"},
		{"[::]:0", token, "loopback"},
	} {
		l, err := net.Listen("tcp", c.address)
		if err != nil {
			t.Fatal(err)
		}
		h := NewHTTP(newFakeServer(t, &fakeDispatcher{}), HTTPConfig{Tokens: c.tokens})
		if err := h.Serve(t.Context(), l); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.address, err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: the listener was left open", c.address)
		}
	}
}

// Without a token and without the file mode of a unix socket, nobody gets in,
// whichever server is around the handler.
func TestHTTPWithoutTokensIsClosed(t *testing.T) {
	t.Parallel()
	h := NewHTTP(newFakeServer(t, &fakeDispatcher{}), HTTPConfig{})
	for _, header := range []string{"", "Bearer", "Bearer "} {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Endpoint, strings.NewReader(initialize))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", header)
		h.ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("%q: %d", header, w.Code)
		}
	}
}

func TestHTTPFailingListener(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serveOn(t, l, d, HTTPConfig{Tokens: []Token{newTestToken(t, "test", testSecret)}}, nil)
	call := s.start(s.call(era{token: testSecret}, "1", "hang", "{}"))
	awaitStart(t, d)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.end(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	awaitAnswer(t, call)
}

func TestHTTPPanicIsAnError(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	for _, e := range s.eras() {
		got := s.do(s.call(e, "1", "panic", "{}"))
		if m := got.one(t); got.status != http.StatusOK || m.Error == nil || m.Error.Code != -32603 || strings.Contains(got.body, "fault of the dispatcher") {
			t.Errorf("%s: %d %s", e.name, got.status, got.body)
		}
	}
}
