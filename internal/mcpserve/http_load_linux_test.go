package mcpserve

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

func countIn(t *testing.T, dir string) int {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// 1,000 calls that hang cost no threads, and each ends at its deadline: those
// that got a place with a timeout of their own, the others as busy.
func TestHTTPManyHangingCalls(t *testing.T) {
	const deadline = 3 * time.Second
	calls := 1000
	if raceEnabled {
		calls = 200 // the detector makes a connection so slow that the server gives it up
	}
	s := serveHTTP(t, strictDispatcher{&fakeDispatcher{}}, nil)
	s.client.Transport.(*http.Transport).MaxIdleConnsPerHost = calls
	eras := s.eras()
	var waiting sync.WaitGroup
	var latest atomic.Int64 // nanoseconds
	for i := range calls {
		waiting.Go(func() {
			r := s.call(eras[i%2], fmt.Sprint(i), "hang", fmt.Sprintf(`{"timeout_ms":%d}`, deadline.Milliseconds()))
			begin := time.Now()
			got, err := s.try(r)
			took := time.Since(begin)
			if err != nil || len(got.messages) != 1 || !got.messages[0].Result.IsError || string(got.messages[0].ID) != fmt.Sprint(i) {
				t.Errorf("call %d: %d %s, %v", i, got.status, got.body, err)
			}
			if took < deadline-50*time.Millisecond {
				t.Errorf("call %d ended after %s", i, took)
			}
			for {
				before := latest.Load()
				if int64(took) <= before || latest.CompareAndSwap(before, int64(took)) {
					return
				}
			}
		})
	}
	most := 0
	ended := make(chan struct{})
	go func() { waiting.Wait(); close(ended) }()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case <-tick.C:
			most = max(most, countIn(t, "/proc/self/task"))
			continue
		case <-ended:
		}
		tick.Stop()
		break
	}
	t.Logf("%d calls hung: at most %d threads (client and tests included), the last ended after %s", calls, most, time.Duration(latest.Load()))
	if most >= lab.ManyThreads && !raceEnabled {
		t.Errorf("%d threads", most)
	}
	if limit := deadline + 5*time.Second; time.Duration(latest.Load()) > limit && !raceEnabled {
		t.Errorf("the last call took %s", time.Duration(latest.Load()))
	}
	if !s.isIdle() {
		t.Error("places are still taken")
	}
}

// 5,000 calls over both eras, by clients that come and go, leave the server as
// it was.
func TestHTTPCallsLeaveNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("counts goroutines and time; the race detector changes both")
	}
	const rounds, callsEach = 100, 50
	s := serveHTTP(t, &fakeDispatcher{}, nil)
	transport := s.client.Transport.(*http.Transport)
	round := func() {
		for _, e := range s.eras() {
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					for i := range callsEach / 10 {
						tool := []string{"echo", "fail", "progress", "ecko", "echo"}[i]
						if got, err := s.try(s.call(e, fmt.Sprint(i), tool, `{"tag":"x"}`)); err != nil || len(got.messages) == 0 {
							t.Errorf("%s: %+v, %v", tool, got, err)
						}
					}
				})
			}
			all.Wait()
		}
		transport.CloseIdleConnections()
	}
	quiet := func() (goroutines, files int) {
		eventually(t, "all connections are closed", func() bool { return s.isIdle() })
		last := -1
		eventually(t, "the number of goroutines settles", func() bool {
			now := runtime.NumGoroutine()
			settled := now == last
			last = now
			return settled
		})
		return last, countIn(t, "/proc/self/fd")
	}
	for range 5 {
		round()
	}
	goroutines, files := quiet()
	for range rounds {
		round()
	}
	eventually(t, fmt.Sprintf("there are no more than %d goroutines and %d files", goroutines, files), func() bool {
		nowGoroutines, nowFiles := quiet()
		return nowGoroutines <= goroutines && nowFiles <= files
	})
	s.http.sessions.mu.Lock()
	defer s.http.sessions.mu.Unlock()
	if n := len(s.http.sessions.list); n > s.http.limits.sessions {
		t.Errorf("%d sessions", n)
	}
}
