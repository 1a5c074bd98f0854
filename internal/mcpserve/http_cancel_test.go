package mcpserve

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
)

// Two clients use the same id; only the one who cancels is cancelled.
func TestHTTPCancelStaysInItsSession(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 2)}
	s := serveHTTP(t, d, nil)
	a := era{session: s.open(testSecret), token: testSecret}
	b := era{session: s.open(testSecret), token: testSecret}
	stateless := era{token: testSecret}
	callOfA := s.start(s.call(a, "1", "hang", `{"tag":"a"}`))
	awaitStart(t, d)
	callOfB := s.start(s.call(b, "1", "hang", `{"tag":"b"}`))
	awaitStart(t, d)

	// None of these is A's call 1.
	others := []*http.Request{
		s.cancelRequest(a, `"1"`), s.cancelRequest(a, `2`), s.cancelRequest(a, `null`), s.cancelRequest(stateless, `1`),
		s.post(`{"jsonrpc":"2.0","method":"notifications/cancelled"}`, a),
		s.post(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":[]}`, a),
	}
	for _, r := range others {
		if got := s.do(r); got.status != http.StatusAccepted || got.body != "" {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if got := s.do(s.cancelRequest(b, "1")); got.status != http.StatusAccepted {
		t.Errorf("%d %s", got.status, got.body)
	}
	got := awaitAnswer(t, callOfB)
	if got.err != nil || got.status != http.StatusOK || len(got.messages) != 0 {
		t.Errorf("MCP: no response to a cancelled request, got %d %s, %v", got.status, got.body, got.err)
	}
	select {
	case got := <-callOfA:
		t.Fatalf("B's cancel ended A's call: %+v", got)
	default:
	}
	s.do(s.cancelRequest(a, "1"))
	if got := awaitAnswer(t, callOfA); got.err != nil || len(got.messages) != 0 {
		t.Errorf("%s, %v", got.body, got.err)
	}
}

// In the stateless era a notification cancels nothing, not even the sender's
// own request; who hangs up cancels, and nobody else's.
func TestHTTPStatelessCancel(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 3)}
	s := serveHTTP(t, d, nil)
	e := era{token: testSecret}
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	callOfA := s.start(s.call(e, "1", "hang", `{"tag":"a"}`).WithContext(ctx))
	awaitStart(t, d)
	ctxB, hangUpB := context.WithCancel(t.Context())
	defer hangUpB()
	callOfB := s.start(s.call(e, "1", "hang", `{"tag":"b"}`).WithContext(ctxB))
	awaitStart(t, d)
	for range 3 {
		if got := s.do(s.cancelRequest(e, "1")); got.status != http.StatusAccepted {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if calls := s.http.limits.calls; !isFree(s.http.slots.looks, calls-2) || isFree(s.http.slots.looks, calls-1) {
		t.Fatal("it is not two calls that run")
	}
	hangUp()
	if got := awaitAnswer(t, callOfA); !errors.Is(got.err, context.Canceled) {
		t.Errorf("%+v", got)
	}
	eventually(t, "A's call ends", func() bool { return isFree(s.http.slots.looks, s.http.limits.calls-1) })
	select {
	case got := <-callOfB:
		t.Fatalf("A's end ended B's call: %+v", got)
	default:
	}
}

// A client that hangs up ends its call, in both eras, and frees its place.
func TestHTTPDisconnectCancels(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 10)}
	s := serveHTTP(t, d, nil)
	for _, e := range s.eras() {
		ctx, hangUp := context.WithCancel(t.Context())
		var calls []<-chan pendingAnswer
		for range 5 {
			calls = append(calls, s.start(s.call(e, "1", "hang", "{}").WithContext(ctx)))
			awaitStart(t, d)
		}
		hangUp()
		for _, c := range calls {
			awaitAnswer(t, c)
		}
		eventually(t, e.name+": all places are free", func() bool {
			return s.isIdle()
		})
	}
}

// DELETE ends a session and what runs in it.
func TestHTTPEndOfSession(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 1)}
	s := serveHTTP(t, d, nil)
	e := era{session: s.open(testSecret), token: testSecret}
	call := s.start(s.call(e, "1", "hang", "{}"))
	awaitStart(t, d)

	stranger := s.post("", era{session: e.session, token: "other-" + testSecret})
	bodyless(stranger, http.MethodDelete)
	if got := s.do(stranger); got.status != http.StatusNotFound {
		t.Errorf("another caller's DELETE: %d", got.status)
	}
	end := s.post("", e)
	bodyless(end, http.MethodDelete)
	if got := s.do(end); got.status != http.StatusNoContent {
		t.Errorf("DELETE: %d %s", got.status, got.body)
	}
	if got := awaitAnswer(t, call); got.err != nil {
		t.Error(got.err)
	}
	for _, r := range []*http.Request{s.call(e, "2", "echo", "{}"), s.cancelRequest(e, "1"), end} {
		if got := s.do(r); got.status != http.StatusNotFound {
			t.Errorf("%s afterwards: %d", r.Method, got.status)
		}
	}
}

// A queued call that misses its deadline fails as busy; it does not wait for
// the ones before it.
func TestHTTPQueuedCallIsBusyAtItsDeadline(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 1)}
	s := serveHTTP(t, d, func(l *httpLimits) { l.calls = 1 })
	for _, e := range s.eras() {
		ctx, hangUp := context.WithCancel(t.Context())
		call := s.start(s.call(e, "1", "hang", "{}").WithContext(ctx))
		awaitStart(t, d)
		m := s.do(s.call(e, "2", "echo", `{"timeout_ms":50}`)).one(t)
		if !m.isFailure(dispatch.CodeBusy) {
			t.Errorf("%s: %+v", e.name, m)
		}
		// What is no call goes on.
		if m := s.do(s.request(e, "3", "tools/list", "", "")).one(t); m.Error != nil {
			t.Errorf("%s: %+v", e.name, m)
		}
		hangUp()
		awaitAnswer(t, call)
		eventually(t, "the place is free", func() bool { return s.isIdle() })
	}
}

func TestHTTPFullServerIsBusy(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 1)}
	s := serveHTTP(t, d, func(l *httpLimits) { l.bytes, l.room = 2*minHeld-1, 50*time.Millisecond })
	eras := s.eras()
	for _, e := range eras {
		ctx, hangUp := context.WithCancel(t.Context())
		call := s.start(s.call(eras[0], "1", "hang", "{}").WithContext(ctx))
		awaitStart(t, d)
		got := s.do(s.call(e, "2", "echo", "{}"))
		m := got.one(t)
		if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" ||
			m.Error == nil || !strings.Contains(string(m.Error.Data), `"`+dispatch.CodeBusy+`"`) {
			t.Errorf("%s: %d %v %s", e.name, got.status, got.header, got.body)
		}
		hangUp()
		awaitAnswer(t, call)
		eventually(t, "the place is free", func() bool { return s.isIdle() })
		if got := s.do(s.call(e, "2", "echo", "{}")); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", e.name, got.status, got.body)
		}
	}
}
