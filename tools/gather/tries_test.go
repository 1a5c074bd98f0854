package gather

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nsenter-mcp/tools/fact"
)

// tried is how a try of a test ended.
type tried struct {
	index  int
	failed bool
}

// play makes count tries within limit, of which each takes what takes says and fails
// where fails says so.
func play(t *testing.T, limit time.Duration, count int, takes func(int) time.Duration, fails func(int) bool) (found []int, most int, ticks []int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var mu sync.Mutex
	running := 0
	next := make(chan int, count)
	for i := range count {
		next <- i
	}
	all, err := repeat(ctx, count, func(ctx context.Context) (tried, error) {
		index := <-next
		run := func(more int) {
			mu.Lock()
			defer mu.Unlock()
			running += more
			most = max(most, running)
		}
		run(1)
		defer run(-1)
		select {
		case <-time.After(takes(index)):
			return tried{index, fails(index)}, nil
		case <-ctx.Done():
			return tried{index, true}, nil
		}
	}, func(e tried) bool { return e.failed }, func(done int) { ticks = append(ticks, done) })
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		found = append(found, e.index)
	}
	return found, most, ticks
}

func always[T any](value T) func(int) T { return func(int) T { return value } }

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func TestTriesThatAnswerAreMadeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		found, most, _ := play(t, 10*time.Second, 50, always(time.Millisecond), always(false))
		if !slices.Equal(found, upTo(50)) || most != 1 {
			t.Errorf("%v, %d at a time", found, most)
		}
	})
}

func TestTryThatHangsHoldsUpNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hangs := func(i int) bool { return i%10 == 0 }
		found, _, ticks := play(t, 10*time.Second, 50, func(i int) time.Duration {
			if hangs(i) {
				return 3 * time.Second
			}
			return time.Millisecond
		}, hangs)
		if !slices.Equal(found, upTo(50)) || len(ticks) == 0 || !slices.IsSorted(ticks) {
			t.Errorf("%v, ticks %v", found, ticks)
		}
	})
}

// Tries that begin so late that they cannot have failed by themselves do not count.
func TestTriesThatTheDeadlineEndsDoNotCount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		found, most, _ := play(t, 6*time.Second, 50, always(time.Hour), always(true))
		// At 0, 0.25, ... 2 s: there are 4 s left.
		if !slices.Equal(found, upTo(9)) || most != maxBeside {
			t.Errorf("%v, %d at a time", found, most)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		if found, _, _ := play(t, time.Second, 50, always(time.Hour), always(true)); !slices.Equal(found, upTo(1)) {
			t.Errorf("%v", found)
		}
	})
}

func TestFirstErrorEndsAllTries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		start := time.Now()
		_, err := repeat(t.Context(), 10, func(ctx context.Context) (tried, error) {
			if time.Since(start) == 0 {
				<-ctx.Done()
				return tried{}, ctx.Err()
			}
			return tried{}, broken
		}, func(tried) bool { return false }, func(int) {})
		if !errors.Is(err, broken) {
			t.Error(err)
		}
	})
}

func TestCancelEndsTries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		start := time.Now()
		_, err := repeat(ctx, 10, func(ctx context.Context) (tried, error) {
			<-ctx.Done()
			return tried{}, ctx.Err()
		}, func(tried) bool { return true }, func(int) {})
		if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
	})
}

func TestSumOfFetches(t *testing.T) {
	t.Parallel()
	status := 200
	answered := func(ms float64, a fact.Attempt, c fact.ConnState) *fact.FetchEvidence {
		a.Address, a.Outcome = "10.96.0.1:80", fact.OutcomeOK
		return &fact.FetchEvidence{Fetch: &fact.Fetch{
			Outcome: fact.OutcomeOK, Stage: fact.StageDone, Status: &status, Timings: fact.Timings{TotalMS: ms}, Attempts: []fact.Attempt{a}, Conn: &c,
		}}
	}
	to := func(backend string) *fact.AttemptNode { return &fact.AttemptNode{SentTo: backend} }
	all := []*fact.FetchEvidence{
		answered(1, fact.Attempt{Node: to("10.0.0.1:8080")}, fact.ConnState{}),
		answered(1003, fact.Attempt{Node: to("10.0.0.1:8080"), SYNRetransmits: 1, MS: 1001}, fact.ConnState{Retransmits: 1}),
		answered(204, fact.Attempt{SentTo: "10.0.0.1:8080"}, fact.ConnState{Retransmits: 1}),
		answered(2, fact.Attempt{}, fact.ConnState{Retransmits: 2, Duplicates: 2}), // came twice, so none was lost
		{Fetch: &fact.Fetch{Outcome: fact.OutcomeTimeout, Stage: fact.StageConnect, Attempts: []fact.Attempt{
			{Address: "10.96.0.1:80", Outcome: fact.OutcomeTimeout, SYNRetransmits: 3, Node: to("10.0.0.2:8080")},
		}}},
		{Fetch: &fact.Fetch{Outcome: fact.OutcomeDNSFailed, Stage: fact.StageDNS}},
	}
	got := sumUpFetches(7, all)
	if got.Count != 7 || got.Done != 6 || got.OK != 4 || got.Failed["timeout"] != 1 || got.Failed["dns_failed"] != 1 ||
		*got.MinMS != 1 || *got.MedianMS != 103 || *got.MaxMS != 1003 || got.Retransmits != 7 || got.DataRepeated != 1 || got.SYNRepeated["1"] != 1 {
		t.Errorf("%+v", got)
	}
	want := []fact.TriedBackend{
		{Address: "10.0.0.2:8080", Translated: true, Unconnected: 1}, {Address: "10.0.0.1:8080", Translated: true, OK: 3}, {Address: "10.96.0.1:80", OK: 1},
	}
	if !slices.Equal(got.Backends, want) {
		t.Errorf("%+v", got.Backends)
	}
}
