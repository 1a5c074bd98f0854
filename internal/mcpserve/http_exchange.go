package mcpserve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"
)

// exchange is one request as mcp-go wants to see it: a client session. It lasts
// as long as the request, so whatever a handler sends goes out on the answer to
// that request and nowhere else. The library's own session for HTTP is shared
// by requests, and loses what is sent just before the result.
type exchange struct {
	session       *httpSession // nil in the stateless era
	events        bool         // the client reads event streams
	notifications chan mcp.JSONRPCNotification
	asked         chan mcp.JSONRPCRequest
}

func newExchange(s *httpSession, events bool) *exchange {
	return &exchange{
		session:       s,
		events:        events,
		notifications: make(chan mcp.JSONRPCNotification, notificationBuffer),
		asked:         make(chan mcp.JSONRPCRequest),
	}
}

func (e *exchange) SessionID() string {
	if e.session == nil {
		return ""
	}
	return e.session.id
}

func (e *exchange) Initialize()       {}
func (e *exchange) Initialized() bool { return true }

func (e *exchange) NotificationChannel() chan<- mcp.JSONRPCNotification { return e.notifications }

// SetLogLevel implements server.SessionWithLogging. In the stateless era each
// request says its level, and mcp-go asks for none here.
func (e *exchange) SetLogLevel(level mcp.LoggingLevel) {
	if e.session != nil {
		e.session.setLevel(level)
	}
}

// GetLogLevel implements server.SessionWithLogging.
func (e *exchange) GetLogLevel() mcp.LoggingLevel {
	if e.session == nil {
		return mcp.LoggingLevelError
	}
	return e.session.logLevel()
}

// RequestElicitation implements server.SessionWithElicitation.
func (e *exchange) RequestElicitation(ctx context.Context, r mcp.ElicitationRequest) (*mcp.ElicitationResult, error) {
	return ask[mcp.ElicitationResult](ctx, e, mcp.MethodElicitationCreate, r.Params)
}

// RequestSampling implements server.SessionWithSampling.
func (e *exchange) RequestSampling(ctx context.Context, r mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
	result, err := ask[mcp.CreateMessageResult](ctx, e, mcp.MethodSamplingCreateMessage, r.CreateMessageParams)
	if err != nil {
		return nil, err
	}
	if result.Content, err = mcp.ParseSamplingContent(result.Content); err != nil {
		return nil, fmt.Errorf("%s: %w", mcp.MethodSamplingCreateMessage, err)
	}
	return result, nil
}

// ask sends the client a request on the answer to its own and waits for the
// response, which comes as a request of its own.
func ask[T any](ctx context.Context, e *exchange, method mcp.MCPMethod, params any) (*T, error) {
	if e.session == nil || !e.events {
		return nil, fmt.Errorf("%s: the client cannot be asked on this request", method)
	}
	id, answers, done := e.session.expect()
	defer done()
	request := mcp.JSONRPCRequest{
		JSONRPC: mcp.JSONRPC_VERSION,
		ID:      mcp.NewRequestId(id),
		Request: mcp.Request{Method: string(method)},
		Params:  params,
	}
	select {
	case e.asked <- request:
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", method, context.Cause(ctx))
	}
	select {
	case a := <-answers:
		if a.err != nil {
			return nil, fmt.Errorf("%s: %w", method, a.err)
		}
		result := new(T)
		if err := json.Unmarshal(a.result, result); err != nil {
			return nil, fmt.Errorf("%s: %w", method, errors.Join(errors.New("the client's result cannot be read"), err))
		}
		return result, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w", method, context.Cause(ctx))
	}
}
