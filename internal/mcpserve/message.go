package mcpserve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// message is one JSON-RPC 2.0 message from a client, decoded as far as scheduling
// and tools/call need it.
type message struct {
	id       json.RawMessage // as the client wrote it; nil in a notification
	method   string          // empty in a response
	params   json.RawMessage
	raw      json.RawMessage // the whole message
	call     callParams      // of tools/call
	callErr  error           // why the parameters of tools/call cannot be read
	received time.Time       // when its last byte was read
}

// What a request may hold. A message may be longer: it is read to say so.
const (
	maxID        = 1 << 10
	maxArguments = 128 << 10            // of a call, in bytes of JSON
	maxRequest   = maxArguments + 8<<10 // with everything around them
	// maxPendingBytes bounds the requests of all clients that are not yet answered.
	maxPendingBytes = 64 << 20
)

// tooLongError refuses a request that nobody sends in earnest: it would be held in
// memory for as long as it waits, several times over.
type tooLongError struct {
	what string
	size int
}

func (e *tooLongError) Error() string {
	return fmt.Sprintf("invalid params: the %s %d bytes, at most %d are accepted as arguments; send less", e.what, e.size, maxArguments)
}

// The reasons why a text is no message. Their texts go to the client.
var (
	errNotJSON   = errors.New("parse error: this is not valid JSON; send one JSON-RPC message")
	errNotObject = errors.New("invalid request: a JSON-RPC message is an object")
	errVersion   = errors.New(`invalid request: jsonrpc must be "2.0"`)
	errBadID     = fmt.Errorf("invalid request: id must be a string or a number, of at most %d bytes", maxID)
	errNoMethod  = errors.New("invalid request: method is missing")
	errBoth      = errors.New("invalid request: a message has a method, or a result or error, but not both")
)

// parseMessage decodes one message. raw is kept, not copied.
func parseMessage(raw []byte, received time.Time) (message, error) {
	m := message{raw: raw, received: received}
	if len(raw) > maxRequest {
		return tooLongMessage(raw)
	}
	var fields struct {
		JSONRPC any             `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Method  any             `json:"method"`
		Params  json.RawMessage `json:"params"`
		Result  json.RawMessage `json:"result"`
		Error   json.RawMessage `json:"error"`
	}
	if json.Unmarshal(raw, &fields) != nil {
		if !json.Valid(raw) {
			return m, errNotJSON
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
	m.method, _ = fields.Method.(string)
	isResponse := fields.Result != nil || fields.Error != nil
	switch {
	case fields.JSONRPC != mcp.JSONRPC_VERSION:
		return m, errVersion
	case m.method == "" && !isResponse:
		return m, errNoMethod
	case m.method != "" && isResponse:
		return m, errBoth
	case m.method == string(mcp.MethodToolsCall):
		m.call, m.callErr = parseCall(m.params)
	}
	return m, nil
}

// tooLongMessage finds out to which request there is no other answer.
func tooLongMessage(raw []byte) (message, error) {
	var request struct {
		ID json.RawMessage `json:"id"`
	}
	if json.Unmarshal(raw, &request) != nil && !json.Valid(raw) {
		return message{}, errNotJSON
	}
	if isID(request.ID) {
		return message{id: request.ID}, &tooLongError{"message has", len(raw)}
	}
	return message{}, &tooLongError{"message has", len(raw)}
}

// held is how many bytes a request keeps in memory until it is answered, at most.
func (m message) held() int {
	if m.callErr != nil {
		return 0
	}
	return len(m.raw)
}

// failure is the reply to a text that parseMessage has refused.
func (m message) failure(err error) mcp.JSONRPCMessage {
	if errors.Is(err, errNotJSON) {
		return errorReply(nil, mcp.PARSE_ERROR, err.Error())
	}
	code := mcp.INVALID_REQUEST
	if tooLong := (*tooLongError)(nil); errors.As(err, &tooLong) {
		code = mcp.INVALID_PARAMS
	}
	return errorReply(m.id, code, err.Error())
}

// batchVersion is the one protocol version that has batches.
const batchVersion = "2025-03-26"

// maxBatch bounds the messages of one batch.
const maxBatch = 100

var (
	errBatch     = errors.New("invalid request: only protocol version " + batchVersion + " has batches; send one JSON-RPC message")
	errBatchSize = errors.New("invalid request: a batch has 1 to 100 messages")
)

// splitBatch returns the messages of a JSON-RPC batch, which is an array. Any other
// text is no batch.
func splitBatch(text []byte, version string) (items []json.RawMessage, isBatch bool, err error) {
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("[")) {
		return nil, false, nil
	}
	switch {
	case json.Unmarshal(text, &items) != nil:
		return nil, true, errNotJSON
	case version != batchVersion:
		return nil, true, errBatch
	case len(items) == 0 || len(items) > maxBatch:
		return nil, true, errBatchSize
	}
	return items, true, nil
}

// isID reports whether raw, a valid JSON value, can identify a request.
func isID(raw json.RawMessage) bool {
	return len(raw) > 0 && len(raw) <= maxID && (raw[0] == '"' || raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9')
}

// idKey makes ids comparable: equal strings are one id however they were
// escaped, and the string "1" is another id than the number 1.
func idKey(id json.RawMessage) string {
	var s string
	if json.Unmarshal(id, &s) == nil {
		return `"` + s
	}
	return string(id)
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

// encodeReply writes a reply, or the replies to a batch, as one line with its
// newline. It never fails: a result that cannot be encoded becomes an error, as the
// client waits for the reply.
func encodeReply(reply any) []byte {
	line, err := encode(reply)
	if err != nil {
		var id json.RawMessage
		if r, ok := reply.(mcp.JSONRPCResponse); ok {
			id, _ = json.Marshal(r.ID)
		}
		line, _ = encode(errorReply(id, mcp.INTERNAL_ERROR, "internal error: "+err.Error()))
	}
	return line
}

// encode writes compact JSON and a newline. It leaves <, > and & as they are: HTML
// is not involved, and the escapes cost a model three tokens each.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
