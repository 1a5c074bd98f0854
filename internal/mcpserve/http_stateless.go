package mcpserve

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/mark3labs/mcp-go/mcp"
)

// isStateless reports whether the headers are those of the protocol of
// 2026-07-28 or later.
func isStateless(h http.Header) bool {
	return mcp.IsModernProtocol(h.Get(mcp.HeaderProtocolVersion))
}

// statelessVersion is the version that a message of that protocol states; empty
// for messages of earlier ones.
func statelessVersion(m message) string {
	if v := statedVersion(m); mcp.IsModernProtocol(v) {
		return v
	}
	return ""
}

// statedVersion is what the message itself says of its protocol version.
func statedVersion(m message) string {
	var params struct {
		Meta *mcp.Meta `json:"_meta"`
	}
	if json.Unmarshal(m.params, &params) != nil {
		return ""
	}
	return params.Meta.ProtocolVersion()
}

// stateless answers a message of the protocol since 2026-07-28. There,
// notifications/cancelled has no use over HTTP, as closing the connection
// cancels; without sessions it could not be told who sent it.
func (h *HTTP) stateless(out *response, r *http.Request, caller string, m message) {
	if m.method == "" {
		h.failStateless(out, m, mcp.INVALID_REQUEST, "invalid request: a server of this protocol version asks nothing, so there is nothing to respond to")
		return
	}
	if code, err := h.checkHeaders(r.Header, m); err != nil {
		h.failStateless(out, m, code, err.Error())
		return
	}
	e := newExchange(nil, out.events)
	if m.id == nil {
		if m.method != string(mcp.MethodNotificationCancelled) {
			h.notified(r.Context(), e, m)
		}
		out.w.WriteHeader(http.StatusAccepted)
		return
	}
	reply := h.answer(out, r, caller, e, m)
	status := http.StatusOK
	if failure, ok := reply.(mcp.JSONRPCError); ok {
		status = statelessStatus(failure.Error.Code)
	}
	h.finish(out, status, reply)
}

func (h *HTTP) failStateless(out *response, m message, code int, text string) {
	out.reply(statelessStatus(code), errorReply(m.id, code, text))
}

// statelessStatus is the HTTP status that MCP 2026-07-28 prescribes for a
// JSON-RPC error, so that proxies can act on it.
func statelessStatus(code int) int {
	switch code {
	case mcp.METHOD_NOT_FOUND:
		return http.StatusNotFound
	case mcp.PARSE_ERROR, mcp.INVALID_REQUEST, mcp.INVALID_PARAMS, mcp.HEADER_MISMATCH,
		mcp.MISSING_REQUIRED_CLIENT_CAPABILITY, mcp.UNSUPPORTED_PROTOCOL_VERSION:
		return http.StatusBadRequest
	}
	return http.StatusOK
}

// headerMark is what marks an argument in a schema that comes in a header as well
// (SEP-2243).
const headerMark = `"x-mcp-header"`

// checkHeaders holds the headers against the body, as MCP 2026-07-28 demands
// (SEP-2243): what a proxy decided by the headers must be true of the body. It
// returns the JSON-RPC code beside an error.
func (h *HTTP) checkHeaders(headers http.Header, m message) (code int, err error) {
	header, stated := headers.Get(mcp.HeaderProtocolVersion), statedVersion(m)
	switch {
	case headers.Get(mcp.HeaderLastEventID) != "":
		return mcp.HEADER_MISMATCH, errors.New("header mismatch: streams cannot be resumed; send the request again, with a new id")
	case header == "":
		return mcp.HEADER_MISMATCH, errors.New("header mismatch: the header " + mcp.HeaderProtocolVersion + " is missing")
	case stated == "":
		return mcp.INVALID_PARAMS, errors.New("invalid params: _meta lacks " + mcp.MetaKeyProtocolVersion)
	case header != stated:
		return mcp.HEADER_MISMATCH, errors.New("header mismatch: " + mcp.HeaderProtocolVersion + " is not the version that _meta states")
	case m.id == nil:
		return 0, nil
	}
	method := mcp.MCPMethod(m.method)
	if err := mcp.ValidateStandardHeaders(headers.Get, stated, method, m.params); err != nil {
		return mcp.HEADER_MISMATCH, err
	}
	if method != mcp.MethodToolsCall || m.call.broken { // mcp-go answers
		return 0, nil
	}
	tool := h.server.library().GetTool(m.call.Name)
	if tool == nil {
		return 0, nil
	}
	// Arguments that a tool's schema marks come twice. Looking for marks takes a
	// schema apart, each time, and most have none.
	if raw := tool.Tool.RawInputSchema; raw != nil && !bytes.Contains(raw, []byte(headerMark)) {
		return 0, nil
	}
	lookup := func(name string) (string, bool) {
		values := headers.Values(name)
		if len(values) == 0 {
			return "", false
		}
		return values[0], true
	}
	if err := mcp.ValidateParamHeadersLookup(lookup, &tool.Tool, m.params); err != nil {
		return mcp.HEADER_MISMATCH, err
	}
	return 0, nil
}
