package mcpserve

import (
	"encoding/json"
	"slices"

	"github.com/mark3labs/mcp-go/mcp"
)

// encodeReply is appendReply to nothing.
func encodeReply(reply mcp.JSONRPCMessage) []byte { return appendReply(nil, reply) }

// appendReply never fails: a result that cannot be encoded becomes an error, as
// somebody waits for the reply.
func appendReply(b []byte, reply mcp.JSONRPCMessage) []byte {
	text, err := marshalReply(b, reply)
	if err != nil {
		id, _ := json.Marshal(replyID(reply))
		failure, _ := json.Marshal(errorReply(id, mcp.INTERNAL_ERROR, "internal error: "+err.Error()))
		text = append(b, failure...)
	}
	return text
}

// marshalReply appends what json.Marshal makes of a reply, but that the result of a
// call, which is encoded already and long, is not read through once more, and again.
func marshalReply(b []byte, reply mcp.JSONRPCMessage) ([]byte, error) {
	r, ok := reply.(mcp.JSONRPCResponse)
	result, own := r.Result.(*mcp.CallToolResult)
	if !ok || !own {
		text, err := json.Marshal(reply)
		return append(b, text...), err
	}
	id, err := json.Marshal(r.ID)
	if err != nil {
		return nil, err
	}
	text := slices.Grow(b, 2*len(result.RawStructuredContent)+len(result.RawStructuredContent)/2+200)
	text = append(append(append(text, `{"jsonrpc":"`+r.JSONRPC+`","id":`...), id...), `,"result":`...)
	if isPlain(result) {
		text = appendPlain(text, result)
	} else {
		encoded, err := result.MarshalJSON()
		if err != nil {
			return nil, err
		}
		text = append(text, encoded...)
	}
	return append(text, '}'), nil
}

// isPlain reports whether a result says nothing but one JSON object, as text and
// as structured content, and that on one line, so that it can be put in as it is.
func isPlain(r *mcp.CallToolResult) bool {
	if len(r.Content) != 1 || r.Meta != nil || len(r.InputRequests) > 0 || r.RequestState != "" {
		return false
	}
	text, ok := r.Content[0].(mcp.TextContent)
	return ok && text.Annotations == nil && text.Meta == nil && len(r.RawStructuredContent) > 0 && text.Text == string(r.RawStructuredContent) &&
		!slices.ContainsFunc(r.RawStructuredContent, func(c byte) bool { return c < ' ' })
}

// appendPlain appends the encoding of a result for which isPlain holds.
func appendPlain(b []byte, r *mcp.CallToolResult) []byte {
	b = append(b, `{"content":[{"type":"text","text":`...)
	b = appendQuoted(b, r.RawStructuredContent)
	b = append(append(b, `}],"structuredContent":`...), r.RawStructuredContent...)
	if r.IsError {
		b = append(b, `,"isError":true`...)
	}
	if r.ResultType != "" {
		b = append(b, `,"resultType":`...)
		b = appendQuoted(b, []byte(r.ResultType))
	}
	return append(b, '}')
}

// appendQuoted appends text without control characters as a JSON string: besides
// those, only quotes and backslashes must be escaped (RFC 8259, 7).
func appendQuoted(b, text []byte) []byte {
	b = append(b, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return append(b, '"')
}

func replyID(reply mcp.JSONRPCMessage) mcp.RequestId {
	switch r := reply.(type) {
	case mcp.JSONRPCResponse:
		return r.ID
	case mcp.JSONRPCError:
		return r.ID
	default:
		return mcp.NewRequestId(nil)
	}
}
