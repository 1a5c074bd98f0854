package tools

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"nsenter-mcp/internal/dispatch"
)

var update = flag.Bool("update", false, "record the schemas anew")

// TestRecordedSchemas holds the recorded schemas against the types they were
// made from. A difference is a change of what agents see: look at it, then run
// make record.
func TestRecordedSchemas(t *testing.T) {
	known := map[string]bool{}
	for _, tool := range All() {
		input, output, err := tool.MakeSchemas()
		if err != nil {
			t.Fatalf("%s: %v", tool.Name, err)
		}
		for file, schema := range map[string][]byte{dispatch.InputFile(tool.Name): input, dispatch.OutputFile(tool.Name): output} {
			known[filepath.Base(file)] = true
			if *update {
				if err := os.WriteFile(filepath.Join("..", "internal", "dispatch", file), schema, 0o644); err != nil {
					t.Fatal(err)
				}
				continue
			}
			have, err := dispatch.Recorded.ReadFile(file)
			if err != nil || !bytes.Equal(have, schema) {
				t.Errorf("%s is not what the types say now (%v): run make record", file, err)
			}
			if !json.Valid(schema) {
				t.Errorf("%s is not JSON", file)
			}
		}
	}
	files, err := filepath.Glob("../internal/dispatch/schemas/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !known[filepath.Base(file)] {
			t.Errorf("%s belongs to no tool: delete it", file)
		}
	}
}
