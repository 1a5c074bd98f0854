package mcpserve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// post answers a message from the client.
func (h *HTTP) post(out *response, r *http.Request, caller string) *refusal {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refusef(http.StatusUnsupportedMediaType, "the content type must be application/json")
	}
	if !out.accept(r.Header.Values("Accept")) {
		return refusef(http.StatusNotAcceptable, "accept application/json and text/event-stream")
	}
	size := r.ContentLength
	if size < 0 || size > h.limits.size {
		size = h.limits.size
	}
	size += minHeld
	wait, cancel := context.WithTimeout(r.Context(), h.limits.room)
	err := h.pending.Acquire(wait, size)
	cancel()
	if err != nil {
		return busy("too many requests are being answered")
	}
	defer func() { h.pending.Release(size) }()
	body, refused := h.read(out, r)
	if refused != nil {
		return refused
	}
	excess := size - minHeld - int64(len(body)) // where the client did not say how long it is
	h.pending.Release(excess)
	size -= excess

	s, refused := h.session(r, caller)
	version := ""
	if s != nil && !isStateless(r.Header) {
		version = s.version
	}
	in := parse(body, version, time.Now())
	switch m := in.single(); {
	case isStateless(r.Header) || mcp.IsModernProtocol(m.statedVersion()):
		h.stateless(out, r, caller, in)
		return nil
	case m.method == string(mcp.MethodInitialize) && m.isRequest():
		return h.openSession(out, r, caller, in)
	}
	if v := r.Header.Get(mcp.HeaderProtocolVersion); v != "" && !mcp.IsValidProtocolVersion(v) {
		return refusef(http.StatusBadRequest, "protocol version %q is not supported", clip(v))
	}
	if refused != nil {
		return refused
	}
	h.answer(out, r, h.newClient(caller, s), in)
	return nil
}

// newClient is who sends one request, in a session (of the protocol before 2026-07-28)
// or with nil in none.
func (h *HTTP) newClient(caller string, s *httpSession) *client {
	if s == nil {
		return h.server.newClient(caller, h.slots, &inflight{})
	}
	c := h.server.newClient(caller, h.slots, &s.inflight)
	c.session = s.id
	return c
}

// read reads the body, which the caller then owns.
func (h *HTTP) read(out *response, r *http.Request) ([]byte, *refusal) {
	_ = out.control.SetReadDeadline(time.Now().Add(h.limits.readBody))
	// Of a body whose length is known, no more is held than that.
	body := bytes.NewBuffer(make([]byte, 0, max(0, min(r.ContentLength, h.limits.size))+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(out.w, r.Body, h.limits.size))
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

// openSession answers initialize.
func (h *HTTP) openSession(out *response, r *http.Request, caller string, in input) *refusal {
	s := newHTTPSession(caller)
	c := h.newClient(caller, s)
	reply := c.begin(h.server.mcp.WithContext(r.Context(), c), in)()
	if s.version = negotiated(reply); s.version != "" {
		if !h.sessions.add(s) {
			return busy("all sessions are in use")
		}
		out.w.Header().Set(mcp.HeaderSessionID, s.id)
	}
	out.reply(c.status(reply), reply)
	return nil
}

// session returns the session that the request names.
func (h *HTTP) session(r *http.Request, caller string) (*httpSession, *refusal) {
	id := r.Header.Get(mcp.HeaderSessionID)
	if id == "" {
		return nil, refusef(http.StatusBadRequest, "the header %s is missing; initialize opens a session and returns its id", mcp.HeaderSessionID)
	}
	s := h.sessions.find(id, caller)
	if s == nil {
		return nil, refusef(http.StatusNotFound, "there is no such session (any more); initialize opens a new one")
	}
	return s, nil
}

// answer carries an input out and writes the reply. Until the reply is there, it writes
// the notifications that the requests send. Without a reply (MCP wants none to a
// cancelled request) it ends an empty stream.
func (h *HTTP) answer(out *response, r *http.Request, c *client, in input) {
	run := c.begin(h.server.mcp.WithContext(r.Context(), c), in)
	if !in.isRequest() {
		run()
		out.w.WriteHeader(http.StatusAccepted)
		return
	}
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
				out.begin()
				return
			}
			out.reply(c.status(reply), reply)
			return
		}
	}
}

