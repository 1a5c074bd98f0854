package mcpserve

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"nsenter-mcp/internal/dispatch"

	"github.com/mark3labs/mcp-go/mcp"
	"golang.org/x/sync/semaphore"
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

// slots bound how many requests run at once. Calls of tools that send packets hang
// until their deadline where nothing answers, and where that is so there are many of
// them. Such calls take no slot of calls that only look at a node, nor of requests
// that are no call. The number of unanswered requests is bounded elsewhere, for all
// kinds alike.
type slots struct{ probes, looks, others *semaphore.Weighted }

// newSlots gives the calls of both kinds as many slots each.
func newSlots(calls, others int64) slots {
	return slots{semaphore.NewWeighted(calls), semaphore.NewWeighted(calls), semaphore.NewWeighted(others)}
}

// enter waits until the request m to s may run; the returned function lets the
// next one in. A request that ends while it waits runs too, and fails at once:
// a cancelled one for its context, a late call because the dispatcher refuses
// calls whose time is up.
func (l slots) enter(ctx context.Context, s *Server, m message) (leave func()) {
	slot := l.others
	switch {
	case m.isCall() && s.served[m.call.Name].SendsPackets:
		slot = l.probes
	case m.isCall():
		slot = l.looks
	}
	if !slot.TryAcquire(1) {
		if m.isCall() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, s.deadline(m))
			defer cancel()
		}
		if slot.Acquire(ctx, 1) != nil {
			return func() {}
		}
	}
	return func() { slot.Release(1) }
}

// begin takes an input up: its requests can be cancelled from now on, so that the next
// message can already do it. The caller calls what it returns, once, which carries
// the messages out, those of a batch side by side. It returns the reply, or the replies
// to a batch; nil where none is due: to notifications, to responses (this server asks
// its clients nothing), and to requests that were cancelled.
func (c *client) begin(ctx context.Context, in input) (run func() any) {
	if !in.isBatch {
		return c.beginMessage(ctx, in.messages[0])
	}
	var begun []func() any
	for _, m := range in.messages {
		begun = append(begun, c.beginMessage(ctx, m))
	}
	return func() any {
		replies := make([]any, len(begun))
		var all sync.WaitGroup
		for i := range begun {
			all.Go(func() { replies[i] = begun[i]() })
		}
		all.Wait()
		if replies = slices.DeleteFunc(replies, func(r any) bool { return r == nil }); len(replies) == 0 {
			return nil
		}
		return replies
	}
}

func (c *client) beginMessage(ctx context.Context, m message) (run func() any) {
	switch {
	case m.fault != nil:
		return func() any { return errorReply(m.id, m.fault.code, m.fault.text) }
	case !m.isRequest():
		return func() any {
			switch m.method {
			case "": // a response
			case string(mcp.MethodNotificationCancelled):
				c.inflight.cancel(m.params)
			default:
				c.server.respond(ctx, c, m)
			}
			return nil
		}
	case m.isCall() && !c.server.isForeign(m.call.Name):
		m.raw, m.params = nil, nil // all that counts is in m.call
	}
	ctx, cancel := context.WithCancelCause(ctx)
	forget := c.inflight.remember(m.id, cancel)
	return func() any {
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
