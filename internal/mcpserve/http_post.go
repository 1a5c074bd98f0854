package mcpserve

import (
	"bytes"
	"context"
	"errors"
	"mime"
	"net/http"
	"time"

	"nsenter-mcp/internal/dispatch"

	"github.com/mark3labs/mcp-go/mcp"
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
	size := r.ContentLength
	if size < 0 || size > h.limits.body {
		size = h.limits.body
	}
	wait, cancel := context.WithTimeout(r.Context(), h.limits.room)
	err := h.bytes.Acquire(wait, size)
	cancel()
	if err != nil {
		return busy("too many long requests are being answered")
	}
	defer func() { h.bytes.Release(size) }()
	body, refused := h.read(out, r)
	if refused != nil {
		return refused
	}
	h.bytes.Release(size - int64(len(body))) // where the client did not say how long it is
	size = int64(len(body))
	if isStateless(r.Header) || mcp.IsModernProtocol(statedVersion(body)) {
		h.stateless(out, r, caller, body)
		return nil
	}
	return h.inSession(out, r, caller, body)
}

// busy refuses a request that there is no room for.
func busy(text string) *refusal {
	hint := "wait for answers before asking more, and try again"
	return &refusal{
		http.StatusServiceUnavailable, mcp.INTERNAL_ERROR, "busy: " + text,
		dispatch.Error{Code: dispatch.CodeBusy, Stage: "queue", Message: text, Hint: hint},
	}
}

// read reads the body, which the caller then owns.
func (h *HTTP) read(out *response, r *http.Request) ([]byte, *refusal) {
	_ = out.control.SetReadDeadline(time.Now().Add(h.limits.readBody))
	// Of a body whose length is known, no more is held than that.
	body := bytes.NewBuffer(make([]byte, 0, max(0, min(r.ContentLength, h.limits.body))+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(out.w, r.Body, h.limits.body))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, refusef(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", tooLong.Limit)
	case err != nil:
		return nil, refusef(http.StatusBadRequest, "the body could not be read in time or ended early")
	}
	// From here on net/http reads, without the deadline, to see the client hang up.
	out.w.Header().Del("Connection")
	return body.Bytes(), nil
}

// inSession answers a message, or a batch, of the protocol before 2026-07-28.
func (h *HTTP) inSession(out *response, r *http.Request, caller string, body []byte) *refusal {
	received := time.Now()
	m, err := parseMessage(body, received)
	_, isBatch, _ := splitBatch(body, "")
	switch {
	case err != nil && !isBatch:
		out.reply(http.StatusBadRequest, m.failure(err))
		return nil
	case m.id != nil && m.method == string(mcp.MethodInitialize):
		return h.openSession(out, r, caller, m)
	}
	if v := r.Header.Get(mcp.HeaderProtocolVersion); v != "" && !mcp.IsValidProtocolVersion(v) {
		return refusef(http.StatusBadRequest, "protocol version %q is not supported", clip(v))
	}
	s, refused := h.session(r, caller)
	if refused != nil {
		return refused
	}
	c := h.server.newClient(caller, h.slots, &s.inflight)
	c.session = s.id
	ctx := h.server.mcp.WithContext(r.Context(), c)
	items, _, err := splitBatch(body, s.version)
	switch {
	case err != nil:
		out.reply(http.StatusBadRequest, m.failure(err))
	case isBatch:
		h.answer(out, c, out.accepted, c.beginBatch(ctx, items, received))
	case m.id == nil || m.method == "":
		c.handle(ctx, m)
		out.accepted()
	default:
		run := c.begin(ctx, m)
		h.answer(out, c, out.begin, func() any { return run() })
	}
	return nil
}

// openSession answers initialize.
func (h *HTTP) openSession(out *response, r *http.Request, caller string, m message) *refusal {
	s := newHTTPSession(caller)
	c := h.server.newClient(caller, h.slots, &s.inflight)
	c.session = s.id
	reply := c.handle(h.server.mcp.WithContext(r.Context(), c), m)
	if response, ok := reply.(mcp.JSONRPCResponse); ok {
		hello, _ := response.Result.(mcp.InitializeResult)
		s.version = hello.ProtocolVersion
		if !h.sessions.add(s) {
			return busy("all sessions are in use")
		}
		out.w.Header().Set(sessionHeader, s.id)
	}
	out.reply(http.StatusOK, reply)
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

// answer carries out what c has begun and writes the reply. Until the reply is there,
// it writes the notifications that the requests send. Without a reply (MCP wants none
// to a cancelled request) it ends with empty.
func (h *HTTP) answer(out *response, c *client, empty func(), run func() any) {
	replies := make(chan any, 1)
	go func() { replies <- run() }()
	for {
		select {
		case n := <-c.notifications:
			out.send(n)
			continue
		case reply := <-replies:
			// A handler queues its notifications before it returns its result.
			for len(c.notifications) > 0 {
				out.send(<-c.notifications)
			}
			if reply == nil {
				empty()
				return
			}
			status := http.StatusOK
			if failure, ok := reply.(mcp.JSONRPCError); ok && c.session == "" {
				status = statelessStatus(failure.Error.Code)
			}
			out.reply(status, reply)
			return
		}
	}
}
