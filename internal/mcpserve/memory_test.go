package mcpserve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/mark3labs/mcp-go/mcp"
)

// argumentsOf are arguments of exactly size bytes.
func argumentsOf(size int) string {
	const frame = `{"tag":""}`
	return `{"tag":"` + strings.Repeat("x", size-len(frame)) + `"}`
}

// TestArgumentsAreBounded: what is too long is refused with the limit, and everything
// after it is answered.
func TestArgumentsAreBounded(t *testing.T) {
	t.Parallel()
	p := serve(t, &fakeDispatcher{}, nil)
	for _, test := range []struct{ line, refused string }{
		{callLine("7", "echo", argumentsOf(maxArguments)), ""},
		{callLine("7", "echo", argumentsOf(maxArguments+1)), "the arguments have 131073 bytes, at most 131072 are accepted as arguments"},
		{callLine("7", "echo", argumentsOf(1<<20-100)), "the message has 1048560 bytes, at most 131072 are accepted as arguments"},
		{callLine("7", "echo", `{},"_meta":{"progressToken":"`+strings.Repeat("x", maxRequest)+`"}`), "the message has"},
		{`{"jsonrpc":"2.0","id":7,"method":"tools/list","params":` + argumentsOf(maxRequest) + "}\n", "the message has"},
		{callLine(`"`+strings.Repeat("x", maxID)+`"`, "echo", "{}"), "at most 1024 bytes"},
		{callLine("7", "echo", "{}"), ""},
	} {
		p.write(test.line)
		r := p.next()
		switch {
		case test.refused == "" && r.Error != nil:
			t.Errorf("%.60s: %+v", test.line, r.Error)
		case test.refused != "" && (r.Error == nil || !strings.Contains(r.Error.Message, test.refused)):
			t.Errorf("%.60s: %+v, want %q", test.line, r.Error, test.refused)
		}
	}
}

func TestHTTPArgumentsAreBounded(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	for _, e := range s.eras() {
		if got := s.do(s.call(e, "1", "echo", argumentsOf(maxArguments))); got.status != http.StatusOK || got.one(t).Error != nil {
			t.Errorf("%s: status %d", e.name, got.status)
		}
		r := s.call(e, "1", "echo", argumentsOf(maxArguments+1))
		if m := s.do(r).one(t); m.Error == nil || m.Error.Code != mcp.INVALID_PARAMS || string(m.ID) != "1" {
			t.Errorf("%s: %+v", e.name, m)
		}
	}
}

// TestRequestDropsItsText: while a call runs, its arguments are all that is left of the
// message.
func TestRequestDropsItsText(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 1)}
	c := newFakeServer(t, d).newClient("me", newSlots(1, 1), &inflight{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	text := []byte(callLine("7", "hang", argumentsOf(1000)))
	raw := weak.Make(&text[0])
	ended := make(chan any, 1)
	begin := func() {
		run := c.begin(ctx, parse(text, "", time.Now()))
		go func() { ended <- run() }()
	}
	begin()
	text = nil
	awaitStart(t, d)
	for deadline := time.Now().Add(testTimeout); raw.Value() != nil; runtime.GC() {
		if time.Now().After(deadline) {
			t.Fatal("the text of a call that runs is still in memory")
		}
	}
	cancel()
	<-ended
}

// TestPendingBytesHoldTheClientBack: a request for which there is no room does not
// begin.
func TestPendingBytesHoldTheClientBack(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 2)}
	p := serve(t, d, func(l *limits) { l.bytes = 2*minHeld + 3000 })
	p.call("1", "hang", argumentsOf(1000))
	awaitStart(t, d)
	p.call("2", "hang", argumentsOf(2000)) // read, and then nothing more is
	blocked := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p.in, strings.Repeat(callLine("4", "echo", `{}`), 10_000))
		blocked <- err
	}()
	p.cancel()
	if err := p.end(); err != nil {
		t.Error(err)
	}
	_ = p.in.Close()
	if <-blocked == nil {
		t.Error("everything was read")
	}
	if calls := d.recorded(); len(calls) != 1 {
		t.Errorf("%d calls began", len(calls))
	}
}

func TestHTTPPendingBytesAreBounded(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 1)}
	s := serveHTTP(t, d, func(l *httpLimits) { l.bytes, l.room = 2*minHeld+3000, 50*time.Millisecond })
	for _, e := range s.eras() {
		ctx, hangUp := context.WithCancel(t.Context())
		call := s.start(s.call(e, "1", "hang", argumentsOf(1000)).WithContext(ctx))
		awaitStart(t, d)
		if got := s.do(s.call(e, "2", "echo", argumentsOf(2000))); got.status != http.StatusServiceUnavailable {
			t.Errorf("%s: %d %s", e.name, got.status, got.body)
		}
		if got := s.do(s.call(e, "2", "echo", argumentsOf(100))); got.status != http.StatusOK {
			t.Errorf("%s: %d %s", e.name, got.status, got.body)
		}
		hangUp()
		awaitAnswer(t, call)
		eventually(t, "there is room", func() bool { return s.do(s.call(e, "2", "echo", argumentsOf(2000))).status == http.StatusOK })
	}
}

// unread is a ServeStdio whose output nobody reads.
func unread(t *testing.T, change func(*limits)) (in *io.PipeWriter, ended <-chan error) {
	t.Helper()
	inRead, in := io.Pipe()
	outRead, out := io.Pipe()
	t.Cleanup(func() { _ = in.Close(); _ = outRead.Close() })
	l := stdioLimits
	l.grace, l.flush = 50*time.Millisecond, 50*time.Millisecond
	change(&l)
	s := newFakeServer(t, &fakeDispatcher{})
	done := make(chan error, 1)
	go func() { done <- s.serveStdio(context.Background(), inRead, out, l) }()
	return in, done
}

// TestEndOfInputIsSeenWhileOutputIsUnread: of answers that take no time, too.
func TestEndOfInputIsSeenWhileOutputIsUnread(t *testing.T) {
	t.Parallel()
	in, ended := unread(t, func(*limits) {})
	for i := range 100 {
		line := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"ping"}`, i) + "\nno JSON\n" + callLine(fmt.Sprint(i), "echo", "{}")
		if _, err := io.WriteString(in, line); err != nil {
			t.Fatal(err)
		}
	}
	_ = in.Close()
	if err := receive(t, "the end of ServeStdio", ended); err != nil {
		t.Error(err)
	}
}

// TestClientThatOnlySendsIsGivenUp: there is no room to read on, and will be none.
func TestClientThatOnlySendsIsGivenUp(t *testing.T) {
	t.Parallel()
	in, ended := unread(t, func(l *limits) { l.bytes = 2 * (minHeld + 100) })
	go func() { _, _ = io.WriteString(in, strings.Repeat(callLine("4", "echo", `{}`), 10)) }()
	if err := receive(t, "the end of ServeStdio", ended); !errors.Is(err, errUnread) {
		t.Error(err)
	}
}
