package mcpserve

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"

	"nsenter-mcp/tools"
)

// Dispatcher is what is served; *tools.Dispatcher is the one of the program.
type Dispatcher interface {
	// Tools are those that may be listed and called. They do not change.
	Tools() []tools.Tool
	// Call never returns nil. A tool that Tools does not hold is an answer
	// with an error that names what would have been accepted.
	Call(ctx context.Context, call tools.Call) *tools.Envelope
	// Instructions tell a model how to use the tools together.
	Instructions() string
}

// Config is what a Server is made of.
type Config struct {
	Dispatcher Dispatcher
	Version    string // of the program, as clients see it
	Logger     *slog.Logger
	// Caller is who asks over stdio, for the audit log; "" is "stdio".
	Caller string
	// Options are what is served besides: what a conformance suite calls.
	Options []server.ServerOption
}

// Server is an MCP server without a transport. It is safe for concurrent use.
type Server struct {
	mcp        *server.MCPServer
	dispatcher Dispatcher
	caller     string
	served     map[string]tools.Spec
	// publish hands the tools to mcp-go, once. It decodes all their schemas for
	// that, which nobody needs before initialize is answered.
	publish func()
	// direct: calls that are plain need not pass through mcp-go, as nothing was
	// given to it that could change them.
	direct bool
	log    *slog.Logger
}

// New takes the dispatcher's tools. It fails on a tool without a name of its own or
// with a schema that does not begin as clients need it; that the rest of a schema is
// valid JSON is for its maker to see to.
func New(cfg Config) (*Server, error) {
	s := &Server{dispatcher: cfg.Dispatcher, caller: cmp.Or(cfg.Caller, "stdio"), served: map[string]tools.Spec{}, direct: len(cfg.Options) == 0, log: cfg.Logger}
	hooks := &server.Hooks{}
	hooks.AddAfterInitialize(func(ctx context.Context, _ any, in *mcp.InitializeRequest, out *mcp.InitializeResult) {
		s.log.InfoContext(ctx, "client connected",
			slog.String("client", clip(in.Params.ClientInfo.Name)), slog.String("client_version", clip(in.Params.ClientInfo.Version)),
			slog.String("protocol", out.ProtocolVersion))
	})
	// The list of tools is fixed at start, so no listChanged. mcp-go's own
	// validation stays off: the dispatcher's is lenient where models err
	// harmlessly, and its messages are written for them.
	s.mcp = server.NewMCPServer("nsenter-mcp", cfg.Version, append([]server.ServerOption{
		server.WithTitle("nsenter-mcp: a pod's network from the inside"),
		server.WithInstructions(cfg.Dispatcher.Instructions()),
		server.WithToolCapabilities(false),
		server.WithExperimental(map[string]any{tools.NarrowingMeta: map[string]any{}}),
		server.WithHooks(hooks),
	}, cfg.Options...)...)
	all := cfg.Dispatcher.Tools()
	for _, tool := range all {
		if err := s.check(tool); err != nil {
			return nil, fmt.Errorf("tool %q: %w", tool.Name, err)
		}
		s.served[tool.Name] = tool.Spec
	}
	s.publish = sync.OnceFunc(func() {
		for _, tool := range all {
			s.mcp.AddTool(published(tool), s.call)
		}
	})
	return s, nil
}

// clip bounds what a client says of itself.
func clip(s string) string { return s[:min(len(s), 100)] }

func (s *Server) check(tool tools.Tool) error {
	if _, taken := s.served[tool.Name]; taken || tool.Name == "" {
		return errors.New("name is empty or taken")
	}
	if err := checkSchema(tool.InputSchema); err != nil {
		return fmt.Errorf("input schema: %w", err)
	}
	if err := checkSchema(tool.OutputSchema); err != nil {
		return fmt.Errorf("output schema: %w", err)
	}
	if bytes.Contains(tool.InputSchema, []byte(headerMark)) { // mcp-go would panic
		marked := published(tool)
		if err := mcp.ValidateParamHeaderAnnotations(&marked); err != nil {
			return fmt.Errorf("input schema: %w", err)
		}
	}
	return nil
}

var errNoObject = errors.New(`a schema must begin with the type "object" and its properties`)

// checkSchema refuses what mcp-go would publish without a word and what makes
// every call fail at the client. It reads no further than the type and the
// properties, with which schemas begin here: they are long, and have been valid JSON
// since they were made.
func checkSchema(raw json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	for _, want := range []json.Token{json.Delim('{'), "type", "object", "properties", json.Delim('{')} {
		if got, err := d.Token(); err != nil || got != want {
			return cmp.Or(err, errNoObject)
		}
	}
	return nil
}

