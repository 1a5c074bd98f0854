//go:build e2e

package eval

import (
	"context"
	"flag"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
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
	scenario *scenario
	verdict  string
	steps    []step
}

// TestEval walks all scenarios side by side: most of the time is spent waiting
// for answers that do not come.
func TestEval(t *testing.T) {
	all := scenarios()
	rows := make([]outcome, len(all))
	for i := range rows {
		rows[i] = outcome{scenario: &all[i], verdict: verdictSetUp}
	}
	var running sync.Mutex // rows are written by parallel tests
	t.Run("scenario", func(t *testing.T) {
		for i := range all {
			t.Run(all[i].name, func(t *testing.T) {
				t.Parallel()
				row := walk(t, i, &all[i])
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

func walk(t *testing.T, number int, s *scenario) outcome {
	t.Helper()
	w := newWorld(t, number, s)
	url := s.serve(w)
	if s.fault != nil {
		w.must(s.fault(w.pod))
	}
	client := w.start()
	first := ask("netns_curl")
	if s.ask != nil {
		first = s.ask
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	steps, err := follow(ctx, client, first(w, url), s.found)
	w.must(err)
	row := outcome{scenario: s, steps: steps, verdict: s.judge(steps)}
	if row.failed() {
		t.Errorf("%s, want %q", row.verdict, s.code)
		for _, step := range steps {
			t.Logf("%s %v\n%s\nfindings %v\nerror %+v", step.Tool, step.Arguments, step.answer.Summary, step.answer.Findings, step.answer.Error)
		}
	}
	return row
}

// found reports whether the cause is known. A healthy pod is looked at until
// nothing is proposed any more.
func (s *scenario) found(steps []step) bool {
	if s.code == "" {
		return false
	}
	named := slices.ContainsFunc(steps, func(st step) bool { return slices.Contains(st.codes(), s.code) })
	compared := s.node == "" || slices.ContainsFunc(steps, func(st step) bool { return st.onNode() && st.answer.Data.Outcome == s.node })
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
func (s *scenario) judge(steps []step) string {
	for _, st := range steps {
		if st.answer.Error != nil {
			return verdictMiss // a proposal that cannot be followed leads nowhere
		}
		for _, code := range st.codes() {
			if code != s.code && !slices.Contains(s.beside, code) {
				return verdictFalseAlarm + ": " + code
			}
		}
	}
	switch {
	case s.code == "":
		return verdictHealthy
	case !s.found(steps):
		return verdictMiss
	case s.missing != "":
		return verdictNarrowed
	}
	return verdictFound
}

func (o *outcome) failed() bool {
	return o.verdict != verdictFound && o.verdict != verdictNarrowed && o.verdict != verdictHealthy
}
