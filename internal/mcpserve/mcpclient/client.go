// Package mcpclient speaks to an MCP server that runs as a process, as an agent's
// host program does. The demo uses it, tests of the whole program, and a server
// that forwards calls to others.
package mcpclient

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// Client is a connection to one server process. It is safe for concurrent use.
type Client struct {
	mcp    *client.Client
	server Server

	last     atomic.Uint64 // the request that was numbered last
	progress sync.Map      // by token: what gets the reports on that request
}

// Server is how the server introduced itself.
type Server struct {
	Name, Version, Protocol string
	Instructions            string // for the model
	// Experimental are the names of capabilities that the protocol does not know.
	Experimental []string
}

// Tool is one entry of the server's list.
type Tool struct {
	Name, Title, Description string
}

// Result is the answer of a tool.
type Result struct {
	JSON    json.RawMessage // the structured content
	IsError bool            // the tool could not do its work
}

// Start runs cmd, whose standard input and output must not be set, and
// agrees with it on a protocol. ctx bounds only that. Close ends the process.
func Start(ctx context.Context, cmd *exec.Cmd) (*Client, error) {
	c := client.NewClient(transport.NewStdioWithOptions(cmd.Path, nil, nil,
		transport.WithCommandFunc(func(context.Context, string, []string, []string) (*exec.Cmd, error) { return cmd, nil })))
	if err := c.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return initialize(ctx, c)
}

// Connect agrees on a protocol with a server whose standard output is in and
// whose standard input is out. ctx bounds only that. From then on the client reads
// in until it ends. A write to out must not block. Close closes out and leaves in
// to the caller.
func Connect(ctx context.Context, in io.Reader, out io.WriteCloser) (*Client, error) {
	// The handshake of old is understood by every server, and its requests are
	// shorter.
	c := client.NewClient(transport.NewIO(in, out, nil), client.WithLegacyProtocolOnly()) //nolint:staticcheck // deprecated with the handshake that it asks for
	if err := c.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return initialize(ctx, c)
}

// initialize makes the handshake; when it fails, c is closed.
func initialize(ctx context.Context, c *client.Client) (*Client, error) {
	in := mcp.InitializeRequest{}
	in.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	in.Params.ClientInfo = mcp.Implementation{Name: "nsenter-mcp-client", Version: "1"}
	out, err := c.Initialize(ctx, in)
	if err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("initialize: %w", err)
	}
	started := &Client{mcp: c, server: Server{
		Name: out.ServerInfo.Name, Version: out.ServerInfo.Version,
		Protocol: out.ProtocolVersion, Instructions: out.Instructions,
		Experimental: slices.Sorted(maps.Keys(out.Capabilities.Experimental)),
	}}
	c.OnNotification(started.notified)
	return started, nil
}

// Server returns how the server introduced itself.
func (c *Client) Server() Server { return c.server }

// Tools returns the server's tools in its order.
func (c *Client) Tools(ctx context.Context) ([]Tool, error) {
	list, err := c.mcp.ListTools(ctx, mcp.ListToolsRequest{})
	if err != nil {
		return nil, fmt.Errorf("list tools: %w", err)
	}
	all := make([]Tool, len(list.Tools))
	for i, t := range list.Tools {
		all[i] = Tool{t.Name, t.Title, t.Description}
	}
	return all, nil
}

// Call calls a tool. An error means that the protocol failed, or that there is
// no such tool; what the tool itself could not do is in the result.
func (c *Client) Call(ctx context.Context, tool string, arguments map[string]any) (Result, error) {
	r := mcp.CallToolRequest{}
	r.Params.Name, r.Params.Arguments = tool, arguments
	answer, err := c.mcp.CallTool(ctx, r)
	if err != nil {
		return Result{}, fmt.Errorf("call %s: %w", tool, err)
	}
	// The raw bytes, as a netns cookie does not fit into a float64.
	return Result{JSON: answer.RawStructuredContent, IsError: answer.IsError}, nil
}

// Close closes the server's input and, where the client has started it, waits
// until it has ended.
func (c *Client) Close() error {
	if err := c.mcp.Close(); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}
