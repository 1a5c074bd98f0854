package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"nsenter-mcp/internal/dispatch"
)

// acquire returns an open session for the call, which counts as one of its calls
// until release. It waits for one that is being opened as long as ctx allows;
// opening goes on in any case, so that the next call finds it done.
func (f *Forwarder) acquire(ctx context.Context, c dispatch.Forwarded) (*session, error) {
	s, fresh, err := f.findOrOpen(c.Node)
	if err != nil {
		return nil, err
	}
	if fresh && c.Progress != nil {
		c.Progress(dispatch.Progress{Message: "connecting to node " + c.Node})
	}
	select {
	case <-s.ready:
	case <-ctx.Done():
		f.release(s)
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, &dispatch.NodeError{
				Code: dispatch.CodeTimeout, Node: c.Node, Err: ctx.Err(),
				Message: fmt.Sprintf("the connection to node %s was not made until the call's time was up", c.Node),
				Hint:    "call again: it goes on being made; or set a larger timeout_ms",
			}
		}
		return nil, ctx.Err()
	}
	if s.failed != nil {
		f.release(s)
		return nil, f.failedBefore(s)
	}
	return s, nil
}

// failedBefore is the error of a session that could not be opened, with when the next
// try is due.
func (f *Forwarder) failedBefore(s *session) *dispatch.NodeError {
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

// findOrOpen finds the session of a node, or begins to open one.
func (f *Forwarder) findOrOpen(node string) (s *session, fresh bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return nil, false, unreachable(node, "this server is ending", "", "start it again")
	}
	if s := f.sessions[node]; s != nil && f.usable(s) {
		s.calls++
		return s, false, nil
	}
	if err := f.makeRoom(node); err != nil {
		return nil, false, err
	}
	s = &session{node: node, ready: make(chan struct{}), dropped: make(chan struct{}), began: time.Now(), calls: 1}
	f.sessions[node] = s
	f.work.Go(func() { f.run(s) })
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
		return &dispatch.NodeError{
			Code: dispatch.CodeBusy, Node: node,
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
	if s.opened() && s.failed == nil {
		s.lastUsed = time.Now()
	}
}

// run is the life of a session, from opening to the end of its process.
func (f *Forwarder) run(s *session) {
	log := f.cfg.Logger.With(slog.String("node", s.node))
	ctx, cancel := context.WithTimeout(f.ctx, f.limits.start)
	s.open(ctx, f.cfg.Template, f.limits)
	cancel()
	f.mu.Lock()
	s.lastUsed = time.Now()
	close(s.ready)
	f.mu.Unlock()
	if s.failed != nil {
		log.Warn("node cannot be reached", slog.String("reason", s.failed.Message), slog.String("said", s.failed.Said))
		return
	}
	log.Info("connected", slog.String("version", s.client.Server().Version), slog.Duration("took", time.Since(s.began)))
	f.watch(s, log)
	s.end(f.limits.patience)
	log.Info("disconnected")
}

// watch returns when a session is over: lost, dropped, idle for too long, or because
// the Forwarder ends.
func (f *Forwarder) watch(s *session, log *slog.Logger) {
	idle := time.NewTimer(f.limits.idle)
	defer idle.Stop()
	for {
		select {
		case <-s.process.out.ended:
			log.Warn("connection lost")
			return
		case <-s.process.exited:
			log.Warn("connection lost")
			return
		case <-s.dropped:
			return
		case <-f.ctx.Done():
			return
		case <-idle.C:
			idle.Reset(f.dropIdle(s))
		}
	}
}

// dropIdle forgets a session that has had no call for too long, and returns when to
// look again.
func (f *Forwarder) dropIdle(s *session) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	left := f.limits.idle - time.Since(s.lastUsed)
	if s.calls == 0 && left > 0 {
		return left
	}
	if s.calls == 0 {
		f.forget(s)
	}
	return f.limits.idle
}
