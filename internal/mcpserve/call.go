package mcpserve

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"nsenter-mcp/internal/dispatch"

	"github.com/mark3labs/mcp-go/mcp"
)

// callParams are the parameters of tools/call as far as this package reads them.
type callParams struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
	Meta      struct {
		ProgressToken json.RawMessage         `json:"progressToken"`
		Forwarded     bool                    `json:"nsenter-mcp/forwarded"` // dispatch.ForwardedMeta
		Narrowing     json.RawMessage         `json:"nsenter-mcp/narrowing"` // dispatch.NarrowingMeta
		Version       string                  `json:"io.modelcontextprotocol/protocolVersion"`
		Capabilities  *mcp.ClientCapabilities `json:"io.modelcontextprotocol/clientCapabilities"`
	} `json:"_meta"`
	narrowing *dispatch.Narrowing
}

func parseCall(params json.RawMessage) (callParams, *fault) {
	var c callParams
	invalid := func(format string, args ...any) (callParams, *fault) {
		return c, &fault{mcp.INVALID_PARAMS, "invalid params: " + fmt.Sprintf(format, args...)}
	}
	if len(params) == 0 {
		return invalid("they are missing")
	}
	if err := json.Unmarshal(params, &c); err != nil {
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			return invalid("%s cannot be of type %s", cmp.Or(wrong.Field, "params"), wrong.Value)
		}
		return invalid("%v", err)
	}
	if size := len(c.Arguments); size > maxArguments {
		return callParams{Name: c.Name}, tooLong("arguments have", size)
	}
	if c.Meta.Narrowing == nil {
		return c, nil
	}
	// What takes something away and is not understood fails: the call would do more
	// than it may.
	decoder := json.NewDecoder(bytes.NewReader(c.Meta.Narrowing))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c.narrowing); err != nil {
		return invalid("%s is not understood here, so the call is refused: %v", dispatch.NarrowingMeta, err)
	}
	return c, nil
}

// deadline is when a call that arrived with m has run out of time.
func (s *Server) deadline(m message) time.Time {
	limit := s.served[m.call.Name].Deadline
	var given struct {
		TimeoutMS int `json:"timeout_ms"`
	}
	// Arguments that cannot be read are the dispatcher's to refuse.
	if json.Unmarshal(m.call.Arguments, &given) == nil && given.TimeoutMS > 0 {
		limit = min(time.Duration(given.TimeoutMS)*time.Millisecond, dispatch.MaxDeadline)
	}
	return m.received.Add(limit)
}

// callResult is mcp.CallToolResult, which has a slower encoding of its own.
type callResult struct {
	Meta              map[string]mcp.Implementation `json:"_meta,omitempty"`
	ResultType        mcp.ResultType                `json:"resultType,omitempty"`
	Content           [1]mcp.TextContent            `json:"content"`
	StructuredContent json.RawMessage               `json:"structuredContent"`
	IsError           bool                          `json:"isError,omitempty"`
}

// callTool answers tools/call, in both eras of the protocol. mcp-go would decode the
// message several times to find nothing more in it, and its error for an unknown tool
// says only that: the dispatcher knows the likely name, and what the operator has
// switched off.
func (s *Server) callTool(ctx context.Context, c *client, m message) mcp.JSONRPCMessage {
	modern := mcp.IsModernProtocol(m.call.Meta.Version)
	switch {
	case modern && m.call.Meta.Capabilities == nil:
		return errorReply(m.id, mcp.INVALID_PARAMS, "invalid params: _meta lacks "+mcp.MetaKeyClientCapabilities)
	case modern && !mcp.IsValidProtocolVersion(m.call.Meta.Version):
		failure := mcp.UnsupportedProtocolVersionError{Version: m.call.Meta.Version, Supported: mcp.ValidProtocolVersions}.JSONRPCError()
		failure.ID = requestID(m.id)
		return failure
	}
	call := dispatch.Call{
		Tool: m.call.Name, Arguments: m.call.Arguments, Caller: c.caller, Received: m.received,
		Forwarded: m.call.Meta.Forwarded, Narrowing: m.call.narrowing,
	}
	if token := m.call.Meta.ProgressToken; token != nil && string(token) != "null" {
		call.Progress = func(p dispatch.Progress) { c.report(token, p) }
	}
	answer := s.dispatcher.Call(ctx, call)
	if _, served := s.served[m.call.Name]; !served && answer.Error != nil { // the protocol wants an error of its own
		refusal := errorReply(m.id, mcp.INVALID_PARAMS, strings.TrimSuffix(answer.Error.Message+": "+answer.Error.Hint, ": ")).(mcp.JSONRPCError)
		refusal.Error.Data = answer.Error
		return refusal
	}
	text, err := answer.JSON()
	if err != nil {
		return errorReply(m.id, mcp.INTERNAL_ERROR, fmt.Sprintf("encode the answer of %s: %v", m.call.Name, err))
	}
	result := callResult{Content: [1]mcp.TextContent{mcp.NewTextContent(string(text))}, StructuredContent: text, IsError: answer.IsError()}
	if modern {
		result.ResultType = mcp.ResultTypeComplete
		result.Meta = map[string]mcp.Implementation{mcp.MetaKeyServerInfo: s.introduction}
	}
	return mcp.NewJSONRPCResultResponse(requestID(m.id), result)
}
