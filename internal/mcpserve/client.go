package mcpserve

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"nsenter-mcp/internal/dispatch"

	"github.com/mark3labs/mcp-go/mcp"
)

// client is who sends messages: one pair of streams, or one HTTP request. To mcp-go
// it is a session (server.ClientSession). Over HTTP what a handler sends goes out on
// the answer to its request and nowhere else: a session that requests share loses
// notifications that are sent just before a result.
type client struct {
	server        *Server
	caller        string // who asks, for policy and audit
	session       string // its id; empty where there is none
	slots         slots
	inflight      *inflight
	notifications chan mcp.JSONRPCNotification
}

// notificationBuffer is how many notifications may wait to be written before the
// next one is dropped. They are progress, which is worth little late.
const notificationBuffer = 100

func (s *Server) newClient(caller string, sl slots, f *inflight) *client {
	return &client{server: s, caller: caller, slots: sl, inflight: f, notifications: make(chan mcp.JSONRPCNotification, notificationBuffer)}
}

func (c *client) SessionID() string { return c.session }
func (c *client) Initialize()       {}
func (c *client) Initialized() bool { return true }

func (c *client) NotificationChannel() chan<- mcp.JSONRPCNotification { return c.notifications }

// report queues notifications/progress. It never blocks.
func (c *client) report(token json.RawMessage, p dispatch.Progress) {
	params := map[string]any{"progressToken": token, "progress": p.Done}
	if p.Total > 0 {
		params["total"] = p.Total
	}
	if p.Message != "" {
		params["message"] = p.Message
	}
	n := mcp.JSONRPCNotification{JSONRPC: mcp.JSONRPC_VERSION}
	n.Method, n.Params.AdditionalFields = string(mcp.MethodNotificationProgress), params
	select {
	case c.notifications <- n:
	default:
	}
}

// handle does what a message asks for. The reply is nil where none is due: to
// notifications, to responses (this server asks its clients nothing), and to requests
// that were cancelled.
func (c *client) handle(ctx context.Context, m message) mcp.JSONRPCMessage { return c.begin(ctx, m)() }

// begin takes a message up: a request can be cancelled from now on, so that the next
// message can already do it. The caller calls what it returns, once, which does what
// handle says.
func (c *client) begin(ctx context.Context, m message) func() mcp.JSONRPCMessage {
	if m.method == "" || m.id == nil {
		return func() mcp.JSONRPCMessage {
			c.take(ctx, m)
			return nil
		}
	}
	if m.method == string(mcp.MethodToolsCall) && !c.server.isForeign(m.call.Name) {
		m.raw, m.params = nil, nil // all that counts is in m.call
	}
	ctx, cancel := context.WithCancelCause(ctx)
	forget := c.inflight.remember(m.id, cancel)
	return func() mcp.JSONRPCMessage {
		defer cancel(nil)
		defer forget()
		if !m.isUrgent() {
			defer c.slots.enter(ctx, c.server, m)()
		}
		reply := c.server.respond(ctx, c, m)
		if cause := context.Cause(ctx); errors.Is(cause, errCancelled) || errors.Is(cause, errSessionEnded) {
			return nil // MCP: no response to a cancelled request
		}
		return reply
	}
}

// take does what a message asks for that is no request.
func (c *client) take(ctx context.Context, m message) {
	switch m.method {
	case "":
	case string(mcp.MethodNotificationCancelled):
		if c.inflight.cancel(m.params) {
			c.server.log.DebugContext(ctx, "request cancelled", slog.String("params", clip(string(m.params))))
		}
	default:
		c.server.respond(ctx, c, m)
	}
}

// isUrgent reports whether a request is answered at once, whatever hangs.
func (m message) isUrgent() bool {
	return m.method == string(mcp.MethodInitialize) || m.method == string(mcp.MethodPing)
}

// beginBatch takes the messages of a batch up, as begin does. What it returns carries
// them out side by side and returns the replies, nil where none is due.
func (c *client) beginBatch(ctx context.Context, items []json.RawMessage, received time.Time) func() any {
	replies := make([]mcp.JSONRPCMessage, len(items))
	begun := make([]func() mcp.JSONRPCMessage, len(items))
	for i, item := range items {
		m, err := parseMessage(item, received)
		if err != nil {
			begun[i] = func() mcp.JSONRPCMessage { return m.failure(err) }
			continue
		}
		begun[i] = c.begin(ctx, m)
	}
	return func() any {
		var all sync.WaitGroup
		for i := range begun {
			all.Go(func() { replies[i] = begun[i]() })
		}
		all.Wait()
		var due []mcp.JSONRPCMessage
		for _, r := range replies {
			if r != nil {
				due = append(due, r)
			}
		}
		if due == nil {
			return nil
		}
		return due
	}
}