// ListTools returns the result of tools/list: exactly what a model is shown.
func (s *Server) ListTools(ctx context.Context) (json.RawMessage, error) {
	reply := s.library().HandleMessage(ctx, json.RawMessage(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
	response, ok := reply.(mcp.JSONRPCResponse)
	if !ok {
		return nil, fmt.Errorf("list tools: unexpected reply %T", reply)
	}
	list, err := json.Marshal(response.Result)
	if err != nil {
		return nil, fmt.Errorf("list tools: %w", err)
	}
	return list, nil
}

// respond answers one request, whichever transport brought it. It returns nil
// for what has no answer (notifications, responses).
func (s *Server) respond(ctx context.Context, m message) (reply mcp.JSONRPCMessage) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "panic in a request", slog.String("method", m.method),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			reply = errorReply(m.id, mcp.INTERNAL_ERROR, "internal error: the server's log has more")
		}
	}()
	if m.method == string(mcp.MethodInitialize) {
		return withID(s.mcp.HandleMessage(ctx, m.raw), m.id)
	}
	if m.method == string(mcp.MethodToolsCall) {
		if refusal := s.refuse(ctx, m); refusal != nil {
			return refusal
		}
		if _, served := s.served[m.call.Name]; served && m.call.plain && s.direct {
			return s.answer(ctx, m)
		}
	}
	return withID(s.library().HandleMessage(ctx, m.raw), m.id)
}

// library is mcp-go's server with all tools. Only initialize does without them.
func (s *Server) library() *server.MCPServer {
	s.publish()
	return s.mcp
}

// deadline is when a call that arrived with m has run out of time.
func (s *Server) deadline(m message) time.Time {
	limit := s.served[m.call.Name].Deadline
	if given := m.call.TimeoutMS; given > 0 {
		limit = min(time.Duration(given)*time.Millisecond, tools.MaxDeadline)
	}
	return m.received.Add(limit)
}

// refuse answers a call of a tool that is not served: the protocol wants a
// JSON-RPC error, and the library's says only that the tool was not found. The
// dispatcher knows the likely name, and whether the operator switched it off.
func (s *Server) refuse(ctx context.Context, m message) mcp.JSONRPCMessage {
	if _, served := s.served[m.call.Name]; served || m.call.broken || s.library().GetTool(m.call.Name) != nil {
		return nil
	}
	answer := s.dispatcher.Call(ctx, tools.Call{
		Tool: m.call.Name, Arguments: m.call.Arguments, Caller: callerFrom(ctx), Received: receivedFrom(ctx),
	})
	if answer.Error == nil {
		return nil
	}
	text := answer.Error.Message
	if answer.Error.Hint != "" {
		text += ": " + answer.Error.Hint
	}
	if valid := answer.Error.Details.Valid; len(valid) > 0 {
		text += " (tools: " + strings.Join(valid, ", ") + ")"
	}
	refusal := errorReply(m.id, mcp.INVALID_PARAMS, text).(mcp.JSONRPCError)
	refusal.Error.Data = answer.Error
	return refusal
}

// answer carries out a plain call. mcp-go would decode the message several times more
// to find that its parameters are all that there is, which takes as long as a third
// of the system calls of a short tool. Its answer would be the same, but to what is
// hardly a request: of a member that stands there twice the last one counts here, and
// a number that is too large for a float64 is none of its concern.
func (s *Server) answer(ctx context.Context, m message) mcp.JSONRPCMessage {
	result, err := s.call(ctx, mcp.CallToolRequest{Params: mcp.CallToolParams{Name: m.call.Name, RawArguments: m.call.Arguments}})
	if err != nil {
		return errorReply(m.id, mcp.INTERNAL_ERROR, err.Error())
	}
	return mcp.NewJSONRPCResultResponse(requestID(m.id), result)
}

// call is the handler of every tool.
func (s *Server) call(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
	narrowed, err := narrowing(r)
	if err != nil {
		return nil, err
	}
	answer := s.dispatcher.Call(ctx, tools.Call{
		Tool: r.Params.Name, Arguments: r.Params.RawArguments, Caller: callerFrom(ctx), Received: receivedFrom(ctx),
		Forwarded: forwarded(r), Narrowing: narrowed, Progress: s.progress(ctx, r),
	})
	text, err := encode(answer)
	if err != nil {
		return nil, fmt.Errorf("encode the answer of %s: %w", r.Params.Name, err)
	}
	return &mcp.CallToolResult{
		Content:              []mcp.Content{mcp.NewTextContent(string(text))},
		StructuredContent:    json.RawMessage(text),
		RawStructuredContent: text,
		IsError:              answer.IsError(),
	}, nil
}

// encode writes compact JSON in which <, > and & stand as they are: HTML is
// not involved, and the escapes cost a model three tokens each. Data that is
// encoded already is the longest part, and is put in as it is.
func encode(answer *tools.Envelope) ([]byte, error) {
	data, encoded := answer.Data.(json.RawMessage)
	if encoded {
		frame := *answer
		frame.Data = json.RawMessage("0")
		answer = &frame
	}
	var b bytes.Buffer
	b.Grow(len(data) + 1024)
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(answer); err != nil {
		return nil, err
	}
	text := bytes.TrimRight(b.Bytes(), "\n")
	if !encoded {
		return text, nil
	}
	// Within a string the quotes would be escaped, and before data no other
	// object has such a field.
	const place = `"data":0`
	at := bytes.Index(text, []byte(place)) + len(place) - 1
	return slices.Replace(text, at, at+1, data...), nil
}
