package mcpserve

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// connection is the state of one ServeStdio.
type connection struct {
	server *Server
	limits limits
	out    *output
	// stopped is closed when the server is told to end.
	stopped <-chan struct{}

	lanes    lanes
	pending  chan struct{} // counting semaphore
	inflight inflight
}

// sendNow writes a reply from the goroutine that reads: a client that reads
// nothing must not keep it from seeing the end.
func (c *connection) sendNow(reply mcp.JSONRPCMessage) { c.out.send(reply, c.stopped) }

// accept does what a line asks for, or returns it as a job where that may take
// time.
func (c *connection) accept(ctx context.Context, text []byte, received time.Time) (job func()) {
	if isBlank(text) {
		return nil
	}
	m, err := parseMessage(text, received)
	switch {
	case errors.Is(err, errNotJSON):
		c.sendNow(errorReply(nil, mcp.PARSE_ERROR, err.Error()))
	case err != nil:
		c.sendNow(errorReply(m.id, mcp.INVALID_REQUEST, err.Error()))
	case m.method == "": // a response; this server asks its client nothing
	case m.id == nil:
		c.notified(ctx, m)
	case m.method == string(mcp.MethodInitialize), m.method == string(mcp.MethodPing):
		// Answered at once, whatever hangs, and initialize before all else.
		c.sendNow(c.server.respond(ctx, m))
	default:
		return c.job(ctx, m)
	}
	return nil
}

// job returns what answers a request. With too many unanswered ones it waits,
// and with it whoever reads: the pipe then holds the client back.
func (c *connection) job(ctx context.Context, m message) func() {
	select {
	case c.pending <- struct{}{}:
	case <-c.stopped:
		return nil
	case <-c.out.done:
		return nil
	}
	ctx, cancel := context.WithCancelCause(withOrigin(ctx, origin{caller: c.server.caller, received: m.received}))
	forget := c.inflight.remember(m.id, cancel)
	return func() {
		defer func() { <-c.pending }()
		defer cancel(nil)
		defer forget()
		defer c.lanes.enter(ctx, c.server, m)()
		reply := c.server.respond(ctx, m)
		if reply == nil || errors.Is(context.Cause(ctx), errCancelled) {
			return // MCP: no response to a cancelled request
		}
		if m.wantsProgress() {
			c.out.sendLast(reply)
		} else {
			c.out.send(reply, nil)
		}
	}
}

// notified handles a notification.
func (c *connection) notified(ctx context.Context, m message) {
	if m.method != string(mcp.MethodNotificationCancelled) {
		c.server.respond(ctx, m)
		return
	}
	if c.inflight.cancel(m.params) {
		c.server.log.DebugContext(ctx, "request cancelled", slog.String("params", clip(string(m.params))))
	}
}

func isBlank(text []byte) bool {
	for _, b := range text {
		if b != ' ' && b != '\t' && b != '\r' {
			return false
		}
	}
	return true
}
