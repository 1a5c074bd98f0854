package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"nsenter-mcp/internal/lab"
)

// hangingPods are a pod and URLs on which its requests hang: of a server that
// accepts and never answers, and of one where every packet is dropped.
func hangingPods(t *testing.T) (l *lab.Lab, client *lab.Pod, urls [2]string) {
	t.Helper()
	l = lab.Start(t)
	pods := l.Pods(t, lab.PodSpec{Name: "client"}, lab.PodSpec{Name: "silent"}, lab.PodSpec{Name: "closed"})
	listener, err := pods[1].Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed at the end of the test
			}
			go func() {
				_, _ = io.Copy(io.Discard, conn)
				_ = conn.Close()
			}()
		}
	}()
	dropEverything(t, pods[2].Netns)
	return l, pods[0], [2]string{"http://" + pods[1].IP.String() + "/", "http://" + pods[2].IP.String() + "/"}
}

// dropEverything makes a namespace drop what it gets, but for ARP.
func dropEverything(t *testing.T, n *lab.Netns) {
	t.Helper()
	var conn *nftables.Conn
	err := n.Handle.Do(func() (err error) {
		conn, err = nftables.New(nftables.AsLasting())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "closed"})
	chain := conn.AddChain(&nftables.Chain{
		Name: "input", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter,
	})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}})
	if err := errors.Join(conn.Flush(), conn.CloseLasting()); err != nil {
		t.Fatal(err)
	}
}

// serveLab runs the program for a lab, over HTTP.
func serveLab(t *testing.T, l *lab.Lab) *httpServer {
	t.Helper()
	engine, err := l.Node.Engine()
	if err != nil {
		t.Fatal(err)
	}
	s := startServe(t, "--unix", filepath.Join(t.TempDir(), "mcp.sock"), "--docker-host", engine.Host(), "--host-netns", l.Node.Path)
	go func() {
		for range s.logged { // so that it can be written
		}
	}()
	return s
}

// count counts what /proc says the server has of "fd" or "task".
func (s *httpServer) count(what string) int {
	s.t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", s.cmd.Process.Pid, what))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(list)
}

// watch counts threads until the group is done, and returns the most.
func (s *httpServer) watch(group *sync.WaitGroup) (most int) {
	s.t.Helper()
	done := make(chan struct{})
	go func() { group.Wait(); close(done) }()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-tick.C:
			most = max(most, s.count("task"))
			continue
		case <-done:
		}
		tick.Stop()
		return most
	}
}

// awaitFiles waits until the server has no more files open than before.
func (s *httpServer) awaitFiles(before int) {
	s.t.Helper()
	for deadline := time.Now().Add(testTimeout); s.count("fd") > before; time.Sleep(10 * time.Millisecond) {
		s.client.CloseIdleConnections() // also those that were dialled for a request that ended meanwhile
		if time.Now().After(deadline) {
			s.t.Fatalf("%d files are open, %d before", s.count("fd"), before)
		}
	}
}

func hangingCall(client *lab.Pod, url string, deadline time.Duration) string {
	return fmt.Sprintf(`{"netns":%q,"url":%q,"timeout_ms":%d}`, client.Path, url, deadline.Milliseconds())
}

// 1,000 requests that hang leave the process small: few threads, every answer at
// its deadline, no file left open.
func TestServeManyHangingCurls(t *testing.T) {
	const calls, deadline = 1000, 4 * time.Second
	l, client, urls := hangingPods(t)
	s := serveLab(t, l)
	hang := func(calls int, deadline time.Duration) (measured, turnedAway int, latest time.Duration, threads int) {
		var all sync.WaitGroup
		var mu sync.Mutex
		for i := range calls {
			all.Go(func() {
				begin := time.Now()
				status, body, err := s.call(i, "netns_curl", hangingCall(client, urls[i%2], deadline))
				mu.Lock()
				defer mu.Unlock()
				latest = max(latest, time.Since(begin))
				switch {
				case err != nil || status != http.StatusOK:
					t.Errorf("call %d: %d %s, %v", i, status, body, err)
				case strings.Contains(body, `"outcome":"timeout"`):
					measured++
				case strings.Contains(body, `"code":"busy"`), strings.Contains(body, `"code":"timeout"`):
					turnedAway++
				default:
					t.Errorf("call %d: %s", i, body)
				}
			})
		}
		threads = s.watch(&all)
		return measured, turnedAway, latest, threads
	}
	hang(20, time.Second) // what is made once is made
	s.client.CloseIdleConnections()
	s.awaitFiles(s.count("fd"))
	files := s.count("fd")

	measured, waited, latest, threads := hang(calls, deadline)
	t.Logf("%d measured, %d waited in vain; at most %d threads; the latest answer after %s", measured, waited, threads, latest.Round(time.Millisecond))
	if threads >= lab.ManyThreads {
		t.Errorf("%d threads", threads)
	}
	if measured < 64 {
		t.Errorf("only %d were measured", measured)
	}
	if latest > patience*deadline {
		t.Errorf("an answer came after %s", latest)
	}
	s.awaitFiles(files)
}

