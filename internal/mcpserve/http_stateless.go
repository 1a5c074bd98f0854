package mcpserve

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// isStateless reports whether the headers are those of the protocol of
// 2026-07-28 or later.
func isStateless(h http.Header) bool {
	return mcp.IsModernProtocol(h.Get(mcp.HeaderProtocolVersion))
}

// statedVersion is what a message itself says of its protocol version.
func statedVersion(body []byte) string {
	var message struct {
		Params struct {
			Meta *mcp.Meta `json:"_meta"`
		} `json:"params"`
	}
	if json.Unmarshal(body, &message) != nil {
		return ""
	}
	return message.Params.Meta.ProtocolVersion()
}

// stateless answers a message of the protocol since 2026-07-28. There,
// notifications/cancelled has no use over HTTP, as closing the connection
// cancels; without sessions nobody could tell who sent it.
func (h *HTTP) stateless(out *response, r *http.Request, caller string, body []byte) {
	m, err := parseMessage(body, time.Now())
	if err == nil && m.method == "" {
		err = errors.New("invalid request: a server of this protocol version asks nothing, so there is nothing to respond to")
	}
	if _, isBatch, batchErr := splitBatch(body, ""); isBatch {
		err = batchErr
	}
	if err != nil {
		out.reply(http.StatusBadRequest, m.failure(err))
		return
	}
	if code, err := h.checkHeaders(r.Header, m); err != nil {
		out.reply(statelessStatus(code), errorReply(m.id, code, err.Error()))
		return
	}
	c := h.server.newClient(caller, h.slots, &inflight{})
	run := c.begin(h.server.mcp.WithContext(r.Context(), c), m)
	if m.id == nil {
		run()
		out.accepted()
		return
	}
	h.answer(out, c, out.begin, func() any { return run() })
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

// checkHeaders holds the headers against the body, as MCP 2026-07-28 demands
// (SEP-2243): what a proxy decided by the headers must be true of the body. It
// returns the JSON-RPC code beside an error.
func (h *HTTP) checkHeaders(headers http.Header, m message) (code int, err error) {
	header, stated := headers.Get(mcp.HeaderProtocolVersion), statedVersion(m.raw)
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
	if method != mcp.MethodToolsCall {
		return 0, nil
	}
	tool := h.server.library().GetTool(m.call.Name)
	// Arguments that a tool's schema marks come twice. Looking for marks takes a
	// schema apart, each time, and most have none.
	if tool == nil || tool.Tool.RawInputSchema != nil && !bytes.Contains(tool.Tool.RawInputSchema, []byte(`"x-mcp-header"`)) {
		return 0, nil
	}
	lookup := func(name string) (value string, sent bool) { return headers.Get(name), len(headers.Values(name)) > 0 }
	if err := mcp.ValidateParamHeadersLookup(lookup, &tool.Tool, m.params); err != nil {
		return mcp.HEADER_MISMATCH, err
	}
	return 0, nil
}
