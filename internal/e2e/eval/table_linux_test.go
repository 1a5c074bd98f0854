//go:build e2e

package eval

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

// document is where the table is recorded.
const document = "../../../docs/eval.md"

// sums of a run.
type sums struct {
	faults, found, narrowed, healthy, controls, missed, wrong, setUp int
	calls, bytes                                                     int // to the causes that were found
}

func sumUp(rows []outcome) sums {
	var s sums
	for i := range rows {
		o := &rows[i]
		if o.fault.Code == "" {
			s.controls++
		} else {
			s.faults++
		}
		switch o.verdict {
		case verdictFound, verdictNarrowed:
			if o.verdict == verdictFound {
				s.found++
			} else {
				s.narrowed++
			}
			calls, bytes, _ := o.cost()
			s.calls += calls
			s.bytes += bytes
		case verdictHealthy:
			s.healthy++
		case verdictSetUp:
			s.setUp++
		case verdictMiss:
			s.missed++
		default:
			s.wrong++
		}
	}
	return s
}

func (s *sums) lines() []string {
	done := max(s.found+s.narrowed, 1)
	return []string{
		fmt.Sprintf("%d faults: %d causes found, %d narrowed to one side, %d missed.", s.faults, s.found, s.narrowed, s.missed),
		fmt.Sprintf("%d healthy pods: %d left alone.", s.controls, s.healthy),
		fmt.Sprintf("%d false alarms; %d set-ups failed.", s.wrong, s.setUp),
		fmt.Sprintf("To a cause: %.1f calls and %.1f kB of answers on average.", float64(s.calls)/float64(done), float64(s.bytes)/float64(done)/1000),
	}
}

// cost is what the walk took.
func (o *outcome) cost() (calls, bytes int, took time.Duration) {
	for _, s := range o.steps {
		bytes += s.bytes
		took += s.took
	}
	return len(o.steps), bytes, took
}

// cause is what the walk found, for a reader.
func (o *outcome) cause() string {
	f := o.fault
	switch {
	case f.Code == "":
		return "none"
	case f.Missing != "":
		return fmt.Sprintf("%s; from the node: %s (missing: %s)", f.Code, f.Node, f.Missing)
	}
	return f.Code
}

// tools are the calls of the walk, in their order.
func (o *outcome) tools() string {
	var names []string
	for _, s := range o.steps {
		name := strings.TrimPrefix(s.Tool, "netns_")
		switch {
		case s.onNode():
			name += " (node)"
		case s.Arguments["pod"] != "cart-0":
			name += " (destination)"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

func printTable(out io.Writer, rows []outcome) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nfault\tverdict\tcause\tcalls\tbytes\ttime\twalk")
	for i := range rows {
		calls, bytes, took := rows[i].cost()
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%.1f s\t%s\n", rows[i].fault.Name, rows[i].verdict, rows[i].cause(), calls, bytes,
			took.Seconds(), rows[i].tools())
	}
	_ = w.Flush()
	total := sumUp(rows)
	_, _ = fmt.Fprintln(out, "\n"+strings.Join(total.lines(), "\n"))
}

const preface = `# How far the answers lead

Each line is a pod in the laboratory: broken in one way, or healthy. A user complains about it, which is the first call
(an HTTP request from the pod unless the name says otherwise), and from there on only what the answers propose in
` + "`next`" + ` is done, newest first, by a walker that knows nothing of the fault. It is the built program over stdio, as an
assistant starts it. *Bytes* are those of the answers, as the model gets them; *time* is mostly that of connections
that nobody answers.

` + "`make eval`" + ` measures and writes this page; ` + "`make e2e`" + ` fails if a cause is missed, if a finding is wrong, or if a line here
no longer holds.

`

// page renders docs/eval.md.
func page(rows []outcome) string {
	var b strings.Builder
	b.WriteString(preface)
	total := sumUp(rows)
	for _, line := range total.lines() {
		b.WriteString("- " + line + "\n")
	}
	b.WriteString("\n| what is wrong | finding | calls | bytes | time | walk |\n|---|---|---:|---:|---:|---|\n")
	for i := range rows {
		calls, bytes, took := rows[i].cost()
		fmt.Fprintf(&b, "%s %d | %.1f k | %.1f s | %s |\n", rows[i].head(), calls, float64(bytes)/1000, took.Seconds(), rows[i].tools())
	}
	return b.String()
}

// head is the part of a line that is the same in every run.
func (o *outcome) head() string {
	return fmt.Sprintf("| %s | %s |", o.fault.Name, o.cause())
}

func write(t *testing.T, rows []outcome) {
	t.Helper()
	if t.Failed() {
		return // a page with misses is not for readers
	}
	if err := os.WriteFile(document, []byte(page(rows)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// check holds the recorded page against this run: the same lines, and at most one call
// more than it says: on a busy machine a packet may pass before it is watched for.
func check(t *testing.T, rows []outcome) {
	t.Helper()
	recorded, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		_, rest, known := strings.Cut(string(recorded), rows[i].head())
		most := 0
		if _, err := fmt.Sscan(rest, &most); !known || err != nil {
			t.Errorf("docs/eval.md has no line %q; run make eval", rows[i].head())
			continue
		}
		if calls, _, _ := rows[i].cost(); calls > most+1 {
			t.Errorf("%s: %d calls, docs/eval.md says %d", rows[i].fault.Name, calls, most)
		}
	}
}