// status is the HTTP status of a reply. For the protocol without sessions, MCP
// 2026-07-28 prescribes it, so that proxies can act on it.
func (c *client) status(reply any) int {
	failure, _ := reply.(mcp.JSONRPCError)
	code := failure.Error.Code
	stateless := c.session == ""
	switch {
	case code == mcp.PARSE_ERROR, code == mcp.INVALID_REQUEST:
		return http.StatusBadRequest
	case stateless && code == mcp.METHOD_NOT_FOUND:
		return http.StatusNotFound
	case stateless && (code == mcp.INVALID_PARAMS || code == mcp.HEADER_MISMATCH ||
		code == mcp.MISSING_REQUIRED_CLIENT_CAPABILITY || code == mcp.UNSUPPORTED_PROTOCOL_VERSION):
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// isStateless reports whether the headers are those of the protocol of
// 2026-07-28 or later.
func isStateless(h http.Header) bool {
	return mcp.IsModernProtocol(h.Get(mcp.HeaderProtocolVersion))
}

// statedVersion is what a message itself says of its protocol version.
func (m message) statedVersion() string {
	var params struct {
		Meta *mcp.Meta `json:"_meta"`
	}
	if m.isCall() {
		return m.call.Meta.Version
	}
	if json.Unmarshal(m.params, &params) != nil {
		return ""
	}
	return params.Meta.ProtocolVersion()
}

// stateless answers a message of the protocol since 2026-07-28. There,
// notifications/cancelled has no use over HTTP, as closing the connection
// cancels; without sessions nobody could tell who sent it.
func (h *HTTP) stateless(out *response, r *http.Request, caller string, in input) {
	m := &in.messages[0] // there are no batches
	switch {
	case m.fault == nil && m.method == "":
		m.fault = &fault{mcp.INVALID_REQUEST, "invalid request: a server of this protocol version asks nothing, so there is nothing to respond to"}
	case m.fault == nil:
		m.fault = h.checkHeaders(r.Header, *m)
	}
	h.answer(out, r, h.newClient(caller, nil), in)
}

// checkHeaders holds the headers against the body, as MCP 2026-07-28 demands
// (SEP-2243): what a proxy decided by the headers must be true of the body.
func (h *HTTP) checkHeaders(headers http.Header, m message) *fault {
	mismatch := func(text string) *fault { return &fault{mcp.HEADER_MISMATCH, "header mismatch: " + text} }
	header, stated := headers.Get(mcp.HeaderProtocolVersion), m.statedVersion()
	switch {
	case headers.Get(mcp.HeaderLastEventID) != "":
		return mismatch("streams cannot be resumed; send the request again, with a new id")
	case header == "":
		return mismatch("the header " + mcp.HeaderProtocolVersion + " is missing")
	case stated == "":
		return &fault{mcp.INVALID_PARAMS, "invalid params: _meta lacks " + mcp.MetaKeyProtocolVersion}
	case header != stated:
		return mismatch(mcp.HeaderProtocolVersion + " is not the version that _meta states")
	case m.id == nil:
		return nil
	}
	err := mcp.ValidateStandardHeaders(headers.Get, stated, mcp.MCPMethod(m.method), m.params)
	if tool := h.server.library().GetTool(m.call.Name); err == nil && tool != nil {
		// Arguments that a tool's schema marks come twice.
		lookup := func(name string) (value string, sent bool) { return headers.Get(name), len(headers.Values(name)) > 0 }
		err = mcp.ValidateParamHeadersLookup(lookup, &tool.Tool, m.params)
	}
	if err != nil {
		return &fault{mcp.HEADER_MISMATCH, err.Error()}
	}
	return nil
}
