package mcpserve

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/tools"
)

var update = flag.Bool("update", false, "rewrite testdata/tools_list.json")

// realServer serves the program's own tools; they are only listed here.
func realServer(t *testing.T, policy dispatch.Policy) (*Server, *dispatch.Dispatcher) {
	t.Helper()
	d, err := dispatch.NewDispatcher(dispatch.Config{Tools: tools.All(), Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{Dispatcher: d, Version: "test", Logger: slog.New(slog.DiscardHandler)})
	return s, d
}

func everything() dispatch.Policy {
	return dispatch.Policy{Toolsets: []dispatch.Toolset{dispatch.Inspect, dispatch.Probe, dispatch.Capture, dispatch.Exec}}
}

// TestWhatTheModelSees pins every word that reaches a model before its first
// call. A change of it is a change of the product: look at the difference, then
// go test ./internal/mcpserve -run WhatTheModelSees -update.
func TestWhatTheModelSees(t *testing.T) {
	t.Parallel()
	s, d := realServer(t, everything())
	list, err := s.ListTools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err = e.Encode(struct {
		Instructions []string        `json:"instructions"` // by line, to be read
		List         json.RawMessage `json:"tools/list"`
	}{strings.Split(d.Instructions(), "\n"), list})
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "tools_list.json")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, b.Bytes()) {
		t.Errorf("tools/list is not what %s holds; first difference at line %d", golden, firstDifference(want, b.Bytes()))
	}
}

func firstDifference(a, b []byte) int {
	la, lb := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range min(len(la), len(lb)) {
		if la[i] != lb[i] {
			return i + 1
		}
	}
	return min(len(la), len(lb)) + 1
}

// What a model reads before its first call costs every conversation, and what a
// client fetches every start. The budgets are for all tools that there will be;
// the share of those that are missing stays free.
func TestBudgetOfTheList(t *testing.T) {
	t.Parallel()
	const (
		maxRead        = 20_000   // bytes of names, descriptions, input schemas and instructions
		maxList        = 64 << 10 // bytes of the result of tools/list
		allTools       = 16
		shareOfRead    = 1000 // bytes that a further tool needs at least
		shareOfList    = 3700 // bytes
		maxDescription = 300  // characters
		maxLonger      = 400  // for the four tools that an agent meets first
	)
	longer := map[string]bool{
		"resolve_pod_pid": true, "netns_ip_addr": true, "netns_curl": true, "netns_dns_lookup": true,
	}
	s, d := realServer(t, everything())
	missing := max(0, allTools-len(d.Tools()))
	read := len(d.Instructions())
	t.Logf("%-18s %4d bytes to read", "instructions", read)
	for _, tool := range d.Tools() {
		size := len(tool.Name) + len(tool.Description) + len(tool.InputSchema)
		t.Logf("%-18s %4d bytes to read, output schema %4d", tool.Name, size, len(tool.OutputSchema))
		read += size
		limit := maxDescription
		if longer[tool.Name] {
			limit = maxLonger
		}
		if n := len([]rune(tool.Description)); n > limit {
			t.Errorf("%s: the description has %d characters, at most %d are allowed", tool.Name, n, limit)
		}
	}
	if limit := maxRead - missing*shareOfRead; read > limit {
		t.Errorf("a model reads %d bytes, at most %d are allowed for these tools", read, limit)
	}
	list, err := s.ListTools(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if limit := maxList - missing*shareOfList; len(list) > limit {
		t.Errorf("tools/list has %d bytes, at most %d are allowed for these tools", len(list), limit)
	}
	t.Logf("%d tools: %d bytes to read, tools/list %d bytes", len(d.Tools()), read, len(list))
}

// Model APIs accept less than JSON Schema allows.
func TestSchemasArePortable(t *testing.T) {
	t.Parallel()
	_, d := realServer(t, everything())
	for _, tool := range d.Tools() {
		for name, raw := range map[string]json.RawMessage{"input": tool.InputSchema, "output": tool.OutputSchema} {
			var schema any
			if err := json.Unmarshal(raw, &schema); err != nil {
				t.Fatalf("%s %s: %v", tool.Name, name, err)
			}
			for _, fault := range schemaFaults(name, schema) {
				t.Errorf("%s: %s", tool.Name, fault)
			}
			root, _ := schema.(map[string]any)
			for _, word := range []string{"oneOf", "anyOf", "allOf", "not", "$ref", "$defs"} {
				if _, used := root[word]; used {
					t.Errorf("%s %s: %s at the root", tool.Name, name, word)
				}
			}
		}
		for _, fault := range undescribed(tool.InputSchema, d.Instructions()) {
			t.Errorf("%s: %s", tool.Name, fault)
		}
	}
}

// schemaFaults lists what some client is known to reject in the schema at path.
func schemaFaults(path string, schema any) []string {
	s, ok := schema.(map[string]any)
	if !ok {
		return []string{fmt.Sprintf("%s: a schema must be an object, not %v", path, schema)}
	}
	var faults []string
	properties, hasProperties := s["properties"].(map[string]any)
	items, hasItems := s["items"]
	switch kind := s["type"].(type) {
	case string:
		if kind == "object" && !hasProperties {
			faults = append(faults, path+": object without properties")
		}
		if kind == "array" && !hasItems {
			faults = append(faults, path+": array without items")
		}
	default:
		faults = append(faults, fmt.Sprintf("%s: type is %v, not one name", path, kind))
	}
	for name, p := range properties {
		faults = append(faults, schemaFaults(path+"."+name, p)...)
	}
	if hasItems {
		faults = append(faults, schemaFaults(path+"[]", items)...)
	}
	// false alone is understood everywhere.
	if more, ok := s["additionalProperties"]; ok && more != false {
		faults = append(faults, schemaFaults(path+".*", more)...)
	}
	return faults
}

// undescribed lists the arguments that neither the schema nor the instructions describe.
func undescribed(input json.RawMessage, instructions string) []string {
	var schema struct {
		Properties map[string]struct{ Description string }
	}
	if err := json.Unmarshal(input, &schema); err != nil {
		return []string{err.Error()}
	}
	var faults []string
	for name, p := range schema.Properties {
		if p.Description == "" && !strings.Contains(instructions, name+" (") {
			faults = append(faults, "argument "+name+" has no description")
		}
	}
	return faults
}

func TestSchemaFaultsAreSeen(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		`true`, `{}`, `{"type":["null","string"]}`, `{"type":"object"}`, `{"type":"array"}`, `{"type":"array","items":true}`,
		`{"type":"object","properties":{"a":{"type":"object"}}}`, `{"type":"object","properties":{},"additionalProperties":true}`,
	} {
		var schema any
		if err := json.Unmarshal([]byte(bad), &schema); err != nil {
			t.Fatal(err)
		}
		if len(schemaFaults("", schema)) == 0 {
			t.Errorf("%s: no fault seen", bad)
		}
	}
}

func TestDisabledToolIsRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	s, _ := realServer(t, dispatch.Policy{})
	c := s.newClient("me", newSlots(1, 1), &inflight{})
	refusal, ok := c.begin(t.Context(), parse([]byte(callLine("1", "netns_ip_addr", `{"pid":1}`)), "", time.Now()))().(mcp.JSONRPCError)
	if !ok || refusal.Error.Code != mcp.INVALID_PARAMS || !strings.Contains(refusal.Error.Message, "toolset inspect") {
		t.Errorf("%+v", refusal)
	}
}
