package doctor

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"nsenter-mcp/internal/words"
)

// Print writes the report for a person.
func (r Report) Print(w io.Writer) error {
	var b bytes.Buffer
	width := 0
	for _, c := range r.Checks {
		width = max(width, len(c.ID))
	}
	for _, c := range r.Checks {
		fmt.Fprintf(&b, "%-4s  %-*s  %s\n", mark(c.Status), width, c.ID, words.Escape(words.OneLine(c.Detail)))
		for _, line := range []struct{ label, text string }{{"so", c.Cost}, {"fix", c.Fix}} {
			if line.text != "" {
				fmt.Fprintf(&b, "%*s  %s: %s\n", 4+2+width, "", line.label, line.text)
			}
		}
	}
	b.WriteString("\nTools:\n")
	for _, t := range r.Tools {
		fmt.Fprintf(&b, "  %-8s %s", t.State, t.Name)
		if len(t.Lacks) > 0 {
			fmt.Fprintf(&b, " (%s)", strings.Join(t.Lacks, ", "))
		}
		b.WriteByte('\n')
	}
	if len(r.Grant) > 0 {
		b.WriteString("\nOne of these gives the missing capabilities:\n")
		for _, g := range r.Grant {
			fmt.Fprintf(&b, "  %-12s %s\n", g.How+":", g.Use)
		}
	}
	var essential []string
	for _, c := range r.Checks {
		if c.Essential {
			essential = append(essential, c.ID)
		}
	}
	switch {
	case !r.OK:
		b.WriteString("\nNot ready: see what is marked FAIL.\n")
	case len(essential) > 0:
		fmt.Fprintf(&b, "\nReady in part only: see what stands above at %s.\n", strings.Join(essential, ", "))
	default:
		b.WriteString("\nReady.\n")
	}
	_, err := w.Write(b.Bytes())
	return err
}

// mark makes the two that need attention stand out.
func mark(s Status) string {
	if s == Fail || s == Warn {
		return strings.ToUpper(string(s))
	}
	return string(s)
}

func milliseconds(ms float64) string { return fmt.Sprintf("%.1f ms", ms) }
