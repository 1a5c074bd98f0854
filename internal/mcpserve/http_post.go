package mcpserve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"nsenter-mcp/tools"
)

// sessionHeader carries the id of a session.
const sessionHeader = mcp.HeaderSessionID

// post answers a message from the client.
func (h *HTTP) post(out *response, r *http.Request, caller string) *refusal {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refusef(http.StatusUnsupportedMediaType, "the content type must be application/json")
	}
	if !out.accept(r.Header.Values("Accept")) {
		return refusef(http.StatusNotAcceptable, "accept application/json and text/event-stream")
	}
	select {
	case h.pending <- struct{}{}:
		defer func() { <-h.pending }()
	default:
		return busy("too many requests are being answered")
	}
	body, refused := h.read(out, r)
	if refused != nil {
		return refused
	}
	m, err := parseMessage(body, time.Now())
	switch {
	case errors.Is(err, errNotJSON):
		return &refusal{http.StatusBadRequest, mcp.PARSE_ERROR, "parse error: the body is not valid JSON", nil}
	case errors.Is(err, errBatch):
		return refusef(http.StatusBadRequest, "invalid request: JSON-RPC batches are not part of MCP; send one message a request")
	case err != nil:
		out.reply(http.StatusBadRequest, errorReply(m.id, mcp.INVALID_REQUEST, err.Error()))
		return nil
	}
	if isStateless(r.Header) || statelessVersion(m) != "" {
		h.stateless(out, r, caller, m)
		return nil
	}
	return h.inSession(out, r, caller, m)
}

// busy refuses a request that there is no room for.
func busy(text string) *refusal {
	hint := "wait for answers before asking more, and try again"
	return &refusal{
		http.StatusServiceUnavailable, mcp.INTERNAL_ERROR, "busy: " + text,
		tools.Error{Code: tools.CodeBusy, Stage: "queue", Message: text, Hint: hint},
	}
}

// read reads the body, which the caller then owns.
func (h *HTTP) read(out *response, r *http.Request) ([]byte, *refusal) {
	body, err := io.ReadAll(http.MaxBytesReader(out.w, r.Body, h.limits.body))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, refusef(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", tooLong.Limit)
	case err != nil:
		return nil, refusef(http.StatusBadRequest, "the body could not be read in time or ended early")
	}
	// From here on net/http reads, without the deadline, to see the client hang up.
	out.w.Header().Del("Connection")
	return body, nil
}

// inSession answers a message of the protocol before 2026-07-28.
func (h *HTTP) inSession(out *response, r *http.Request, caller string, m message) *refusal {
	if m.id != nil && m.method == string(mcp.MethodInitialize) {
		return h.openSession(out, r, caller, m)
	}
	if v := r.Header.Get(mcp.HeaderProtocolVersion); v != "" && !mcp.IsValidProtocolVersion(v) {
		return refusef(http.StatusBadRequest, "protocol version %q is not supported", clip(v))
	}
	s, refused := h.session(r, caller)
	if refused != nil {
		return refused
	}
	switch {
	case m.method == "":
		s.deliver(m)
	case m.method == string(mcp.MethodNotificationCancelled):
		s.inflight.cancel(m.params)
	case m.id == nil:
		h.notified(r.Context(), newExchange(s, out.events), m)
	default:
		reply := h.answer(out, r, caller, newExchange(s, out.events), m)
		h.finish(out, http.StatusOK, reply)
		return nil
	}
	out.w.WriteHeader(http.StatusAccepted)
	return nil
}

// openSession answers initialize.
func (h *HTTP) openSession(out *response, r *http.Request, caller string, m message) *refusal {
	s := newHTTPSession(caller)
	reply := h.answer(out, r, caller, newExchange(s, out.events), m)
	if _, ok := reply.(mcp.JSONRPCResponse); ok {
		if !h.sessions.add(s) {
			return busy("all sessions are in use")
		}
		out.w.Header().Set(sessionHeader, s.id)
	}
	h.finish(out, http.StatusOK, reply)
	return nil
}

// session returns the session that the request names.
func (h *HTTP) session(r *http.Request, caller string) (*httpSession, *refusal) {
	id := r.Header.Get(sessionHeader)
	if id == "" {
		return nil, refusef(http.StatusBadRequest, "the header %s is missing; initialize opens a session and returns its id", sessionHeader)
	}
	s := h.sessions.find(id, caller)
	if s == nil {
		return nil, refusef(http.StatusNotFound, "there is no such session (any more); initialize opens a new one")
	}
	return s, nil
}

// notified handles a notification that is not about cancelling.
func (h *HTTP) notified(ctx context.Context, e *exchange, m message) {
	h.server.respond(h.server.mcp.WithContext(ctx, e), m)
}

// answer carries out the request m. Until the reply is there, it writes what
// the handler sends to its client. The reply is nil where none is due.
func (h *HTTP) answer(out *response, r *http.Request, caller string, e *exchange, m message) mcp.JSONRPCMessage {
	ctx := h.server.mcp.WithContext(r.Context(), e)
	ctx, cancel := context.WithCancelCause(withOrigin(ctx, origin{caller: caller, received: m.received}))
	defer cancel(nil)
	if e.session != nil {
		defer e.session.inflight.remember(m.id, cancel)()
	}
	replies := make(chan mcp.JSONRPCMessage, 1)
	go func() {
		defer h.lanes.enter(ctx, h.server, m)()
		replies <- h.server.respond(ctx, m)
	}()
	for {
		select {
		case n := <-e.notifications:
			out.send(n)
		case question := <-e.asked:
			out.sendAll(e.notifications)
			out.send(question)
		case reply := <-replies:
			out.sendAll(e.notifications)
			if cause := context.Cause(ctx); errors.Is(cause, errCancelled) || errors.Is(cause, errSessionEnded) {
				h.log.DebugContext(ctx, "request cancelled", slog.String("id", string(m.id)), slog.String("cause", cause.Error()))
				return nil
			}
			return reply
		}
	}
}

// finish writes the reply of a request.
func (h *HTTP) finish(out *response, status int, reply mcp.JSONRPCMessage) {
	if reply == nil {
		out.nothing()
		return
	}
	out.reply(status, reply)
}
