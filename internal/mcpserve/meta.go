package mcpserve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/mark3labs/mcp-go/mcp"

	"nsenter-mcp/tools"
)

// forwarded reports whether a call comes from another node's server.
func forwarded(r mcp.CallToolRequest) bool {
	if r.Params.Meta == nil {
		return false
	}
	is, _ := r.Params.Meta.AdditionalFields[tools.ForwardedMeta].(bool)
	return is
}

// narrowing is what the policy of the server that forwarded a call takes away; nil
// for nothing. What is not understood fails: the call would do more than it may.
func narrowing(r mcp.CallToolRequest) (*tools.Narrowing, error) {
	if r.Params.Meta == nil {
		return nil, nil
	}
	field, given := r.Params.Meta.AdditionalFields[tools.NarrowingMeta]
	if !given {
		return nil, nil
	}
	text, err := json.Marshal(field)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", tools.NarrowingMeta, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	n := &tools.Narrowing{}
	if err := decoder.Decode(n); err != nil {
		return nil, fmt.Errorf("%s is not understood here, so the call is refused: %w", tools.NarrowingMeta, err)
	}
	return n, nil
}

// progress returns what sends notifications/progress for a call; nil where its
// client has asked for none.
func (s *Server) progress(ctx context.Context, r mcp.CallToolRequest) func(tools.Progress) {
	if r.Params.Meta == nil || r.Params.Meta.ProgressToken == nil {
		return nil
	}
	token := r.Params.Meta.ProgressToken
	return func(p tools.Progress) {
		params := map[string]any{"progressToken": token, "progress": p.Done}
		if p.Total > 0 {
			params["total"] = p.Total
		}
		if p.Message != "" {
			params["message"] = p.Message
		}
		// One that does not fit into the client's queue is worth little later.
		_ = s.mcp.SendNotificationToClient(ctx, "notifications/progress", params)
	}
}
