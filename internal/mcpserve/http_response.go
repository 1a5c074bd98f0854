package mcpserve

import (
	"net/http"
	"slices"
	"strings"
	"time"
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
	if o.events {
		o.begin()
		o.event(encodeReply(message))
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

// event writes a line (JSON has no line breaks) as an event
// (https://html.spec.whatwg.org/#server-sent-events).
func (o *response) event(line []byte) {
	o.write(slices.Concat([]byte("event: message\ndata: "), line, []byte{'\n'}))
}

// reply ends the answer with the reply to the request. In an event stream, the
// status is past.
func (o *response) reply(status int, reply any) {
	if !o.streaming && o.objects {
		o.json(status, reply)
		return
	}
	o.begin()
	o.event(encodeReply(reply))
}

// accepted answers messages to which no reply is due.
func (o *response) accepted() {
	if !o.streaming {
		o.w.WriteHeader(http.StatusAccepted)
	}
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
