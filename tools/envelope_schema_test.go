package tools

import (
	"encoding/json"
	"testing"

	"nsenter-mcp/internal/dispatch"

	"github.com/google/jsonschema-go/jsonschema"
)

// checkAgainstSchema validates an answer as a client does, and against all that
// the types say of it.
func checkAgainstSchema(tb testing.TB, tool *dispatch.Tool, answer *dispatch.Envelope) {
	tb.Helper()
	var published jsonschema.Schema
	if err := json.Unmarshal(tool.OutputSchema, &published); err != nil {
		tb.Fatalf("%s: output schema: %v", tool.Name, err)
	}
	whole, err := tool.AnswerSchema()
	if err != nil {
		tb.Fatalf("%s: output schema: %v", tool.Name, err)
	}
	wire, err := json.Marshal(answer)
	if err != nil {
		tb.Fatalf("%s: encode answer: %v", tool.Name, err)
	}
	var tree any
	if err := json.Unmarshal(wire, &tree); err != nil {
		tb.Fatal(err)
	}
	for _, schema := range []*jsonschema.Schema{&published, whole} {
		resolved, err := schema.Resolve(nil)
		if err != nil {
			tb.Fatalf("%s: output schema: %v", tool.Name, err)
		}
		if err := resolved.Validate(tree); err != nil {
			tb.Errorf("%s: the answer breaks its schema: %v\n%s", tool.Name, err, wire)
		}
	}
	noNull(tb, tool.Name, tree)
}

// noNull: an agent never meets null; what is not known is absent.
func noNull(tb testing.TB, path string, node any) {
	tb.Helper()
	switch v := node.(type) {
	case nil:
		tb.Errorf("%s is null", path)
	case map[string]any:
		for name, child := range v {
			noNull(tb, path+"."+name, child)
		}
	case []any:
		for _, child := range v {
			noNull(tb, path+"[]", child)
		}
	}
}
