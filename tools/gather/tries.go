package gather

import (
	"context"
	"errors"
	"slices"
	"time"
)

// The pace of what is asked several times.
const (
	// beside is after how long the next try starts beside one that has no answer yet.
	beside = 250 * time.Millisecond
	// maxBeside bounds the tries under way.
	maxBeside = 16
	// wholeTry is enough for a try to fail by itself: a SYN is sent at 0, 1 and 3 s.
	wholeTry = 4 * time.Second
)

// repeat makes up to count tries and returns those that count, in the order of their
// start; the first always does. A try starts when the one before it has ended or takes
// long. Where the deadline of ctx may have ended a try that began late, it does not
// count. The first error ends all. tick is called each second with how many tries have
// ended.
func repeat[T any](ctx context.Context, count int, try func(context.Context) (T, error), failed func(T) bool, tick func(done int)) ([]T, error) {
	type end struct {
		index int
		found T
		err   error
		cut   bool
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	deadline, limited := ctx.Deadline()
	ends := make(chan end, count)
	next, second := time.NewTicker(beside), time.NewTicker(time.Second)
	defer next.Stop()
	defer second.Stop()
	begun, running := 0, 0
	var counted []end
	var broken error
	launch := func() {
		if begun == count || running == maxBeside || broken != nil || ctx.Err() != nil || begun > 0 && limited && time.Until(deadline) < wordingTime {
			return
		}
		index, late := begun, limited && time.Until(deadline) < wholeTry && begun > 0
		begun, running = begun+1, running+1
		next.Reset(beside)
		go func() {
			found, err := try(ctx)
			cut := late && err == nil && failed(found) && time.Until(deadline) < wordingTime
			if index > 0 && errors.Is(err, context.DeadlineExceeded) {
				cut, err = true, nil
			}
			ends <- end{index, found, err, cut}
		}()
	}
	for launch(); running > 0; {
		select {
		case e := <-ends:
			running--
			switch {
			case e.err != nil && broken == nil:
				broken = e.err
				cancel()
			case e.err == nil && !e.cut:
				counted = append(counted, e)
			}
			launch()
		case <-next.C:
			launch()
		case <-second.C:
			tick(len(counted))
		}
	}
	if broken != nil {
		return nil, broken
	}
	slices.SortFunc(counted, func(a, b end) int { return a.index - b.index })
	found := make([]T, len(counted))
	for i, e := range counted {
		found[i] = e.found
	}
	return found, nil
}
