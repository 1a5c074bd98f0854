package mcpserve

import (
	"context"

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
