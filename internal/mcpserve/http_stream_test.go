package mcpserve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
)

// What a tool reports right before its result arrives, all of it and before the
// result.
func TestHTTPProgressIsNotLost(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	for _, e := range s.eras() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			s := s.with(t)
			for i := range 150 { // of five notifications
				got := s.do(s.call(e, "1", "progress", `{"tag":"x"}`))
				if len(got.messages) != 6 {
					t.Fatalf("call %d: %d messages: %s", i, len(got.messages), got.body)
				}
				for n, m := range got.messages[:5] {
					if m.Method != "notifications/progress" {
						t.Fatalf("call %d, message %d: %+v", i, n, m)
					}
				}
				if last := got.messages[5]; string(last.ID) != "1" || last.Error != nil {
					t.Fatalf("call %d: %+v", i, last)
				}
			}
		})
	}
}

func TestHTTPWhatTheClientReads(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	for _, c := range []struct {
		accept, tool, kind string
		messages           int
	}{
		{"application/json, text/event-stream", "echo", "application/json", 1},
		{"text/event-stream;q=0.9,application/json", "progress", "text/event-stream", 6},
		{"*/*", "progress", "text/event-stream", 6},
		{"application/json", "progress", "application/json", 1},
		{"text/event-stream", "echo", "text/event-stream", 1},
		{"Text/Event-Stream ; q=1", "progress", "text/event-stream", 6},
	} {
		for _, e := range s.eras() {
			r := s.call(e, "1", c.tool, "{}")
			r.Header.Set("Accept", c.accept)
			got := s.do(r)
			if got.header.Get("Content-Type") != c.kind || len(got.messages) != c.messages {
				t.Errorf("%s, %s, %s: %s with %d messages", e.name, c.accept, c.tool, got.header.Get("Content-Type"), len(got.messages))
			}
		}
	}
}

// dial opens a connection on which a test writes what it likes.
func (s *site) dial() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), Endpoint))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// Whoever sends slowly is disconnected, with a token and without.
func TestHTTPSlowSendersAreDisconnected(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, func(l *httpLimits) {
		l.readHead, l.readBody = 300*time.Millisecond, 300*time.Millisecond
	})
	const head = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n"
	for name, start := range map[string]string{
		"silence":              "",
		"head":                 "POST /mcp HTTP/1.1\r\nHost: lo",
		"body":                 head + "Authorization: Bearer " + testSecret + "\r\n\r\n{",
		"body without a token": head + "\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.with(t).dial()
			if _, err := io.WriteString(c, start); err != nil {
				t.Fatal(err)
			}
			closed := make(chan struct{})
			go func() { // a byte now and then
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						if name != "silence" {
							_, _ = io.WriteString(c, "a")
						}
					case <-closed:
						return
					}
				}
			}()
			defer close(closed)
			begin := time.Now()
			_ = c.SetReadDeadline(begin.Add(testTimeout))
			got, err := io.ReadAll(c)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the connection is still open; got %q", got)
			}
			t.Logf("closed after %s: %.60q", time.Since(begin).Round(time.Millisecond), got)
		})
	}
}

// The time for a request's body is not the time for its answer.
func TestHTTPSlowCallsAreNotDisconnected(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, strictDispatcher{&fakeDispatcher{}}, func(l *httpLimits) {
		l.readHead, l.readBody, l.write = time.Second, time.Second, time.Second
	})
	for _, e := range s.eras() {
		begin := time.Now()
		got := s.do(s.call(e, "1", "hang", `{"timeout_ms":1500}`))
		if took := time.Since(begin); !got.one(t).Result.IsError || took < 1500*time.Millisecond {
			t.Errorf("%s: ended after %s: %s", e.name, took, got.body)
		}
	}
}

func TestHTTPLongHead(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	r := s.post(initialize, era{token: testSecret})
	r.Header.Set("X-Padding", strings.Repeat("x", 1<<20))
	if got, err := s.try(r); err == nil && got.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%d", got.status)
	}
}

// bigDispatcher answers with more than the kernel holds for a client that does
// not read.
type bigDispatcher struct{ *fakeDispatcher }

func (d bigDispatcher) Call(ctx context.Context, c dispatch.Call) *dispatch.Envelope {
	if c.Tool != "fail" { // which has nothing to do here
		return d.fakeDispatcher.Call(ctx, c)
	}
	return fakeAnswer(strings.Repeat("x", 4<<20), nil)
}

// A client that does not read its answers holds up nobody for long.
func TestHTTPClientsThatDoNotReadAreDisconnected(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, bigDispatcher{&fakeDispatcher{}}, func(l *httpLimits) { l.write = 200 * time.Millisecond })
	for range 2 {
		c := s.dial()
		if err := c.(*net.TCPConn).SetReadBuffer(4096); err != nil {
			t.Fatal(err)
		}
		if err := s.call(era{token: testSecret}, "1", "fail", "{}").Write(c); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the answers are being written", func() bool { return !s.isIdle() })
	eventually(t, "nobody waits for those clients", func() bool { return s.isIdle() })
	if got := s.do(s.call(era{token: testSecret}, "1", "echo", "{}")); got.status != http.StatusOK {
		t.Errorf("%d", got.status)
	}
}

func TestHTTPTooManyConnections(t *testing.T) {
	t.Parallel()
	s := serveHTTP(t, &fakeDispatcher{}, func(l *httpLimits) { l.connections, l.readHead = 3, time.Hour })
	var open []net.Conn
	for range 3 {
		open = append(open, s.dial())
	}
	excess := s.dial()
	_ = excess.SetReadDeadline(time.Now().Add(testTimeout))
	if _, err := excess.Read(make([]byte, 1)); err == nil {
		t.Error("one connection too many is answered")
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("one connection too many stays open")
	}
	for _, c := range open {
		_ = c.Close()
	}
	eventually(t, "there is room again", func() bool {
		got, err := s.try(s.call(era{token: testSecret}, "1", "echo", "{}"))
		return err == nil && got.status == http.StatusOK
	})
}

// An argument that comes in a header as well is compared from the first request on.
func TestHTTPArgumentInAHeader(t *testing.T) {
	t.Parallel()
	tool := fakeTool("echo", testTimeout)
	tool.InputSchema = json.RawMessage(`{"type":"object","properties":{"tag":{"type":"string","x-mcp-header":"Tag"}}}`)
	s := serveHTTP(t, &listDispatcher{list: []dispatch.Tool{tool}}, nil)
	for _, c := range []struct {
		header string
		status int
	}{{"b", http.StatusBadRequest}, {"b", http.StatusBadRequest}, {"a", http.StatusOK}} {
		r := s.call(era{token: testSecret}, "1", "echo", `{"tag":"a"}`)
		r.Header.Set("Mcp-Param-Tag", c.header)
		if got := s.do(r); got.status != c.status {
			t.Errorf("header %s: %d %s", c.header, got.status, got.body)
		}
	}
}
