package mcpserve

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
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
	received time.Time       // when its last byte was read
	fault    *fault          // why it is not carried out; nil: it is
}

// fault is an error of the protocol: a code of JSON-RPC and what the client reads.
type fault struct {
	code int
	text string
}

// What a request may hold. A message may be longer: it is read to say so.
const (
	maxID        = 1 << 10
	maxArguments = 128 << 10            // of a call, in bytes of JSON
	maxRequest   = maxArguments + 8<<10 // with everything around them
	// maxPendingBytes bounds the requests of all clients that are not yet answered.
	maxPendingBytes = 64 << 20
)

// tooLong refuses a request that nobody sends in earnest: it would be held in memory
// for as long as it waits, several times over.
func tooLong(what string, size int) *fault {
	return &fault{mcp.INVALID_PARAMS, fmt.Sprintf("invalid params: the %s %d bytes, at most %d are accepted as arguments; send less", what, size, maxArguments)}
}

// parseMessage decodes one message. raw is kept, not copied.
func parseMessage(raw []byte, received time.Time) (m message) {
	m = message{raw: raw, received: received}
	var fields struct {
		JSONRPC any             `json:"jsonrpc"`
		ID      json.RawMessage `json:"id"`
		Method  any             `json:"method"`
		Params  json.RawMessage `json:"params"`
		Result  json.RawMessage `json:"result"`
		Error   json.RawMessage `json:"error"`
	}
	switch {
	case len(raw) > maxRequest:
		m.fault = tooLong("message has", len(raw))
		m.id, m.raw = idNear(raw[:maxIDContext], raw[len(raw)-maxIDContext:]), nil
		return m
	case json.Unmarshal(raw, &fields) == nil:
	case json.Valid(raw):
		m.fault = &fault{mcp.INVALID_REQUEST, "invalid request: a JSON-RPC message is an object"}
		return m
	default:
		m.fault = &fault{mcp.PARSE_ERROR, "parse error: this is not valid JSON; send one JSON-RPC message"}
		return m
	}
	m.params = fields.Params
	m.method, _ = fields.Method.(string)
	isResponse := fields.Result != nil || fields.Error != nil
	hasID := len(fields.ID) > 0 && string(fields.ID) != "null"
	if hasID && isID(fields.ID) {
		m.id = fields.ID
	}
	wrong := ""
	switch {
	case hasID && m.id == nil:
		wrong = fmt.Sprintf("id must be a string or a number, of at most %d bytes", maxID)
	case fields.JSONRPC != mcp.JSONRPC_VERSION:
		wrong = `jsonrpc must be "2.0"`
	case m.method == "" && !isResponse:
		wrong = "method is missing"
	case m.method != "" && isResponse:
		wrong = "a message has a method, or a result or error, but not both"
	case m.isCall():
		m.call, m.fault = parseCall(m.params)
	}
	if wrong != "" {
		m.fault = &fault{mcp.INVALID_REQUEST, "invalid request: " + wrong}
	}
	return m
}

// isCall reports whether a request is one of tools/call.
func (m message) isCall() bool { return m.id != nil && m.method == string(mcp.MethodToolsCall) }

// isRequest reports whether a reply is due.
func (m message) isRequest() bool { return m.fault != nil || m.id != nil && m.method != "" }

// isUrgent reports whether a request is answered at once, whatever hangs.
func (m message) isUrgent() bool {
	return m.method == string(mcp.MethodInitialize) || m.method == string(mcp.MethodPing)
}

// input is what one text holds: a message, or a batch of them.
type input struct {
	messages []message
	isBatch  bool
}

// batchVersion is the one protocol version that has batches.
const batchVersion = "2025-03-26"

// maxBatch bounds the messages of one batch.
const maxBatch = 100

// parse decodes a text from a client that speaks this version of the protocol.
func parse(text []byte, version string, received time.Time) input {
	if !bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("[")) || !json.Valid(text) {
		return input{messages: []message{parseMessage(text, received)}}
	}
	in := input{isBatch: true}
	items := json.NewDecoder(bytes.NewReader(text))
	_, _ = items.Token() // the bracket
	for version == batchVersion && items.More() && len(in.messages) <= maxBatch {
		var item json.RawMessage
		_ = items.Decode(&item) // the text is valid
		in.messages = append(in.messages, parseMessage(item, received))
	}
	wrong := ""
	switch {
	case version != batchVersion:
		wrong = "invalid request: only protocol version " + batchVersion + " has batches; send one JSON-RPC message"
	case len(in.messages) == 0 || len(in.messages) > maxBatch:
		wrong = fmt.Sprintf("invalid request: a batch has 1 to %d messages", maxBatch)
	default:
		return in
	}
	return input{messages: []message{{fault: &fault{mcp.INVALID_REQUEST, wrong}}}}
}

// single is the message of an input that is no batch.
func (in input) single() message {
	if in.isBatch {
		return message{}
	}
	return in.messages[0]
}

// isRequest reports whether a reply is due.
func (in input) isRequest() bool { return slices.ContainsFunc(in.messages, message.isRequest) }

// minHeld is what a request counts at least as long as it is not answered, in bytes.
const minHeld = 32 << 10

// held is how many bytes an input keeps in memory until it is answered, at most.
func (in input) held() int64 {
	size := minHeld
	for _, m := range in.messages {
		if m.fault == nil {
			size += len(m.raw)
		}
	}
	return int64(size)
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
func requestID(id json.RawMessage) mcp.RequestId { return mcp.NewRequestId(id) }

// encodeReply writes a reply, or the replies to a batch, as one line with its
// newline. It never fails: what cannot be encoded becomes an error.
func encodeReply(reply any) []byte {
	line, err := encode(reply)
	if err != nil {
		line, _ = encode(errorReply(nil, mcp.INTERNAL_ERROR, "internal error: "+err.Error()))
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
