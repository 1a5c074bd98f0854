package mcpserve

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"nsenter-mcp/internal/dispatch"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// Dispatcher is what is served; *dispatch.Dispatcher is the one of the program.
type Dispatcher interface {
	// Tools are those that may be listed and called. They do not change.
	Tools() []dispatch.Tool
	// Call never returns nil. A tool that Tools does not hold is an answer
	// with an error that names what would have been accepted.
	Call(ctx context.Context, call dispatch.Call) *dispatch.Envelope
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
	mcp          *server.MCPServer
	introduction mcp.Implementation
	dispatcher   Dispatcher
	caller       string
	served       map[string]dispatch.Spec
	// publish hands the tools to mcp-go, once. It decodes all their schemas for
	// that, which nobody needs before initialize is answered.
	publish func()
	// extended: mcp-go has tools besides the dispatcher's.
	extended bool
	log      *slog.Logger
}

// New takes the dispatcher's tools, whose names and schemas the dispatcher has checked.
func New(cfg Config) *Server {
	s := &Server{
		introduction: mcp.Implementation{Name: "nsenter-mcp", Title: "nsenter-mcp: a pod's network from the inside", Version: cfg.Version},
		dispatcher:   cfg.Dispatcher, caller: cmp.Or(cfg.Caller, "stdio"), extended: len(cfg.Options) > 0, log: cfg.Logger,
		served: map[string]dispatch.Spec{},
	}
	all := cfg.Dispatcher.Tools()
	for _, tool := range all {
		s.served[tool.Name] = tool.Spec
	}
	hooks := &server.Hooks{}
	hooks.AddAfterInitialize(func(ctx context.Context, _ any, in *mcp.InitializeRequest, out *mcp.InitializeResult) {
		s.log.InfoContext(ctx, "client connected",
			slog.String("client", clip(in.Params.ClientInfo.Name)), slog.String("client_version", clip(in.Params.ClientInfo.Version)),
			slog.String("protocol", out.ProtocolVersion))
	})
	// mcp-go lists tools by name; everything else lists them in the dispatcher's order.
	hooks.AddAfterListTools(func(_ context.Context, _ any, _ *mcp.ListToolsRequest, out *mcp.ListToolsResult) {
		position := func(t mcp.Tool) int {
			return slices.IndexFunc(all, func(ours dispatch.Tool) bool { return ours.Name == t.Name })
		}
		slices.SortStableFunc(out.Tools, func(a, b mcp.Tool) int { return position(a) - position(b) })
	})
	// The list of tools is fixed at start, so no listChanged. mcp-go's own
	// validation stays off: the dispatcher's is lenient where models err
	// harmlessly, and its messages are written for them.
	s.mcp = server.NewMCPServer(s.introduction.Name, cfg.Version, append([]server.ServerOption{
		server.WithTitle(s.introduction.Title),
		server.WithInstructions(cfg.Dispatcher.Instructions()),
		server.WithToolCapabilities(false),
		server.WithExperimental(map[string]any{dispatch.NarrowingMeta: map[string]any{}}),
		server.WithHooks(hooks),
	}, cfg.Options...)...)
	s.publish = sync.OnceFunc(func() {
		for _, tool := range all {
			s.mcp.AddTool(published(tool), nil) // callTool answers its calls
		}
	})
	return s
}

// clip bounds what a client says of itself.
func clip(s string) string { return s[:min(len(s), 100)] }

// published is a tool as clients see it.
func published(t dispatch.Tool) mcp.Tool {
	return mcp.Tool{
		Name:            t.Name,
		Title:           t.Title,
		Description:     t.Description,
		RawInputSchema:  t.InputSchema,
		RawOutputSchema: t.OutputSchema,
		Annotations:     annotations(t.Spec),
	}
}

// annotations states all four hints: what is left out counts as destructive
// and open-world (MCP 2025-11-25, ToolAnnotations).
func annotations(s dispatch.Spec) mcp.ToolAnnotation {
	changes := s.Changes || s.Toolset == dispatch.Exec // anything can be run
	return mcp.ToolAnnotation{
		ReadOnlyHint:    mcp.ToBoolPtr(!changes),
		DestructiveHint: mcp.ToBoolPtr(changes),
		IdempotentHint:  mcp.ToBoolPtr(!changes),
		OpenWorldHint:   mcp.ToBoolPtr(s.SendsPackets || changes),
	}
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
// for notifications.
func (s *Server) respond(ctx context.Context, c *client, m message) (reply mcp.JSONRPCMessage) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "panic in a request", slog.String("method", m.method),
				slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			reply = errorReply(m.id, mcp.INTERNAL_ERROR, "internal error: the server's log has more")
		}
	}()
	switch {
	case m.method == string(mcp.MethodInitialize):
		return m.correct(s.mcp.HandleMessage(ctx, m.raw))
	case m.isCall() && !s.isForeign(m.call.Name):
		return s.callTool(ctx, c, m)
	case m.hasCursor():
		return errorReply(m.id, mcp.INVALID_PARAMS, "invalid params: unknown cursor; the list has one page, so leave cursor out")
	}
	return m.correct(s.library().HandleMessage(ctx, m.raw))
}

// library is mcp-go's server with all tools. Only initialize and calls do without
// them.
func (s *Server) library() *server.MCPServer {
	s.publish()
	return s.mcp
}

// isForeign reports whether a tool is none of the dispatcher's and may be one of
// Config.Options.
func (s *Server) isForeign(name string) bool {
	_, ours := s.served[name]
	return !ours && s.extended
}

// hasCursor reports whether a list is asked for another page than the first, which is
// the only one.
func (m message) hasCursor() bool {
	var params struct {
		Cursor any `json:"cursor"`
	}
	return strings.HasSuffix(m.method, "/list") && json.Unmarshal(m.params, &params) == nil && params.Cursor != nil && params.Cursor != ""
}

// negotiated is the protocol version that a reply to initialize states; any other
// reply states none.
func negotiated(reply any) string {
	response, _ := reply.(mcp.JSONRPCResponse)
	hello, _ := response.Result.(mcp.InitializeResult)
	return hello.ProtocolVersion
}

// correct makes a reply of mcp-go say what is true: the id is the client's own, and
// what is wrong in a message that has come so far are its parameters.
func (m message) correct(reply mcp.JSONRPCMessage) mcp.JSONRPCMessage {
	switch r := reply.(type) {
	case mcp.JSONRPCResponse:
		r.ID = requestID(m.id)
		return r
	case mcp.JSONRPCError:
		r.ID = requestID(m.id)
		if r.Error.Code == mcp.INVALID_REQUEST {
			r.Error.Code, r.Error.Message = mcp.INVALID_PARAMS, "invalid params: one of "+m.method+" is of a wrong type"
		}
		return r
	}
	return reply
}
