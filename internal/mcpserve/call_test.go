package mcpserve

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"

	"github.com/mark3labs/mcp-go/mcp"
	"github.com/mark3labs/mcp-go/server"
)

// libraryReply is what mcp-go makes of a call whose tools answer what the dispatcher
// answers.
func libraryReply(t *testing.T, d Dispatcher, line string) any {
	t.Helper()
	s := server.NewMCPServer("nsenter-mcp", "1.2.3", server.WithTitle("nsenter-mcp: a pod's network from the inside"), server.WithToolCapabilities(false))
	for _, tool := range d.Tools() {
		s.AddTool(published(tool), func(ctx context.Context, r mcp.CallToolRequest) (*mcp.CallToolResult, error) {
			answer := d.Call(ctx, dispatch.Call{Tool: r.Params.Name, Arguments: r.Params.RawArguments})
			text, err := encode(answer)
			text = bytes.TrimSpace(text)
			return &mcp.CallToolResult{
				Content: []mcp.Content{mcp.NewTextContent(string(text))}, RawStructuredContent: text, IsError: answer.IsError(),
			}, err
		})
	}
	return s.HandleMessage(t.Context(), json.RawMessage(line))
}

// A call is answered as mcp-go would answer it, in both eras of the protocol.
func TestCallIsAnsweredAsTheLibraryDoes(t *testing.T) {
	t.Parallel()
	for name, params := range map[string]string{
		"arguments":           `"name":"echo","arguments":{"tag":"a<b","n":9007199254740993}`,
		"no arguments":        `"name":"echo"`,
		"arguments null":      `"name":"echo","arguments":null`,
		"arguments no object": `"name":"echo","arguments":[1]`,
		"a failure":           `"name":"fail","arguments":{}`,
		"escaped names":       `"n\u0061me":"ech\u006f"`,
		"with a task":         `"name":"echo","task":{}`,
		"with an input":       `"name":"echo","inputResponses":{}`,
		"with an unknown":     `"name":"echo","new":1`,
	} {
		for _, meta := range []string{"", `,"_meta":{}`, `,"_meta":{"a":{"b":1}}`, "," + statelessMeta} {
			line := `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{` + params + meta + `}}`
			got, want := libraryFree(t, line), libraryReply(t, &fakeDispatcher{}, line)
			text, err := json.Marshal(want)
			if err != nil || !sameJSON(t, got, text) {
				t.Errorf("%s, %s: answered\n%s\nmcp-go answers\n%s", name, meta, got, text)
			}
		}
	}
}

// libraryFree is our own reply, made without mcp-go's knowing of any tool.
func libraryFree(t *testing.T, line string) []byte {
	t.Helper()
	s := newFakeServer(t, &fakeDispatcher{})
	s.publish = func() { t.Error("mcp-go got the tools for a call") }
	c := s.newClient("me", newSlots(1, 1), &inflight{})
	return encodeReply(c.begin(t.Context(), parse([]byte(line), "", time.Now()))())
}

// In the stateless era each call states a version that is known and what its client
// can.
func TestStatelessCallIsChecked(t *testing.T) {
	t.Parallel()
	for meta, code := range map[string]int{
		`{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}`:                                                 mcp.INVALID_PARAMS,
		`{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":7}`:  mcp.INVALID_PARAMS,
		`{"io.modelcontextprotocol/protocolVersion":"2027-01-01","io.modelcontextprotocol/clientCapabilities":{}}`: mcp.UNSUPPORTED_PROTOCOL_VERSION,
		`{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`: 0,
		`{"io.modelcontextprotocol/protocolVersion":"2025-06-18","io.modelcontextprotocol/clientCapabilities":{}}`: 0,
		`{"nsenter-mcp/forwarded":"yes"}`: mcp.INVALID_PARAMS,
	} {
		r := parseReply(t, string(libraryFree(t, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","_meta":`+meta+`}}`)))
		if got := r.Error; (got == nil) != (code == 0) || got != nil && got.Code != code {
			t.Errorf("%s: %+v", meta, got)
		}
	}
}

// What takes something away and is not understood must not be passed over.
func TestNarrowing(t *testing.T) {
	t.Parallel()
	for meta, want := range map[string]string{
		`{}`:                             "none",
		`{"nsenter-mcp/forwarded":true}`: "none",
		`{"nsenter-mcp/narrowing":{"no_host_network":true,"deny":["10.0.0.0/8"],"only":null}}`: `{"no_host_network":true,"deny":["10.0.0.0/8"],"only":null}`,
		`{"nsenter-mcp/narrowing":{"only":[]}}`:                                                `{"only":[]}`,
		`{"nsenter-mcp/narrowing":{"no_exec":true}}`:                                           "error",
		`{"nsenter-mcp/narrowing":{"deny":["10.0.0.0/99"]}}`:                                   "error",
		`{"nsenter-mcp/narrowing":{"deny":"everything","only":null}}`:                          "error",
		`{"nsenter-mcp/narrowing":true}`:                                                       "error",
		`{"nsenter-mcp/narrowing":[{"no_host_network":true}],"a":"b"}`:                         "error",
	} {
		got := "none"
		switch c, fault := parseCall(json.RawMessage(`{"name":"t","_meta":` + meta + `}`)); {
		case fault != nil:
			got = "error"
		case c.narrowing != nil:
			got = mustJSON(t, c.narrowing)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", meta, got, want)
		}
	}
}

// The tags of callParams are spelled as those who forward calls spell them.
func TestNamesInMeta(t *testing.T) {
	t.Parallel()
	c, fault := parseCall(json.RawMessage(fmt.Sprintf(`{"_meta":{%q:true,%q:{"no_host_network":true}}}`, dispatch.ForwardedMeta, dispatch.NarrowingMeta)))
	if fault != nil || !c.Meta.Forwarded || !c.narrowing.NoHostNetwork {
		t.Errorf("%+v, %v", c, fault)
	}
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	for text, v := range map[*any][]byte{&x: a, &y: b} {
		d := json.NewDecoder(bytes.NewReader(v))
		d.UseNumber()
		if err := d.Decode(text); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
	return reflect.DeepEqual(x, y)
}

// TestCancelBeforeARequestRuns: what has been taken up is cancelled by the very next
// message, though nothing of it has run.
func TestCancelBeforeARequestRuns(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, &fakeDispatcher{})
	c := s.newClient("me", newSlots(1, 1), &inflight{})
	run := c.begin(t.Context(), parse([]byte(callLine("7", "echo", `{}`)), "", time.Now()))
	c.begin(t.Context(), parse([]byte(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}`), "", time.Now()))()
	if reply := run(); reply != nil {
		t.Errorf("a cancelled request was answered: %+v", reply)
	}
}
