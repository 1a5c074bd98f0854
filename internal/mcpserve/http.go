package mcpserve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// HTTPConfig says who may call over HTTP.
type HTTPConfig struct {
	// Tokens open the server. Without any, whoever can connect may call: Serve
	// accepts that for unix sockets only, where a file's mode says who can.
	Tokens []Token
	// Origins are those of web pages ("http://localhost:6274") whose scripts
	// may call. Only browsers send an Origin; others are not affected.
	Origins []string
}

// httpLimits bound what clients can make the server hold.
type httpLimits struct {
	limits
	connections        int           // open at once; one more is closed
	head               int           // bytes of a request's line and headers
	sessions           int           // at once; the one unused for longest makes room
	room               time.Duration // that a request waits for until there is; then it gets 503
	readHead, readBody time.Duration // for all of it
	write              time.Duration // for each write
	idle               time.Duration // between two requests of a connection
}

var defaultHTTPLimits = httpLimits{
	limits: limits{
		size: 1 << 20,
		// Twice those of stdio, which has one client.
		calls:  128,
		others: 32,
		bytes:  maxPendingBytes,
		// With flush shorter than the program takes to end when it is told to.
		grace: 10 * time.Second,
		flush: time.Second,
	},
	connections: 4096,
	head:        64 << 10,
	sessions:    1000,
	room:        10 * time.Second,
	readHead:    5 * time.Second,
	readBody:    10 * time.Second,
	write:       10 * time.Second,
	idle:        2 * time.Minute,
}

// Endpoint is the one path that an HTTP server serves.
const Endpoint = "/mcp"

// HTTP serves a Server over streamable HTTP (MCP 2025-11-25 and 2026-07-28,
// "Streamable HTTP") on the path /mcp. As an http.Handler it needs an
// http.Server with timeouts around it, which Serve is.
//
// Two eras of the protocol share the endpoint; each request says its own.
// Before 2026-07-28 a client opens a session with initialize, and a
// notification cancels a request of the same session. From then on each request
// stands alone, and closing its connection cancels it.
//
// A stream for messages that belong to no request (GET) is not offered: this
// server has none.
type HTTP struct {
	server   *Server
	guard    guard
	limits   httpLimits
	slots    slots
	pending  *semaphore.Weighted // bytes of requests
	sessions sessions
}

// NewHTTP returns an HTTP transport for s.
func NewHTTP(s *Server, cfg HTTPConfig) *HTTP { return newHTTP(s, cfg, defaultHTTPLimits) }

func newHTTP(s *Server, cfg HTTPConfig, l httpLimits) *HTTP {
	return &HTTP{
		server:   s,
		guard:    guard{tokens: cfg.Tokens, origins: cfg.Origins},
		limits:   l,
		slots:    newSlots(l.calls, l.others),
		pending:  semaphore.NewWeighted(l.bytes),
		sessions: sessions{max: l.sessions},
	}
}

// Serve serves connections of l, which it closes, until ctx is cancelled or l
// fails. When ctx is cancelled it accepts no more, gives running requests time
// to finish, and then cancels them; that is no error.
func (h *HTTP) Serve(ctx context.Context, l net.Listener) error {
	defer func() { _ = l.Close() }() // closed already where Shutdown was reached
	if err := h.checkListener(l.Addr()); err != nil {
		return err
	}
	running, cancelAll := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelAll()
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: h.limits.readHead,
		IdleTimeout:       h.limits.idle,
		MaxHeaderBytes:    h.limits.head,
		BaseContext:       func(net.Listener) context.Context { return running },
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) },
		ConnState:         boundConnections(h.limits.connections),
		ErrorLog:          slog.NewLogLogger(h.server.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		cancelAll()
		return errors.Join(fmt.Errorf("accept connections: %w", err), server.Close())
	case <-ctx.Done():
	}
	defer time.AfterFunc(h.limits.grace, cancelAll).Stop()
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.limits.grace+h.limits.flush)
	defer cancel()
	if server.Shutdown(end) != nil {
		_ = server.Close() // clients that do not read
	}
	return nil
}

// checkListener refuses to make the server a way for every user of the machine,
// or of the network, into every container.
func (h *HTTP) checkListener(a net.Addr) error {
	tcp, ok := a.(*net.TCPAddr)
	switch {
	case !ok:
		return nil
	case !tcp.IP.IsLoopback():
		return fmt.Errorf("serve on %s: only loopback addresses are served", a)
	case len(h.guard.tokens) == 0:
		return fmt.Errorf("serve on %s: every user of this machine could connect, so a token is needed", a)
	}
	return nil
}

// boundConnections closes connections beyond limit, so that there are file
// descriptors left for the work itself.
func boundConnections(limit int) func(net.Conn, http.ConnState) {
	var open atomic.Int64
	return func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if open.Add(1) > int64(limit) {
				_ = c.Close() // net/http sees it at its first read
			}
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
}

// ServeHTTP answers one request.
func (h *HTTP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &response{w: w, control: http.NewResponseController(w), timeout: h.limits.write}
	// Also what is refused below is read: net/http reads a short body to its
	// end before the next request. Not every writer has deadlines.
	_ = out.control.SetReadDeadline(time.Now().Add(h.limits.readBody))
	if h.guard.preflight(w, r) {
		return
	}
	caller, refused := h.guard.admit(w.Header(), r)
	if refused != nil || r.ContentLength != 0 {
		// Strangers get no lasting connection, nor does a client whose body was
		// not read; reading it takes this back.
		w.Header().Set("Connection", "close")
	}
	if refused == nil {
		refused = h.serve(out, r, caller)
	}
	if refused == nil {
		return
	}
	level := slog.LevelDebug // clients probe what a server has, so most is everyday life
	switch refused.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusServiceUnavailable:
		level = slog.LevelWarn // somebody tried to get in, or there is no room
	}
	h.server.log.Log(r.Context(), level, "request refused", slog.String("caller", caller), slog.String("remote", r.RemoteAddr),
		slog.String("method", clip(r.Method)), slog.Int("status", refused.status), slog.String("reason", refused.text))
	out.refuse(refused)
}

// serve answers an admitted request, unless it returns why it does not.
func (h *HTTP) serve(out *response, r *http.Request, caller string) *refusal {
	allow := http.MethodPost
	if !isStateless(r.Header) {
		allow += ", " + http.MethodDelete
	}
	switch {
	case r.URL.Path != Endpoint:
		return refusef(http.StatusNotFound, "there is nothing here; the endpoint is %s", Endpoint)
	case r.Method == http.MethodPost:
		return h.post(out, r, caller)
	case r.Method == http.MethodDelete && !isStateless(r.Header):
		s, refused := h.session(r, caller)
		if refused == nil {
			h.sessions.end(s)
			out.w.WriteHeader(http.StatusNoContent)
		}
		return refused
	}
	out.w.Header().Set("Allow", allow)
	return refusef(http.StatusMethodNotAllowed, "use %s; this server sends nothing outside of the answers to requests", allow)
}
