package mcpclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// ErrLost is the error of calls whose connection has ended: no answer will come any more.
var ErrLost = errors.New("the connection to the server has ended")

// RemoteError is an error of the protocol, which the server has answered with.
type RemoteError struct {
	Code    int
	Message string
	Data    json.RawMessage // as the server wrote it; nil for none
}

func (e *RemoteError) Error() string { return fmt.Sprintf("%s (code %d)", e.Message, e.Code) }

// Request is a call in full.
type Request struct {
	Tool      string
	Arguments json.RawMessage
	Meta      map[string]any // members of _meta
	// Progress gets the server's reports, from the goroutine that reads: it must
	// not block. Nil asks the server for none.
	Progress func(done, total float64, message string)
}

// Do makes a call and returns the answer as the server wrote it. When ctx ends
// first, the server is told that nobody waits any longer. Beside the errors of
// ctx there are [ErrLost], a [*RemoteError], and one of the stream written to.
func (c *Client) Do(ctx context.Context, r Request) (Result, error) {
	// A word of our own, as the library numbers its requests.
	id := mcp.NewRequestId("do-" + strconv.FormatUint(c.last.Add(1), 10))
	meta := make(map[string]any, len(r.Meta)+1)
	for name, value := range r.Meta {
		meta[name] = value
	}
	if r.Progress != nil {
		token := id.Value().(string)
		meta["progressToken"] = token
		c.progress.Store(token, r.Progress)
		defer c.progress.Delete(token)
	}
	params := map[string]any{"name": r.Tool, "arguments": r.Arguments}
	if len(meta) > 0 {
		params["_meta"] = meta
	}
	reply, err := c.mcp.GetTransport().SendRequest(ctx, transport.JSONRPCRequest{
		JSONRPC: mcp.JSONRPC_VERSION, ID: id, Method: string(mcp.MethodToolsCall), Params: params,
	})
	switch {
	case ctx.Err() != nil && err != nil:
		c.cancel(ctx, id)
		return Result{}, ctx.Err()
	case errors.Is(err, transport.ErrTransportClosed):
		return Result{}, ErrLost
	case err != nil:
		return Result{}, fmt.Errorf("call %s: %w", r.Tool, err)
	case reply.Error != nil:
		data, _ := json.Marshal(reply.Error.Data) // was JSON a moment ago
		if reply.Error.Data == nil {
			data = nil
		}
		return Result{}, &RemoteError{Code: reply.Error.Code, Message: reply.Error.Message, Data: data}
	}
	var answer struct {
		StructuredContent json.RawMessage `json:"structuredContent"`
		IsError           bool            `json:"isError"`
	}
	if err := json.Unmarshal(reply.Result, &answer); err != nil {
		return Result{}, fmt.Errorf("the answer to %s: %w", r.Tool, err)
	}
	return Result{JSON: answer.StructuredContent, IsError: answer.IsError}, nil
}

// cancel tells the server that nobody waits for the request any more.
func (c *Client) cancel(ctx context.Context, id mcp.RequestId) {
	n := mcp.JSONRPCNotification{JSONRPC: mcp.JSONRPC_VERSION}
	n.Method = string(mcp.MethodNotificationCancelled)
	n.Params.AdditionalFields = map[string]any{"requestId": id, "reason": ctx.Err().Error()}
	// A connection that has ended has cancelled everything already.
	_ = c.mcp.GetTransport().SendNotification(context.WithoutCancel(ctx), n)
}

// notified hands reports of progress to whose call they are about.
func (c *Client) notified(n mcp.JSONRPCNotification) {
	if n.Method != "notifications/progress" {
		return
	}
	token, _ := n.Params.AdditionalFields["progressToken"].(string)
	report, known := c.progress.Load(token)
	if !known {
		return
	}
	done, _ := n.Params.AdditionalFields["progress"].(float64)
	total, _ := n.Params.AdditionalFields["total"].(float64)
	message, _ := n.Params.AdditionalFields["message"].(string)
	report.(func(done, total float64, message string))(done, total, message)
}
