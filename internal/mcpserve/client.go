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
func (c *client) handle(ctx context.Context, m message) mcp.JSONRPCMessage {
	switch {
	case m.method == "":
		return nil
	case m.method == string(mcp.MethodNotificationCancelled):
		if c.inflight.cancel(m.params) {
			c.server.log.DebugContext(ctx, "request cancelled", slog.String("params", clip(string(m.params))))
		}
		return nil
	case m.id == nil:
		c.server.respond(ctx, c, m)
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer c.inflight.remember(m.id, cancel)()
	if !m.isUrgent() {
		defer c.slots.enter(ctx, c.server, m)()
	}
	reply := c.server.respond(ctx, c, m)
	if cause := context.Cause(ctx); errors.Is(cause, errCancelled) || errors.Is(cause, errSessionEnded) {
		return nil // MCP: no response to a cancelled request
	}
	return reply
}

// isUrgent reports whether a request is answered at once, whatever hangs.
func (m message) isUrgent() bool {
	return m.method == string(mcp.MethodInitialize) || m.method == string(mcp.MethodPing)
}

// handleBatch carries out the messages of a batch side by side and returns the
// replies, nil where none is due.
func (c *client) handleBatch(ctx context.Context, items []json.RawMessage, received time.Time) any {
	replies := make([]mcp.JSONRPCMessage, len(items))
	var all sync.WaitGroup
	for i, item := range items {
		all.Go(func() {
			m, err := parseMessage(item, received)
			if err != nil {
				replies[i] = m.failure(err)
				return
			}
			replies[i] = c.handle(ctx, m)
		})
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
