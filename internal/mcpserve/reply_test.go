package mcpserve

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
)

// What is put together by hand says the same as the library's own encoding, but
// for escapes that only HTML needs.
func TestMarshalReply(t *testing.T) {
	t.Parallel()
	for _, id := range []any{int64(7), "a\"b", json.RawMessage("18446744073709551615"), nil} {
		for name, result := range map[string]any{
			"a result of a tool": &mcp.CallToolResult{
				Content: []mcp.Content{mcp.NewTextContent(`{"a":"<b>"}`)}, RawStructuredContent: []byte(`{"a":"<b>"}`), IsError: true,
			},
			"one of another version": &mcp.CallToolResult{
				Result:  mcp.Result{ResultType: mcp.ResultTypeComplete},
				Content: []mcp.Content{mcp.NewTextContent(`{"a":"\\\""}`)}, RawStructuredContent: []byte(`{"a":"\\\""}`),
			},
			"one whose text differs": &mcp.CallToolResult{Content: []mcp.Content{mcp.NewTextContent("a\nb")}, RawStructuredContent: []byte(`{"a":1}`)},
			"one that was laid out": &mcp.CallToolResult{
				Content: []mcp.Content{mcp.NewTextContent("{\n\t\"a\": 1\n}")}, RawStructuredContent: []byte("{\n\t\"a\": 1\n}"),
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
			got, err := marshalReply([]byte("before"), reply)
			got, kept := bytes.CutPrefix(got, []byte("before"))
			if err != nil || !kept || !sameJSON(t, got, want) || bytes.ContainsAny(got, "\n\t") {
				t.Errorf("%s: %s, %v; want %s", name, got, err, want)
			}
		}
	}
	failure := errorReply(json.RawMessage("1"), mcp.INVALID_REQUEST, "no")
	want, _ := json.Marshal(failure)
	if got, err := marshalReply(nil, failure); err != nil || string(got) != string(want) {
		t.Errorf("%s, %v; want %s", got, err, want)
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
