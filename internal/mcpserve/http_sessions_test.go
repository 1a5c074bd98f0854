package mcpserve

import (
	"context"
	"errors"
	"testing"
)

func addSession(t *testing.T, s *sessions) *httpSession {
	t.Helper()
	n := newHTTPSession("me")
	if !s.add(n) {
		t.Fatal("no room")
	}
	return n
}

// run lets a request run in the session until the returned function is called.
func (s *httpSession) run() (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	forget := s.inflight.remember([]byte("1"), cancel)
	return ctx, func() { forget(); cancel(nil) }
}

func TestSessionsBelongToTheirCaller(t *testing.T) {
	t.Parallel()
	s := &sessions{max: 10}
	n := addSession(t, s)
	if s.find(n.id, "me") != n || s.find(n.id, "other") != nil || s.find("", "me") != nil {
		t.Error("wrong session found")
	}
	if len(n.id) < 26 { // of base32: 128 bits
		t.Errorf("id %q can be guessed", n.id)
	}
}

func TestSessionsAreBounded(t *testing.T) {
	t.Parallel()
	s := &sessions{max: 3}
	a := addSession(t, s)
	b := addSession(t, s)
	c := addSession(t, s)
	s.find(a.id, "me") // b is now the one unused for longest
	_, end := c.run()
	defer end()
	addSession(t, s)
	if s.find(b.id, "me") != nil || s.find(a.id, "me") == nil || s.find(c.id, "me") == nil {
		t.Error("the wrong session made room")
	}
	for _, n := range s.list {
		if n != c {
			_, end := n.run()
			defer end()
		}
	}
	if s.add(newHTTPSession("me")) {
		t.Error("a session that is in use made room")
	}
}

func TestEndOfSessionCancels(t *testing.T) {
	t.Parallel()
	s := &sessions{max: 3}
	n := addSession(t, s)
	ctx, end := n.run()
	defer end()
	s.end(n)
	if !errors.Is(context.Cause(ctx), errSessionEnded) || s.find(n.id, "me") != nil {
		t.Errorf("cause %v", context.Cause(ctx))
	}
}
