package mcpserve

import (
	"encoding/json"
	"testing"

	"github.com/mark3labs/mcp-go/mcp"
)

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
		r := mcp.CallToolRequest{}
		if err := json.Unmarshal([]byte(`{"name":"t","_meta":`+meta+`}`), &r.Params); err != nil {
			t.Fatal(err)
		}
		got := "none"
		switch n, err := narrowing(r); {
		case err != nil:
			got = "error"
		case n != nil:
			text, err := json.Marshal(n)
			if err != nil {
				t.Fatal(err)
			}
			got = string(text)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", meta, got, want)
		}
	}
}
