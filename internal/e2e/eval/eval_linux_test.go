//go:build e2e

package eval

import (
	"cmp"
	"context"
	"flag"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

var update = flag.Bool("update", false, "write docs/eval.md")

// limit is how long one walk may take; a call has its own deadline of 10 s.
const limit = 2 * time.Minute

// The verdicts.
const (
	verdictFound      = "found"
	verdictNarrowed   = "narrowed"
	verdictHealthy    = "healthy"
	verdictMiss       = "MISS"
	verdictFalseAlarm = "FALSE ALARM"
	verdictSetUp      = "SET-UP FAILED"
)

// outcome is a row of the table.
type outcome struct {
	fault   *lab.Fault
	verdict string
	steps   []step
}

// TestEval walks all faults side by side: most of the time is spent waiting
// for answers that do not come.
func TestEval(t *testing.T) {
	all := lab.Faults()
	rows := make([]outcome, len(all))
	for i := range rows {
		rows[i] = outcome{fault: &all[i], verdict: verdictSetUp}
	}
	numbers := make(chan int, 80) // of the scenes that live side by side
	for i := range cap(numbers) {
		numbers <- i
	}
	var running sync.Mutex // rows are written by parallel tests
	t.Run("fault", func(t *testing.T) {
		for i := range all {
			t.Run(all[i].Name, func(t *testing.T) {
				t.Parallel()
				number := <-numbers
				t.Cleanup(func() { numbers <- number }) // after the scene's own
				row := walk(t, number, &all[i])
				running.Lock()
				defer running.Unlock()
				rows[i] = row
			})
		}
	})
	printTable(os.Stdout, rows)
	if *update {
		write(t, rows)
		return
	}
	check(t, rows)
}

func walk(t *testing.T, number int, f *lab.Fault) outcome {
	t.Helper()
	l := lab.Start(t)
	scene := l.Scene(t, f, number)
	client := start(t, l)
	first := cmp.Or(f.Ask, "netns_curl")
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	steps, err := follow(ctx, client, call{first, scene.Arguments(first)}, func(steps []step) bool { return found(f, steps) })
	must(t, err)
	row := outcome{fault: f, steps: steps, verdict: judge(f, steps)}
	if row.failed() {
		t.Errorf("%s, want %q", row.verdict, f.Code)
		for _, step := range steps {
			t.Logf("%s %v\n%s\nfindings %v\nerror %+v", step.Tool, step.Arguments, step.answer.Summary, step.answer.Findings, step.answer.Error)
		}
	}
	return row
}

// found reports whether the cause is known. A healthy pod is looked at until
// nothing is proposed any more.
func found(f *lab.Fault, steps []step) bool {
	if f.Code == "" {
		return false
	}
	named := slices.ContainsFunc(steps, func(st step) bool { return slices.Contains(st.codes(), f.Code) })
	compared := f.Node == "" || slices.ContainsFunc(steps, func(st step) bool { return st.onNode() && st.answer.Data.Outcome == f.Node })
	return named && compared
}

func (s *step) codes() []string {
	var codes []string
	for _, f := range s.answer.Findings {
		codes = append(codes, f.Code)
	}
	return codes
}

// judge holds a walk against what it should find, and against what it must not
// claim.
func judge(f *lab.Fault, steps []step) string {
	for _, st := range steps {
		if st.answer.Error != nil {
			return verdictMiss // a proposal that cannot be followed leads nowhere
		}
		for _, code := range st.codes() {
			if code != f.Code && !slices.Contains(f.Beside, code) {
				return verdictFalseAlarm + ": " + code
			}
		}
	}
	switch {
	case f.Code == "":
		return verdictHealthy
	case !found(f, steps):
		return verdictMiss
	case f.Missing != "":
		return verdictNarrowed
	}
	return verdictFound
}

func (o *outcome) failed() bool {
	return o.verdict != verdictFound && o.verdict != verdictNarrowed && o.verdict != verdictHealthy
}
