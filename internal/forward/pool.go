package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"nsenter-mcp/tools"
)

// acquire returns an open session for the call, which counts as one of its calls
// until release. It waits for one that is being opened as long as ctx allows;
// opening goes on in any case, so that the next call finds it done.
func (f *Forwarder) acquire(ctx context.Context, c tools.Forwarded) (*session, error) {
	s, fresh, err := f.take(ctx, c.Node)
	if err != nil {
		return nil, err
	}
	if fresh && c.Progress != nil {
		c.Progress(tools.Progress{Message: "connecting to node " + c.Node})
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		f.release(s)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, &tools.NodeError{
				Code: tools.CodeTimeout, Node: c.Node, Err: ctx.Err(),
				Message: fmt.Sprintf("the connection to node %s was not made until the call's time was up", c.Node),
				Hint:    "call again: it goes on being made; or set a larger timeout_ms",
			}
		}
		return nil, ctx.Err()
	}
	if s.failed != nil {
		f.release(s)
		return nil, f.again(s)
	}
	return s, nil
}

// again is the error of a session that could not be opened, with when the next
// try is due.
func (f *Forwarder) again(s *session) *tools.NodeError {
	e := *s.failed
	f.mu.Lock()
	since := time.Since(s.lastUsed)
	f.mu.Unlock()
	if since > time.Second {
		e.Message += fmt.Sprintf(" (tried %d s ago; tried again %d s after that)",
			int(since.Seconds()), int(f.limits.backoff.Seconds()))
	}
	return &e
}

// take finds the session of a node, or begins to open one.
func (f *Forwarder) take(ctx context.Context, node string) (s *session, fresh bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ending {
		return nil, false, unreachable(node, "this server is ending", "", "start it again")
	}
	if s := f.sessions[node]; s != nil && f.usable(s) {
		s.calls++
		if s.idle != nil {
			s.idle.Stop()
		}
		return s, false, nil
	}
	if err := f.makeRoom(node); err != nil {
		return nil, false, err
	}
	s = &session{node: node, ready: make(chan struct{}), dropped: make(chan struct{}), began: time.Now(), calls: 1}
	f.sessions[node] = s
	ctx = context.WithoutCancel(ctx) // it is not this call's alone
	f.work.Go(func() { f.run(ctx, s) })
	return s, true, nil
}

// usable reports whether a session is being opened, carries calls, or has failed
// so short a time ago that it is not tried again.
func (f *Forwarder) usable(s *session) bool {
	if !s.opened() {
		return true
	}
	if s.failed != nil {
		return time.Since(s.lastUsed) < f.limits.backoff
	}
	return s.alive()
}

// makeRoom forgets a session so that one more for node can be kept: the one that
// was used, or has failed, the longest ago. One that is being opened stays, also
// when nobody waits for it any more: its command runs, and whoever asks for ever
// more nodes with ever less time must not have ever more commands running.
func (f *Forwarder) makeRoom(node string) error {
	if old := f.sessions[node]; old != nil {
		f.forget(old)
	}
	if len(f.sessions) < f.limits.sessions {
		return nil
	}
	var oldest *session
	for _, s := range f.sessions {
		if s.calls == 0 && s.opened() && (oldest == nil || s.lastUsed.Before(oldest.lastUsed)) {
			oldest = s
		}
	}
	if oldest == nil {
		return &tools.NodeError{
			Code: tools.CodeBusy, Node: node,
			Message: fmt.Sprintf("%d other nodes are being called or connected to, and no more are at a time", f.limits.sessions),
			Hint:    "wait until some have answered, and ask fewer nodes at a time",
		}
	}
	f.forget(oldest)
	return nil
}

// forget takes a session out of the table; what runs it then ends it.
func (f *Forwarder) forget(s *session) {
	if f.sessions[s.node] == s {
		delete(f.sessions, s.node)
	}
	if s.idle != nil {
		s.idle.Stop()
	}
	select {
	case <-s.dropped:
	default:
		close(s.dropped)
	}
}

// drop gives a session up.
func (f *Forwarder) drop(s *session, why string) {
	f.cfg.Logger.Warn("connection given up", slog.String("node", s.node), slog.String("reason", why))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(s)
}

// release ends a call's share in a session.
func (f *Forwarder) release(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.calls--
	if !s.opened() {
		return // run sees to it
	}
	f.rest(s)
}

// rest starts the clock of a session that has no calls.
func (f *Forwarder) rest(s *session) {
	if s.failed != nil || s.calls > 0 {
		return
	}
	s.lastUsed = time.Now()
	if s.idle != nil {
		s.idle.Reset(f.limits.idle)
		return
	}
	s.idle = time.AfterFunc(f.limits.idle, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if s.calls == 0 && time.Since(s.lastUsed) >= f.limits.idle {
			f.forget(s)
		}
	})
}

// open opens the session, for as long as the limits and the Forwarder's own end
// allow.
func (f *Forwarder) open(ctx context.Context, s *session) {
	ctx, cancel := context.WithTimeout(ctx, f.limits.start)
	defer cancel()
	opened := make(chan struct{})
	defer close(opened)
	go func() {
		select {
		case <-f.closed:
			cancel()
		case <-opened:
		}
	}()
	s.open(ctx, f.cfg.Template, f.limits)
}

// run is the life of a session, from opening to the end of its process.
func (f *Forwarder) run(ctx context.Context, s *session) {
	log := f.cfg.Logger.With(slog.String("node", s.node))
	f.open(ctx, s)
	f.mu.Lock()
	s.lastUsed = time.Now()
	close(s.ready)
	f.rest(s)
	f.mu.Unlock()
	if s.failed != nil {
		log.Warn("node cannot be reached", slog.String("reason", s.failed.Message), slog.String("said", s.failed.Said))
		return
	}
	log.Info("connected", slog.String("version", s.client.Server().Version), slog.Duration("took", time.Since(s.began)))
	select {
	case <-s.process.out.ended:
		log.Warn("connection lost")
	case <-s.process.exited:
		log.Warn("connection lost")
	case <-s.dropped:
	case <-f.closed:
	}
	s.end(f.limits.patience)
	log.Info("disconnected")
}
