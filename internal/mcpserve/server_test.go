package mcpserve

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"

	"nsenter-mcp/internal/dispatch"

	goclient "github.com/mark3labs/mcp-go/client"
	"github.com/mark3labs/mcp-go/client/transport"
	"github.com/mark3labs/mcp-go/mcp"
)

// The ways in which mcp-go's client reaches the server in these tests.
func clients(t *testing.T) map[string]*goclient.Client {
	t.Helper()
	return map[string]*goclient.Client{
		"stdio": pipeClient(t),
		//nolint:staticcheck // deprecated, but it is what most clients of today speak
		"stdio, session era": pipeClient(t, goclient.WithLegacyProtocolOnly()),
		"HTTP":               httpClient(t),
		//nolint:staticcheck // as above
		"HTTP, session era": httpClient(t, goclient.WithLegacyProtocolOnly()),
	}
}

func httpClient(t *testing.T, opts ...goclient.ClientOption) *goclient.Client {
	t.Helper()
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	overHTTP, err := transport.NewStreamableHTTP(s.url, transport.WithHTTPHeaders(map[string]string{"Authorization": "Bearer " + testSecret}))
	if err != nil {
		t.Fatal(err)
	}
	c := goclient.NewClient(overHTTP, opts...)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func pipeClient(t *testing.T, opts ...goclient.ClientOption) *goclient.Client {
	t.Helper()
	in, toServer := io.Pipe()
	fromServer, out := io.Pipe()
	s := newFakeServer(t, &fakeDispatcher{})
	ended := make(chan error, 1)
	go func() {
		ended <- s.ServeStdio(context.Background(), in, out)
		_ = out.Close()
	}()
	c := goclient.NewClient(transport.NewIO(fromServer, toServer, io.NopCloser(strings.NewReader(""))), opts...)
	t.Cleanup(func() {
		_ = toServer.Close()
		if err := <-ended; err != nil {
			t.Errorf("ServeStdio: %v", err)
		}
		_ = c.Close()
	})
	return c
}

func connect(t *testing.T, c *goclient.Client) *mcp.InitializeResult {
	t.Helper()
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	in := mcp.InitializeRequest{}
	in.Params.ProtocolVersion = mcp.LATEST_PROTOCOL_VERSION
	in.Params.ClientInfo = mcp.Implementation{Name: "test", Version: "1"}
	out, err := c.Initialize(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func request(tool string, arguments map[string]any) mcp.CallToolRequest {
	r := mcp.CallToolRequest{}
	r.Params.Name, r.Params.Arguments = tool, arguments
	return r
}

func TestClients(t *testing.T) {
	t.Parallel()
	for name, c := range clients(t) {
		t.Run(name, func(t *testing.T) {
			hello := connect(t, c)
			if hello.ServerInfo.Name != "nsenter-mcp" || hello.ServerInfo.Version != "1.2.3" || hello.Instructions != "Call echo first." {
				t.Errorf("initialize: %+v", hello)
			}
			list, err := c.ListTools(t.Context(), mcp.ListToolsRequest{})
			if err != nil || len(list.Tools) != 6 {
				t.Fatalf("list: %v, %d tools", err, len(list.Tools))
			}

			got, err := c.CallTool(t.Context(), request("echo", map[string]any{"tag": "<&>é"}))
			if err != nil || got.IsError {
				t.Fatalf("echo: %v, %+v", err, got)
			}
			checkContent(t, got, `{"summary":"echo <&>é","data":{"tag":"<&>é"},"findings":[],"notes":[],"next":[]}`)

			got, err = c.CallTool(t.Context(), request("fail", nil))
			if err != nil || !got.IsError {
				t.Fatalf("fail: %v, %+v", err, got)
			}
			checkContent(t, got, `{"summary":"no pod <web>","findings":[],"notes":[],"next":[],"error":{"code":"not_found",`+
				`"stage":"probe","message":"no pod <web>","hint":"list_pods shows what is here"}}`)
		})
	}
}

// checkContent holds both forms of an answer against want.
func checkContent(t *testing.T, got *mcp.CallToolResult, want string) {
	t.Helper()
	if len(got.Content) != 1 {
		t.Fatalf("%d content items", len(got.Content))
	}
	text, ok := got.Content[0].(mcp.TextContent)
	if !ok || text.Text != want {
		t.Errorf("text\ngot  %s\nwant %s", text.Text, want)
	}
	var a, b any
	structured, err := json.Marshal(got.StructuredContent)
	if err != nil {
		t.Fatal(err)
	}
	if json.Unmarshal(structured, &a) != nil || json.Unmarshal([]byte(want), &b) != nil {
		t.Fatalf("structured content: %s", structured)
	}
	if x, y := mustJSON(t, a), mustJSON(t, b); x != y {
		t.Errorf("structured\ngot  %s\nwant %s", x, y)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestClientSeesUnknownToolAndPanicAsProtocolErrors(t *testing.T) {
	t.Parallel()
	c := pipeClient(t)
	connect(t, c)
	_, err := c.CallTool(t.Context(), request("ecko", nil))
	if err == nil || !strings.Contains(err.Error(), "did you mean echo?") {
		t.Errorf("unknown tool: %v", err)
	}
	_, err = c.CallTool(t.Context(), request("panic", nil))
	if err == nil || !strings.Contains(err.Error(), "internal error") || strings.Contains(err.Error(), "fault of the dispatcher") {
		t.Errorf("panic: %v", err)
	}
	if _, err := c.CallTool(t.Context(), request("echo", nil)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestConcurrentClientCalls(t *testing.T) {
	t.Parallel()
	c := pipeClient(t)
	connect(t, c)
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			if got, err := c.CallTool(t.Context(), request("echo", map[string]any{"tag": "x"})); err != nil || got.IsError {
				t.Errorf("%v %+v", err, got)
			}
		})
	}
	all.Wait()
}

func TestAnnotationsAreExplicit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		spec                            dispatch.Spec
		readOnly, destructive, openWord bool
	}{
		{dispatch.Spec{Toolset: dispatch.Inspect}, true, false, false},
		{dispatch.Spec{Toolset: dispatch.Probe, SendsPackets: true}, true, false, true},
		{dispatch.Spec{Toolset: dispatch.Capture}, true, false, false},
		{dispatch.Spec{Toolset: dispatch.Exec}, false, true, true},
	} {
		a := annotations(c.spec)
		if *a.ReadOnlyHint != c.readOnly || *a.DestructiveHint != c.destructive ||
			*a.IdempotentHint != c.readOnly || *a.OpenWorldHint != c.openWord {
			t.Errorf("%s: %s", c.spec.Toolset, mustJSON(t, a))
		}
	}
}

type listDispatcher struct {
	fakeDispatcher
	list []dispatch.Tool
}

func (d *listDispatcher) Tools() []dispatch.Tool { return d.list }
