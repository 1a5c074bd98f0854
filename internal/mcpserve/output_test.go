package mcpserve

import (
	"encoding/json"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
)

// What is put together by hand says the same as the library's own encoding.
func TestMarshalReply(t *testing.T) {
	t.Parallel()
	for _, id := range []any{int64(7), "a\"b", json.RawMessage("18446744073709551615"), nil} {
		for name, result := range map[string]any{
			"a result of a tool": &mcp.CallToolResult{
				Content: []mcp.Content{mcp.NewTextContent(`{"a":"<b>"}`)}, RawStructuredContent: []byte(`{"a":"<b>"}`), IsError: true,
			},
			"its value":      mcp.CallToolResult{Content: []mcp.Content{mcp.NewTextContent("x")}},
			"another result": mcp.EmptyResult{},
			"nothing":        nil,
		} {
			reply := mcp.JSONRPCResponse{JSONRPC: mcp.JSONRPC_VERSION, ID: mcp.NewRequestId(id), Result: result}
			want, err := json.Marshal(reply)
			if err != nil {
				t.Fatal(err)
			}
			got, err := marshalReply(reply)
			if err != nil || string(got) != string(want) {
				t.Errorf("%s: %s, %v; want %s", name, got, err, want)
			}
		}
	}
	failure := errorReply(json.RawMessage("1"), mcp.INVALID_REQUEST, "no")
	want, _ := json.Marshal(failure)
	if got, err := marshalReply(failure); err != nil || string(got) != string(want) {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}
