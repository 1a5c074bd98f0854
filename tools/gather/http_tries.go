package gather

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync/atomic"

	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

// Repeat sends a request up to count times, each on a new connection, and gathers what
// the answer to the first that failed, else to the last, is judged by, with what all of
// them came to. tick is called each second with how many are done. Errors are those of
// [HTTP.Do]; the first ends all.
func (h *HTTP) Repeat(ctx context.Context, node Node, target *resolve.Target, r HTTPRequest, count int, tick func(done int)) (*fact.FetchEvidence, error) {
	r.Repeated = true
	failed := func(e *fact.FetchEvidence) bool { return e.Outcome != fact.OutcomeOK }
	var begun atomic.Bool
	all, err := repeat(ctx, count, func(ctx context.Context) (*fact.FetchEvidence, error) {
		return h.do(ctx, node, target, r, !begun.Swap(true)) // one inquiry is enough
	}, failed, tick)
	if err != nil {
		return nil, err
	}
	shown := all[len(all)-1]
	if i := slices.IndexFunc(all, failed); i >= 0 {
		shown = all[i]
	}
	shown.Tries = sumUpFetches(count, all)
	shown.Complete = shown.Complete && len(all) == count
	return shown, nil
}

// sumUpFetches counts what requests came to.
func sumUpFetches(count int, all []*fact.FetchEvidence) *fact.Tries {
	t := &fact.Tries{Count: count, Done: len(all), Failed: map[string]int{}, SYNRepeated: map[string]int{}}
	backends := map[string]fact.TriedBackend{}
	var took []float64
	for _, e := range all {
		if e.Outcome == fact.OutcomeOK {
			t.OK++
		} else {
			t.Failed[string(e.Outcome)]++
		}
		if e.Status != nil {
			took = append(took, e.Timings.TotalMS)
		}
		if a := tellingAttempt(e.Fetch); a != nil {
			addConnection(t, e.Fetch, a)
			addBackend(backends, e.Fetch, a)
		}
	}
	t.MinMS, t.MedianMS, t.MaxMS = spread(took)
	t.Backends = slices.SortedFunc(maps.Values(backends), func(a, b fact.TriedBackend) int {
		return cmp.Or(b.Unconnected-a.Unconnected, b.Failed-a.Failed, cmp.Compare(a.Address, b.Address))
	})
	if n := len(t.Backends); n > fact.MaxTriedBackends {
		t.Backends, t.BackendsTotal = t.Backends[:fact.MaxTriedBackends], n
	}
	return t
}

// tellingAttempt is the attempt that connected, else the first; nil for none.
func tellingAttempt(f *fact.Fetch) *fact.Attempt {
	if i := slices.IndexFunc(f.Attempts, func(a fact.Attempt) bool { return a.Outcome == fact.OutcomeOK }); i >= 0 {
		return &f.Attempts[i]
	}
	if len(f.Attempts) == 0 {
		return nil
	}
	return &f.Attempts[0]
}

// addConnection counts what was sent again.
func addConnection(t *fact.Tries, f *fact.Fetch, a *fact.Attempt) {
	if f.Conn == nil {
		t.Retransmits += a.SYNRetransmits
		return
	}
	t.Retransmits += f.Conn.Retransmits
	if a.SYNRetransmits > 0 && !f.ECN.Blocks() {
		t.SYNRepeated[strconv.Itoa(int(math.Round(a.MS/1000)))]++
	}
	if again := f.Conn.Retransmits - a.SYNRetransmits; again > f.Conn.Duplicates && f.Status != nil {
		t.DataRepeated++
	}
}

func addBackend(backends map[string]fact.TriedBackend, f *fact.Fetch, a *fact.Attempt) {
	at := a.Destination()
	b := backends[at]
	b.Address, b.Translated = at, at != a.Address
	switch {
	case f.Outcome == fact.OutcomeOK:
		b.OK++
	case a.Outcome != fact.OutcomeOK:
		b.Unconnected++
	default:
		b.Failed++
	}
	backends[at] = b
}

// spread is the least, the middle and the largest of some durations; nil for none.
func spread(ms []float64) (least, median, most *float64) {
	if len(ms) == 0 {
		return nil, nil, nil
	}
	slices.Sort(ms)
	middle := math.Round((ms[(len(ms)-1)/2]+ms[len(ms)/2])*500) / 1000
	return &ms[0], &middle, &ms[len(ms)-1]
}
