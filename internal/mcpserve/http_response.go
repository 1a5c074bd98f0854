package mcpserve

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

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

func newResponse(w http.ResponseWriter, timeout time.Duration) *response {
	return &response{w: w, control: http.NewResponseController(w), timeout: timeout}
}

// accept takes note of what the client reads. It reports whether that is
// anything that can be written.
func (o *response) accept(headers []string) bool {
	for _, header := range headers {
		for kind := range strings.SplitSeq(header, ",") {
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
	}
	if len(headers) == 0 { // RFC 9110, 12.5.1: any
		o.events, o.objects = true, true
	}
	return o.events || o.objects
}

// send writes a message that is not the reply. A client that reads no event
// streams does not get it.
func (o *response) send(message any) {
	if !o.events {
		return
	}
	text, err := json.Marshal(message)
	if err != nil {
		return // nobody waits for it
	}
	o.begin()
	o.event(text)
}

// sendAll sends the notifications that are waiting. A handler queues them before
// it returns its result, so they are here when the result arrives.
func (o *response) sendAll(waiting <-chan mcp.JSONRPCNotification) {
	for len(waiting) > 0 {
		o.send(<-waiting)
	}
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

// event writes a message of one line (JSON has no others) as an event
// (https://html.spec.whatwg.org/#server-sent-events).
func (o *response) event(text []byte) {
	event := make([]byte, 0, len(text)+24)
	event = append(event, "event: message\ndata: "...)
	event = append(event, text...)
	o.write(append(event, '\n', '\n'))
}

// reply ends the answer with the reply to the request. In an event stream, the
// status is past.
func (o *response) reply(status int, reply mcp.JSONRPCMessage) {
	if !o.streaming && o.objects {
		o.json(status, reply)
		return
	}
	o.begin()
	o.event(encodeReply(reply))
}

// nothing ends the answer to a request that its client cancelled: MCP wants no
// response then.
func (o *response) nothing() { o.begin() }

// json writes the whole answer.
func (o *response) json(status int, reply mcp.JSONRPCMessage) {
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
