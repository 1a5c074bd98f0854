package mcpserve

import (
	"fmt"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
)

// refusal is why a request is not answered. The HTTP status tells programs, and
// the body, a JSON-RPC error without id as MCP has it, tells people.
type refusal struct {
	status int
	code   int // JSON-RPC
	text   string
	data   any
}

func refusef(status int, format string, args ...any) *refusal {
	return &refusal{status: status, code: mcp.INVALID_REQUEST, text: fmt.Sprintf(format, args...)}
}

// refuse writes the refusal and ends the connection: what else the client sent
// on it may not have been read.
func (o *response) refuse(r *refusal) {
	reply := errorReply(nil, r.code, r.text).(mcp.JSONRPCError)
	reply.Error.Data = r.data
	o.w.Header().Set("Connection", "close")
	if r.status == http.StatusServiceUnavailable {
		o.w.Header().Set("Retry-After", "1")
	}
	o.json(r.status, reply)
}