// Who hangs up, or cancels in its session, frees what its call holds, long
// before the call's time is up.
func TestServeCancelFreesAtOnce(t *testing.T) {
	t.Parallel()
	const calls, deadline = 100, 50 * time.Second // less than run at a time
	l, client, urls := hangingPods(t)
	s := serveLab(t, l)
	if _, body, err := s.call(0, "netns_curl", hangingCall(client, urls[0], time.Second)); err != nil {
		t.Fatalf("%s, %v", body, err)
	}
	idle := s.count("fd")
	// running waits until the calls have connections open.
	running := func() {
		for end := time.Now().Add(testTimeout); s.count("fd") < idle+2*calls; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d files are open for %d calls", s.count("fd")-idle, calls)
			}
		}
	}

	t.Run("hang up", func(t *testing.T) {
		ctx, hangUp := context.WithCancel(t.Context())
		defer hangUp()
		var all sync.WaitGroup
		for i := range calls {
			r := s.request(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"netns_curl","arguments":`+hangingCall(client, urls[i%2], deadline)+`,`+statelessMeta+`}}`,
				"Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "netns_curl").WithContext(ctx)
			all.Go(func() {
				response, err := s.client.Do(r)
				if err == nil {
					_, err = io.ReadAll(response.Body)
					_ = response.Body.Close()
				}
				if !errors.Is(err, context.Canceled) {
					t.Errorf("call %d ended by itself: %v", i, err)
				}
			})
		}
		running()
		begin := time.Now()
		hangUp()
		all.Wait()
		s.awaitFiles(idle)
		t.Logf("%d calls gone after %s", calls, time.Since(begin).Round(time.Millisecond))
	})

	t.Run("cancelled", func(t *testing.T) {
		response, err := s.client.Do(s.request(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		session := []string{"Mcp-Session-Id", response.Header.Get("Mcp-Session-Id"), "Mcp-Protocol-Version", "2025-11-25"}
		var all sync.WaitGroup
		for i := range calls {
			r := s.request(strings.TrimSpace(rpcCall(i+1, "netns_curl", hangingCall(client, urls[i%2], deadline))), session...)
			all.Go(func() {
				response, err := s.client.Do(r)
				if err != nil {
					t.Error(err)
					return
				}
				// A request that was cancelled is not answered (MCP, cancellation).
				body, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || strings.Contains(string(body), `"result"`) || strings.Contains(string(body), `"error"`) {
					t.Errorf("call %d: %s, %v", i+1, body, err)
				}
			})
		}
		running()
		begin := time.Now()
		gone := make(chan struct{})
		go func() { defer close(gone); all.Wait() }()
		// Some calls have more files than two, so that the last may still be on its
		// way when running returns; what comes before its request cancels nothing.
		for waiting := true; waiting; {
			for i := range calls {
				response, err := s.client.Do(s.request(fmt.Sprintf(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%d}}`, i+1), session...))
				if err != nil || response.StatusCode != http.StatusAccepted {
					t.Fatalf("%v, %v", response, err)
				}
				_ = response.Body.Close()
			}
			select {
			case <-gone:
				waiting = false
			case <-time.After(100 * time.Millisecond):
			}
		}
		s.awaitFiles(idle)
		t.Logf("%d calls gone after %s", calls, time.Since(begin).Round(time.Millisecond))
	})
}

// request makes a request of a message, with further header fields in pairs.
func (s *httpServer) request(body string, header ...string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://localhost/mcp", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": {"Bearer " + testSecret},
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}
