package lookup

import (
	"context"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

// procStatus reads a number from /proc/self/status.
func procStatus(t testing.TB, name string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), name+":")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func openFiles(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// TestThousandHangingLookups: at servers that never answer, over UDP and over
// TCP. Threads stay few, all end at their deadline, and nothing is left behind.
func TestThousandHangingLookups(t *testing.T) {
	if !lab.Alone(t) {
		return
	}
	for _, options := range []string{"options ndots:5", "options ndots:5 use-vc"} {
		pod := lab.Start(t).Pod(t, lab.PodSpec{Style: lab.Plain})
		packetServer(t, pod, func([]byte) [][]byte { return nil })
		streamServer(t, pod, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		target := targetIn(pod, conf("search a.example", "nameserver "+server1, options))
		filesBefore, goroutinesBefore := openFiles(t), runtime.NumGoroutine()
		const lookups, window = 1000, 3 * time.Second
		start := time.Now()
		var wg sync.WaitGroup
		var mu sync.Mutex
		longest, most := time.Duration(0), 0
		stop := make(chan struct{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
					most = max(most, procStatus(t, "Threads"))
				}
			}
		}()
		for range lookups {
			wg.Go(func() {
				started := time.Now()
				out, err := Run(context.Background(), target, Request{Name: "www.example.com", Window: window})
				if err != nil || out.Outcome != "timeout" {
					t.Errorf("%v, %+v", err, out)
				}
				mu.Lock()
				defer mu.Unlock()
				longest = max(longest, time.Since(started))
			})
		}
		wg.Wait()
		close(stop)
		<-watched
		t.Logf("%s: %v in all, the longest %v, at most %d threads", options, time.Since(start), longest, most)
		if most >= lab.ManyThreads {
			t.Errorf("%s: %d threads", options, most)
		}
		if longest > 5*window {
			t.Errorf("%s: the longest took %v", options, longest)
		}
		settled := func() bool { return openFiles(t) <= filesBefore+8 && runtime.NumGoroutine() <= goroutinesBefore+8 }
		for deadline := time.Now().Add(5 * time.Second); !settled() && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond) // the server's ends of connections close a little later
		}
		if !settled() {
			t.Errorf("%s: %d files and %d goroutines before, %d and %d after", options, filesBefore, goroutinesBefore, openFiles(t), runtime.NumGoroutine())
		}
	}
}

// TestNothingIsLeftBehind: lookups of all outcomes, many times.
func TestNothingIsLeftBehind(t *testing.T) {
	pod := lab.Start(t).Pod(t, lab.PodSpec{Style: lab.Plain})
	with(forName(".cut.example.", truncated), cluster()).serve(t, pod, server1)
	good := targetIn(pod, conf("search cut.example", "nameserver "+server1, "options ndots:2"))
	closed := targetIn(pod, conf("nameserver "+server2))
	turn := func(n int) {
		for range n {
			lookUp(t, good, Request{Name: "www.example.com"})
			lookUp(t, good, Request{Name: "nosuch"})
			lookUp(t, closed, Request{Name: "nosuch"})
		}
	}
	turn(20)
	runtime.GC()
	files, goroutines, threads := openFiles(t), runtime.NumGoroutine(), procStatus(t, "Threads")
	turn(300)
	runtime.GC()
	if f, g, n := openFiles(t), runtime.NumGoroutine(), procStatus(t, "Threads"); f > files+4 || g > goroutines+4 || n > threads+8 {
		t.Errorf("files %d -> %d, goroutines %d -> %d, threads %d -> %d", files, f, goroutines, g, threads, n)
	}
}
