package diagnose

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

var update = flag.Bool("update", false, "write docs/findings.md anew")

// page is the document of the codes; `make record` writes it.
const page = "../../docs/findings.md"

// maxWords are the words of a sentence that needs no second reading.
const maxWords = 25

func TestCodesAreComplete(t *testing.T) {
	t.Parallel()
	form := regexp.MustCompile(`^[a-z0-9]+\.[a-z0-9_]+$`)
	known := map[fact.Code]bool{}
	for _, c := range Codes() {
		if known[c.Code] {
			t.Errorf("%s stands twice", c.Code)
		}
		known[c.Code] = true
		if !form.MatchString(string(c.Code)) || c.Title == "" || !strings.HasSuffix(c.Fix, ".") || strings.HasSuffix(c.Title, ".") || c.Severity == "" {
			t.Errorf("%s: the entry is not whole: %+v", c.Code, c)
		}
	}
	for _, c := range Codes() {
		for _, text := range [...]string{c.Title, c.Fix} {
			for sentence := range strings.SplitSeq(text, ". ") {
				if n := len(strings.Fields(sentence)); n > maxWords {
					t.Errorf("%s: a sentence of %d words, which is more than %d: %s", c.Code, n, maxWords, sentence)
				}
			}
		}
		for _, symptom := range c.Explains {
			if !known[symptom] || symptom == c.Code {
				t.Errorf("%s explains %s, which is no code of a symptom", c.Code, symptom)
			}
		}
	}
	source, err := os.ReadFile("codes.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`fact\.Code += "(.*)"`).FindAllSubmatch(source, -1) {
		if !known[fact.Code(m[1])] {
			t.Errorf("%s has a constant and no entry", m[1])
		}
	}
}

// TestFindingsPage holds docs/findings.md against the table of codes.
func TestFindingsPage(t *testing.T) {
	t.Parallel()
	want := findingsPage()
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(page)
	if err != nil || !bytes.Equal(have, want) {
		t.Errorf("docs/findings.md is not what codes.go says (%v): run make record", err)
	}
}

func findingsPage() []byte {
	var b bytes.Buffer
	b.WriteString("# Findings\n\nEvery code that an answer's `findings` may carry, from the link upwards. This page is written by `make record`.\n\n" +
		"A finding is a fault that the one answer proves; its `fact` says what was measured. What is merely possible is said in the\n" +
		"summary and has no code. **critical** breaks the connection or the lookup. With a **warning** something still works, or the\n" +
		"cause is still to be found: follow `next`.\n\n| code | severity | fault | what to do |\n|---|---|---|---|\n")
	for _, c := range Codes() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Code, c.Severity, c.Title, c.Fix)
	}
	return b.Bytes()
}
