package tools

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
)

// summarizeTries begins the summary of what was asked several times; what follows is of
// one try. The findings of all tries together are named.
func summarizeTries(t *fact.Tries, findings []fact.Finding) string {
	var b strings.Builder
	if len(findings) > 0 && diagnose.OfTries(findings[0].Code) {
		b.WriteString(nameFindings(findings))
	}
	fmt.Fprintf(&b, "%d of %d tries ok", t.OK, t.Done)
	var failed []string
	for _, outcome := range slices.Sorted(maps.Keys(t.Failed)) {
		failed = append(failed, fmt.Sprintf("%s %d", outcome, t.Failed[outcome]))
	}
	if failed != nil {
		fmt.Fprintf(&b, " (%s)", strings.Join(failed, ", "))
	}
	if t.Done < t.Count {
		fmt.Fprintf(&b, ", the time was up before the other %d", t.Count-t.Done)
	}
	if t.MedianMS != nil {
		fmt.Fprintf(&b, "; %.1f to %.1f ms, median %.1f", *t.MinMS, *t.MaxMS, *t.MedianMS)
	}
	fmt.Fprintf(&b, "; %s. ", again(t))
	if t.OK < t.Done {
		return b.String() + "The first that failed: "
	}
	return b.String() + "The last: "
}

// again words how much was sent again.
func again(t *fact.Tries) string {
	if t.Retransmits == 0 {
		return "nothing was sent again"
	}
	return words.Plural(t.Retransmits, "packet") + " sent again"
}
