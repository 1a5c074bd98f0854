package mcpserve

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"nsenter-mcp/internal/dispatch"

	"github.com/mark3labs/mcp-go/mcp"
)

// refusal is why a request is not answered. The HTTP status tells programs, and
// the body, a JSON-RPC error without id as MCP has it, tells people.
type refusal struct {
	status int
	text   string
	data   any
}

func refusef(status int, format string, args ...any) *refusal {
	return &refusal{status: status, text: fmt.Sprintf(format, args...)}
}

// busy refuses a request that there is no room for.
func busy(text string) *refusal {
	hint := "wait for answers before asking more, and try again"
	return &refusal{
		http.StatusServiceUnavailable, "busy: " + text,
		dispatch.Error{Code: dispatch.CodeBusy, Stage: "queue", Message: text, Hint: hint},
	}
}

// refuse writes the refusal.
func (o *response) refuse(r *refusal) {
	code := mcp.INVALID_REQUEST
	if r.status == http.StatusServiceUnavailable {
		o.w.Header().Set("Retry-After", "1")
		code = mcp.INTERNAL_ERROR
	}
	reply := errorReply(nil, code, r.text).(mcp.JSONRPCError)
	reply.Error.Data = r.data
	o.json(r.status, reply)
}

// response writes the answer to one request: one JSON object or, where
// something is said before the result, an event stream that ends with it. One
// goroutine at a time may use it.
type response struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // for each write

	events    bool // the client reads event streams
	objects   bool // the client reads JSON objects
	streaming bool // an event stream has begun
	failed    bool // the client is gone or does not read
}

// accept takes note of what the client reads. It reports whether that is
// anything that can be written.
func (o *response) accept(headers []string) bool {
	for kind := range strings.SplitSeq(cmp.Or(strings.Join(headers, ","), "*/*"), ",") { // RFC 9110, 12.5.1: without any
		kind, _, _ = strings.Cut(kind, ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case "*/*":
			o.events, o.objects = true, true
		case "text/*", "text/event-stream":
			o.events = true
		case "application/*", "application/json":
			o.objects = true
		}
	}
	return o.events || o.objects
}

// begin begins an event stream.
func (o *response) begin() {
	if o.streaming {
		return
	}
	o.streaming = true
	h := o.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // a proxy must not hold progress back
	o.w.WriteHeader(http.StatusOK)
}

// send writes a message as an event (https://html.spec.whatwg.org/#server-sent-events):
// JSON has no line breaks. A client that reads no event streams does not get it.
func (o *response) send(message any) {
	if o.events {
		o.begin()
		o.write(slices.Concat([]byte("event: message\ndata: "), encodeReply(message), []byte{'\n'}))
	}
}

// reply ends the answer with the reply to the request. In an event stream, the
// status is past.
func (o *response) reply(status int, reply any) {
	if o.streaming || !o.objects {
		o.send(reply)
		return
	}
	o.json(status, reply)
}

// json writes the whole answer.
func (o *response) json(status int, reply any) {
	h := o.w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	o.w.WriteHeader(status)
	o.write(encodeReply(reply))
}

// write writes through to the client. Once that failed, it does nothing.
func (o *response) write(text []byte) {
	if o.failed {
		return
	}
	_ = o.control.SetWriteDeadline(time.Now().Add(o.timeout)) // not every writer has deadlines
	if _, err := o.w.Write(text); err != nil {
		o.failed = true
		return
	}
	if o.streaming {
		o.failed = o.control.Flush() != nil
	}
}
