package mcpserve

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/mark3labs/mcp-go/mcp"
)

// message is one JSON-RPC 2.0 message from a client, decoded as far as it
// takes to schedule it.
type message struct {
	id       json.RawMessage // as the client wrote it; nil in a notification
	method   string          // empty in a response
	params   json.RawMessage
	raw      json.RawMessage // the whole message
	call     callParams      // of tools/call
	received time.Time       // when its last byte was read
}

// The reasons why a line is no message. Their texts go to the client.
var (
	errNotJSON   = errors.New("parse error: the line is not valid JSON; send one JSON-RPC message a line")
	errBatch     = errors.New("invalid request: JSON-RPC batches are not part of MCP; send one message a line")
	errNotObject = errors.New("invalid request: a JSON-RPC message is an object")
	errBadID     = errors.New("invalid request: id must be a string or a number")
	errNoMethod  = errors.New("invalid request: method is missing")
)

// parseMessage decodes one message. raw is kept, not copied.
func parseMessage(raw []byte, received time.Time) (message, error) {
	m := message{raw: raw, received: received}
	var fields struct {
		JSONRPC json.RawMessage `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Method  json.RawMessage `json:"method"`
		Params  json.RawMessage `json:"params"`
		Result  json.RawMessage `json:"result"`
		Error   json.RawMessage `json:"error"`
	}
	if json.Unmarshal(raw, &fields) != nil {
		switch {
		case !json.Valid(raw):
			return m, errNotJSON
		case bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("[")):
			return m, errBatch
		}
		return m, errNotObject
	}
	m.params = fields.Params
	if len(fields.ID) > 0 && string(fields.ID) != "null" {
		if !isID(fields.ID) {
			return m, errBadID
		}
		m.id = fields.ID
	}
	if m.method = text(fields.Method); m.method == "" {
		if fields.Result != nil || fields.Error != nil {
			return m, nil // a response
		}
		return m, errNoMethod
	}
	if m.method == string(mcp.MethodToolsCall) {
		m.call = parseCall(m.params)
		m.call.plain = m.call.plain && m.id != nil && fields.Result == nil && text(fields.JSONRPC) == mcp.JSONRPC_VERSION
	}
	return m, nil
}

// wantsProgress reports whether notifications/progress about the request may be on
// their way before its answer; where it cannot be sure, it says so too.
func (m *message) wantsProgress() bool {
	// With an escape sequence in it the name may stand there in other letters.
	return bytes.Contains(m.params, []byte("progressToken")) || bytes.Contains(m.params, []byte(`\u`))
}

// callParams are the parameters of tools/call as far as this package reads
// them.
type callParams struct {
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
	// TimeoutMS is the argument timeout_ms, 0 where it is missing or none that is
	// usable as it stands.
	TimeoutMS int `json:"-"`
	// broken parameters are mcp-go's to answer.
	broken bool
	// plain: the request's last params are a name, arguments and no more that mcp-go
	// would have to interpret.
	plain bool
}

func parseCall(params json.RawMessage) callParams {
	var c callParams
	strict := json.NewDecoder(bytes.NewReader(params))
	strict.DisallowUnknownFields()
	if strict.Decode(&c) == nil {
		c.plain = true
	} else if c = (callParams{}); json.Unmarshal(params, &c) != nil {
		return callParams{broken: true}
	}
	const name = "timeout_ms"
	if !bytes.Contains(c.Arguments, []byte(name)) {
		return c
	}
	var given struct {
		TimeoutMS int `json:"timeout_ms"`
	}
	if json.Unmarshal(c.Arguments, &given) == nil && given.TimeoutMS > 0 {
		c.TimeoutMS = given.TimeoutMS
	}
	return c
}

// isID reports whether raw, a valid JSON value, can identify a request.
func isID(raw json.RawMessage) bool {
	return len(raw) > 0 && (raw[0] == '"' || raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9')
}

// idKey makes ids comparable: equal strings are one id however they were
// escaped, and the string "1" is another id than the number 1.
func idKey(id json.RawMessage) string {
	if len(id) > 0 && id[0] == '"' {
		return `"` + text(id)
	}
	return string(id)
}

// text is the string that raw, a valid JSON value or nothing, stands for; "" where
// it is something else. Most need no decoding.
func text(raw json.RawMessage) string {
	if len(raw) < 2 || raw[0] != '"' {
		return ""
	}
	inner := raw[1 : len(raw)-1]
	if !slices.ContainsFunc(inner, func(b byte) bool { return b == '\\' || b >= utf8.RuneSelf }) {
		return string(inner)
	}
	var s string
	_ = json.Unmarshal(raw, &s) // it is valid
	return s
}

// errorReply is the JSON-RPC error with this code for the request id; a nil
// id is written as null, as JSON-RPC wants it when the request has none that
// could be read.
func errorReply(id json.RawMessage, code int, text string) mcp.JSONRPCMessage {
	return mcp.JSONRPCError{
		JSONRPC: mcp.JSONRPC_VERSION,
		ID:      requestID(id),
		Error:   mcp.NewJSONRPCErrorDetails(code, text, nil),
	}
}

// requestID echoes an id byte for byte. mcp-go decodes ids as float64, which
// changes integers above 2^53, and the client would wait for ever.
func requestID(id json.RawMessage) mcp.RequestId {
	if id == nil {
		return mcp.NewRequestId(nil)
	}
	return mcp.NewRequestId(id)
}

// withID returns the reply with its id exactly as the client wrote it.
func withID(reply mcp.JSONRPCMessage, id json.RawMessage) mcp.JSONRPCMessage {
	switch r := reply.(type) {
	case mcp.JSONRPCResponse:
		r.ID = requestID(id)
		return r
	case mcp.JSONRPCError:
		r.ID = requestID(id)
		return r
	default:
		return reply
	}
}
