package tools

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/dispatch"
)

// toolsPage shows each tool at work; its answers are written by `make eval`, its
// tables of arguments by `make record`.
const toolsPage = "../docs/tools.md"

// TestArgumentsPage holds the tables of arguments in docs/tools.md against the schemas.
func TestArgumentsPage(t *testing.T) {
	page, err := os.ReadFile(toolsPage)
	if err != nil {
		t.Fatal(err)
	}
	want := page
	common := commonMeanings()
	for _, tool := range All() {
		input, err := dispatch.Recorded.ReadFile(dispatch.InputFile(tool.Name))
		if err != nil {
			t.Fatal(err)
		}
		var schema inputSchema
		if err := json.Unmarshal(input, &schema); err != nil {
			t.Fatal(err)
		}
		isCommon := func(name string) bool { return common[name] != "" && schema.Properties[name].Description == "" }
		own := slices.DeleteFunc(slices.Clone(schema.order), isCommon)
		want = fillTable(t, want, tool.Name, schema.table(own))
		if shared := slices.DeleteFunc(schema.order, func(name string) bool { return !isCommon(name) }); len(shared) == len(common) {
			for name, meaning := range common {
				schema.Properties[name].Description = meaning
			}
			want = fillTable(t, want, "every tool", schema.table(shared))
		}
	}
	if *update {
		if err := os.WriteFile(toolsPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(page, want) {
		t.Error("docs/tools.md does not have the arguments of the recorded schemas: run make record")
	}
}

// fillTable replaces what stands between the marks of a table.
func fillTable(t *testing.T, page []byte, name, table string) []byte {
	t.Helper()
	begin, end := "<!-- arguments of "+name+" -->\n", "<!-- end of arguments -->"
	before, rest, found := strings.Cut(string(page), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("docs/tools.md has no place for the arguments of %s: %q and %q", name, begin, end)
	}
	return []byte(before + begin + table + end + after)
}

// inputSchema is what the page tells of the schema of arguments.
type inputSchema struct {
	Properties map[string]*property
	Required   []string
	order      []string
}

type property struct {
	Type, Description string
	Enum              []string
	Minimum, Maximum  *float64
	Items             *property
}

func (s *inputSchema) UnmarshalJSON(text []byte) error {
	type plain inputSchema
	s.order = propertyOrder(text)
	return json.Unmarshal(text, (*plain)(s))
}

// propertyOrder are the names of the properties in the order of the schema.
func propertyOrder(schema []byte) []string {
	var outer struct{ Properties json.RawMessage }
	_ = json.Unmarshal(schema, &outer) // the caller reads it too
	var names []string
	decoder := json.NewDecoder(bytes.NewReader(outer.Properties))
	_, _ = decoder.Token() // the brace
	for decoder.More() {
		name, _ := decoder.Token()
		var value json.RawMessage
		if decoder.Decode(&value) != nil {
			return nil
		}
		names = append(names, name.(string))
	}
	return names
}

// table describes arguments. What begins with "default" in a description has a column
// of its own.
func (s *inputSchema) table(names []string) string {
	var b strings.Builder
	b.WriteString("| argument | type | default | meaning |\n|---|---|---|---|\n")
	for _, name := range names {
		p := s.Properties[name]
		meaning, standard := []string{}, ""
		for part := range strings.SplitSeq(p.Description, "; ") {
			if value, ok := strings.CutPrefix(part, "default"); ok {
				standard = strings.TrimLeft(value, ": ")
			} else {
				meaning = append(meaning, part)
			}
		}
		if slices.Contains(s.Required, name) {
			standard = "required"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, p.kind(), standard, strings.Join(meaning, "; "))
	}
	return b.String()
}

// kind is the type of an argument with its bounds.
func (p *property) kind() string {
	switch {
	case p.Items != nil:
		return "list of " + p.Items.kind() + "s"
	case len(p.Enum) > 0:
		return strings.Join(p.Enum, ", ")
	case p.Type == "object":
		return "object of strings"
	case p.Minimum != nil && p.Maximum != nil:
		return fmt.Sprintf("%s, %.0f to %.0f", p.Type, *p.Minimum, *p.Maximum)
	}
	return p.Type
}

// commonMeanings are the arguments of every tool, whose schemas leave their meaning to
// the instructions.
func commonMeanings() map[string]string {
	meanings := map[string]string{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[dispatch.TargetArgs]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		meanings[name] = f.Tag.Get("jsonschema")
	}
	return meanings
}

// TestDefaultsHaveTheirColumn: a default is told in one form.
func TestDefaultsHaveTheirColumn(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(toolsPage)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `.*default.*$").FindAllString(string(page), -1) {
		t.Errorf("the default is not by itself, after a semicolon: %s", row)
	}
}
