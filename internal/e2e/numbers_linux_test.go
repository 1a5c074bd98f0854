//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// number is one line of the table that `make bench` prints.
type number struct{ what, measured, bar, verdict string }

// numbers collects the table over all benchmarks of a run.
type numbers struct {
	mu   sync.Mutex
	rows []number
}

// table is filled by the benchmarks and printed by the runner when all are
// done. Missing a bar fails nothing: machines differ, and so do their moments.
var table numbers

func (n *numbers) add(what, bar string, reached bool, format string, args ...any) {
	verdict := "reached"
	if !reached {
		verdict = "MISSED"
	}
	n.put(number{what, fmt.Sprintf(format, args...), bar, verdict})
}

// note is for a line that has no bar.
func (n *numbers) note(what, format string, args ...any) {
	n.put(number{what: what, measured: fmt.Sprintf(format, args...)})
}

func (n *numbers) put(row number) {
	n.mu.Lock()
	defer n.mu.Unlock()
	// A benchmark may run more than once; the last time counts.
	n.rows = slices.DeleteFunc(n.rows, func(r number) bool { return r.what == row.what })
	n.rows = append(n.rows, row)
}

func (n *numbers) print() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.rows) == 0 {
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nwhat\tmeasured\tbar\t")
	for _, r := range n.rows {
		_, _ = fmt.Fprintln(w, strings.Join([]string{r.what, r.measured, r.bar, r.verdict}, "\t"))
	}
	_ = w.Flush()
}

// turn is how often one side runs before the other does: as in a conversation
// or a script, where one call follows another, and not one after a fork that has
// emptied the caches.
const turn = 10

// paired runs a and b in turns, so that both meet the same moments of the
// machine, and returns the median duration of each.
func paired(rounds int, a, b func()) (time.Duration, time.Duration) {
	return pairedTurns(rounds, turn, a, b)
}

func pairedTurns(rounds, turn int, a, b func()) (time.Duration, time.Duration) {
	var as, bs []time.Duration
	a()
	b() // warm
	for done := 0; done < rounds; done += turn {
		for range turn {
			as = append(as, timed(a))
		}
		for range turn {
			bs = append(bs, timed(b))
		}
	}
	return median(as), median(bs)
}

func timed(fn func()) time.Duration {
	start := time.Now()
	fn()
	return time.Since(start)
}

func median[T cmp.Ordered](values []T) T {
	slices.Sort(values)
	return values[len(values)/2]
}
