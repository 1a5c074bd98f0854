//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

// soakTime is how long TestSoak goes on, as `make soak` says it. Without it there is
// no such test.
const soakTime = "NSENTER_MCP_SOAK"

// silentPort is one whose packets the server's own firewall drops.
const silentPort = 8008

// hostileServers answer in ways that no client expects, each for as long as the
// client stays.
func hostileServers() map[string]func(net.Conn) {
	endless := func(head, more string) func(net.Conn) {
		return func(c net.Conn) {
			_, err := io.WriteString(c, head)
			for err == nil {
				_, err = io.WriteString(c, more)
			}
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	return map[string]func(net.Conn){
		":8001": func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, // never answers
		":8002": func(net.Conn) {},                                  // closes at once
		":8003": endless(ok, "X-Endless: "+strings.Repeat("x", 1000)+"\r\n"),
		":8004": endless(ok+"\r\n", strings.Repeat("body ", 1000)),
		":8005": endless(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
		":8006": endless("\x16\x03\x01\xff\xff\x00", strings.Repeat("\xff\x00", 500)),
		":8007": endless("HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n", "\r\n"),
	}
}

// soak is one server under load.
type soak struct {
	t              *testing.T
	server         *benchServer
	lab            *lab.Lab
	pods           []*lab.Pod
	calls, refused atomic.Int64 // answered; those of them with an error of the tool
	born           atomic.Int64
}

// ask makes a call. What the tool says is not judged: that there is an answer is.
func (s *soak) ask(ctx context.Context, tool string, arguments map[string]any) {
	result, err := s.server.Call(ctx, tool, arguments)
	switch {
	case err == nil && result.IsError:
		s.refused.Add(1)
		s.calls.Add(1)
	case err == nil:
		s.calls.Add(1)
	case ctx.Err() == nil:
		s.t.Errorf("%s %v: %v", tool, arguments, err)
	}
}

// mixed makes one call of a kind that chance picks.
func (s *soak) mixed(ctx context.Context) {
	pod, peer := s.pods[rand.IntN(len(s.pods))], s.pods[0]
	url := func(port int) string { return fmt.Sprintf("http://%s:%d/", peer.IP, port) }
	switch rand.IntN(9) {
	case 0:
		s.ask(ctx, "list_pods", map[string]any{})
	case 1:
		s.ask(ctx, "resolve_pod_pid", map[string]any{"pod": pod.Name, "namespace": pod.Namespace})
	case 2, 3:
		s.ask(ctx, "netns_ip_addr", map[string]any{"pod": pod.Name})
	case 4:
		s.ask(ctx, "netns_dns_lookup", map[string]any{"pod": pod.Name, "name": "api.shop", "server": peer.IP.String(), "timeout_ms": 300})
	case 5:
		s.ask(ctx, "netns_curl", map[string]any{"pod": pod.Name, "url": url(80)})
	case 6: // among them a port that nobody listens on
		s.ask(ctx, "netns_curl", map[string]any{"pod": pod.Name, "url": url(8000 + rand.IntN(8)), "timeout_ms": 300})
	case 7: // cancelled on the way
		short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(20))*time.Millisecond)
		defer cancel()
		s.ask(short, "netns_curl", map[string]any{"pod": pod.Name, "url": url(8001)})
	case 8: // silent for long enough that the journey of its packets is recorded
		s.ask(ctx, "netns_curl", map[string]any{"pod": pod.Name, "url": url(silentPort), "timeout_ms": 1800})
	}
}

// churn starts a pod, looks at it and deletes it while it is being looked at.
func (s *soak) churn(ctx context.Context) {
	name := fmt.Sprintf("short-%d", s.born.Add(1))
	pod, err := s.lab.AddPod(lab.PodSpec{Name: name, Namespace: "churn"})
	if err != nil {
		s.t.Error(err)
		return
	}
	var looks sync.WaitGroup
	for _, tool := range []string{"netns_ip_addr", "netns_curl"} {
		arguments := map[string]any{"pod": name, "namespace": "churn"}
		if tool == "netns_curl" {
			arguments["url"], arguments["timeout_ms"] = fmt.Sprintf("http://%s:8001/", s.pods[0].IP), 300
		}
		looks.Go(func() { s.ask(ctx, tool, arguments) })
	}
	if err := pod.Delete(); err != nil {
		s.t.Error(err)
	}
	looks.Wait()
}

// run puts the server under load for some time, and waits for all answers.
func (s *soak) run(long time.Duration) {
	ctx, cancel := context.WithTimeout(s.t.Context(), long)
	defer cancel()
	var all sync.WaitGroup
	for _, step := range []func(context.Context){s.mixed, s.mixed, s.mixed, s.mixed, s.mixed, s.mixed, s.mixed, s.churn} {
		all.Go(func() {
			for ctx.Err() == nil && !s.t.Failed() {
				step(context.WithoutCancel(ctx))
			}
		})
	}
	all.Wait()
}

// TestSoak: mixed calls, pods that die under them and servers that mean harm leave the
// server as it was. It prints what the server holds before and after.
func TestSoak(t *testing.T) {
	long, err := time.ParseDuration(os.Getenv(soakTime))
	if err != nil {
		t.Skipf("%s is no duration: make soak sets it", soakTime)
	}
	l := lab.Start(t)
	pods := l.Pods(t, lab.PodSpec{Name: "web-0", Namespace: "shop"}, lab.PodSpec{Name: "web-1", Namespace: "shop", Style: lab.Calico},
		lab.PodSpec{Name: "web-2", Namespace: "shop", IPv6: true})
	if _, err := pods[0].Serve(":80", http.NotFoundHandler()); err != nil {
		t.Fatal(err)
	}
	for at, handle := range hostileServers() {
		if _, err := pods[0].ServeConns(at, handle); err != nil {
			t.Fatal(err)
		}
	}
	if err := pods[0].Firewall(lab.FirewallRule{Hook: lab.Incoming, Port: silentPort}); err != nil {
		t.Fatal(err)
	}
	names, err := pods[0].ListenPacket("udp", ":53")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // a DNS server that echoes questions, and sends what is none
		for b := make([]byte, 1500); ; {
			n, from, err := names.ReadFrom(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			_, _ = names.WriteTo(b[:rand.IntN(n+1)], from)
			_, _ = names.WriteTo(b[:n], from)
		}
	}()
	engine, err := l.Node.Engine()
	if err != nil {
		t.Fatal(err)
	}
	s := &soak{t: t, server: serve(t, l.Node, engine), lab: l, pods: pods}
	s.run(long / 5) // caches and pools are filled
	before, first := s.rest(), s.calls.Load()
	s.run(long)
	after := s.rest()
	t.Logf("%s: %d calls (%d answered with an error), %d pods came and went", long, s.calls.Load()-first, s.refused.Load(), s.born.Load())
	t.Logf("before: %s", before)
	t.Logf("after:  %s", after)
	if after.fds > before.fds || after.netns > before.netns || after.threads > before.threads+4 || after.rss > 2*before.rss {
		t.Error("the server holds more than before")
	}
}

// rest waits until the server has given back what it holds for a while only
// (connections that are idle), and weighs it.
func (s *soak) rest() weight {
	s.t.Helper()
	now := weigh(s.t, s.server.pid)
	for range 32 { // idle connections are kept for 30 s
		time.Sleep(time.Second)
		next := weigh(s.t, s.server.pid)
		now = weight{min(now.fds, next.fds), min(now.threads, next.threads), next.rss, min(now.netns, next.netns)}
	}
	return now
}
