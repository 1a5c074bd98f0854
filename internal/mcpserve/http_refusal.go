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

// isAlarming reports whether the operator should hear of it: somebody tried to
// get in, or there is no room. Clients probe what a server has, so the rest is
// everyday life.
func (r *refusal) isAlarming() bool {
	return r.status == http.StatusUnauthorized || r.status == http.StatusForbidden || r.status == http.StatusServiceUnavailable
}

// refuse writes the refusal.
func (o *response) refuse(r *refusal) {
	reply := errorReply(nil, r.code, r.text).(mcp.JSONRPCError)
	reply.Error.Data = r.data
	if r.status == http.StatusServiceUnavailable {
		o.w.Header().Set("Retry-After", "1")
	}
	o.json(r.status, reply)
}
