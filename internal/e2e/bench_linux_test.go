//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// benchServer is the program as an agent runs it, on a lab's node.
type benchServer struct {
	*mcpclient.Client
	pid int
}

// serve starts the program for a node, with its engine where it has one, and
// further flags.
func serve(b testing.TB, node *lab.Node, engine *lab.Engine, flags ...string) *benchServer {
	b.Helper()
	args := append([]string{"--host-netns", node.Path, "--log-level", "error"}, flags...)
	if engine != nil {
		args = append(args, "--docker-host", engine.Host())
	}
	cmd := exec.Command(program(), args...)
	client, err := mcpclient.Start(b.Context(), cmd)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	return &benchServer{client, cmd.Process.Pid}
}

// ask makes a call that must succeed.
func (s *benchServer) ask(b *testing.B, tool string, arguments map[string]any) {
	result, err := s.Call(b.Context(), tool, arguments)
	if err != nil {
		b.Fatal(err)
	}
	if result.IsError {
		b.Fatalf("%s: %s", tool, result.JSON)
	}
}

func runQuiet(b *testing.B, name string, args ...string) {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		b.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// BenchmarkIPAddr: a call over stdio against the command that it replaces, both
// up to the last byte of the answer. Besides, what a Go program sees that calls
// through a client library now and then: cold, and the library's work included.
func BenchmarkIPAddr(b *testing.B) {
	l := lab.Start(b)
	pod := l.Pod(b, lab.PodSpec{})
	pid := strconv.Itoa(pod.PID)
	inside := func(args ...string) {
		runQuiet(b, "nsenter", append([]string{"-t", pid, "-n", "ip", "-j"}, args...)...)
	}
	byHand := func() { inside("-d", "addr") }
	lines := startLines(b, "--host-netns", l.Node.Path, "--log-level", "error")
	request := lines.call(b, "netns_ip_addr", map[string]any{"pid": pod.PID})
	library := serve(b, l.Node, nil)
	for b.Loop() {
		ours, theirs := paired(400, func() { lines.exchange(b, request) }, byHand)
		ratio := float64(theirs) / float64(ours)
		b.ReportMetric(ratio, "x-faster")
		table.add("netns_ip_addr over stdio / nsenter ip -j -d addr", "8 x faster", ratio >= 8,
			"%s / %s: %.1f x faster", ours, theirs, ratio)
		ours, theirs = paired(100, func() { lines.exchange(b, request) }, func() { byHand(); inside("route", "show", "table", "all") })
		table.note("the same against both commands whose facts it holds, addr and route", "%s / %s: %.1f x faster", ours, theirs, float64(theirs)/float64(ours))
		ours, theirs = pairedTurns(100, 1, func() { library.ask(b, "netns_ip_addr", map[string]any{"pid": pod.PID}) }, byHand)
		table.note("the same, one call at a time through mcp-go's client", "%s / %s: %.1f x faster", ours, theirs, float64(theirs)/float64(ours))
	}
}

// BenchmarkCurl: a request over stdio against the command that it replaces, to
// the same server in another pod.
func BenchmarkCurl(b *testing.B) {
	l := lab.Start(b)
	pods := l.Pods(b, lab.PodSpec{}, lab.PodSpec{})
	at, err := pods[1].Serve(":80", http.NotFoundHandler())
	if err != nil {
		b.Fatal(err)
	}
	server := serve(b, l.Node, nil)
	pid, url := strconv.Itoa(pods[0].PID), "http://"+at.String()+"/"
	for b.Loop() {
		ours, theirs := paired(100,
			func() { server.ask(b, "netns_curl", map[string]any{"pid": pods[0].PID, "url": url}) },
			func() { runQuiet(b, "nsenter", "-t", pid, "-n", "curl", "-q", "-s", "-o", "/dev/null", url) })
		ratio := float64(theirs) / float64(ours)
		b.ReportMetric(ratio, "x-faster")
		table.add("netns_curl over stdio / nsenter curl", "no slower", ratio >= 1, "%s / %s: %.1f x faster", ours, theirs, ratio)
	}
}

// BenchmarkDNSLookup: a lookup over stdio, with the whole search list, against
// dig for the one name that is known to exist.
func BenchmarkDNSLookup(b *testing.B) {
	const name, address = "api.shop.svc.cluster.local.", "10.96.1.2"
	l := lab.Start(b)
	dnsPod := l.Pod(b, lab.PodSpec{Name: "coredns-0", Namespace: "kube-system"})
	pod := l.Pod(b, lab.PodSpec{Name: "web-0", Namespace: "shop", Files: lab.FileSpec{
		ResolvConf: "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver " + dnsPod.IP.String() + "\noptions ndots:5\n",
	}})
	packets, err := dnsPod.ListenPacket("udp", dnsPod.IP.String()+":53")
	if err != nil {
		b.Fatal(err)
	}
	started := make(chan struct{})
	names := &dns.Server{PacketConn: packets, NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		r := new(dns.Msg).SetReply(q)
		r.RecursionAvailable = true
		switch {
		case q.Question[0].Name != name:
			r.Rcode = dns.RcodeNameError
		case q.Question[0].Qtype == dns.TypeA:
			r.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 30}, A: net.ParseIP(address)}}
		}
		_ = w.WriteMsg(r) // the client may be gone
	})}
	go func() { _ = names.ActivateAndServe() }() // ends at Shutdown
	<-started
	b.Cleanup(func() { _ = names.Shutdown() })

	server := serve(b, l.Node, nil)
	pid := strconv.Itoa(pod.PID)
	for b.Loop() {
		ours, theirs := paired(100,
			func() { server.ask(b, "netns_dns_lookup", map[string]any{"pid": pod.PID, "name": "api"}) },
			func() { runQuiet(b, "nsenter", "-t", pid, "-n", "dig", "@"+dnsPod.IP.String(), "+short", name) })
		ratio := float64(theirs) / float64(ours)
		b.ReportMetric(ratio, "x-faster")
		table.add("netns_dns_lookup over stdio / nsenter dig", "no slower", ratio >= 1, "%s / %s: %.1f x faster", ours, theirs, ratio)
	}
}

// BenchmarkResolveDocker: resolving a container against docker inspect, both
// asking the same engine.
func BenchmarkResolveDocker(b *testing.B) {
	l := lab.Start(b)
	l.Container(b, lab.ContainerSpec{Name: "web"})
	engine, err := l.Node.Engine()
	if err != nil {
		b.Fatal(err)
	}
	server := serve(b, l.Node, engine)
	for b.Loop() {
		ours, theirs := paired(50,
			func() { server.ask(b, "resolve_pod_pid", map[string]any{"container": "web"}) },
			func() { runQuiet(b, "docker", "--host", engine.Host(), "inspect", "web") })
		ratio := float64(theirs) / float64(ours)
		b.ReportMetric(ratio, "x-faster")
		table.add("resolving a container / docker inspect", "5 x faster", ratio >= 5,
			"%s / %s: %.1f x faster", ours, theirs, ratio)
	}
}

// BenchmarkResolveOfMany: one pod among 1,000 containers against one among 10,
// as a conversation asks about it: again and again. The first look costs what
// the engine needs to search its list.
func BenchmarkResolveOfMany(b *testing.B) {
	l := lab.Start(b)
	servers := map[int]*benchServer{}
	for _, total := range []int{10, 1000} {
		node, err := l.AddNode()
		if err != nil {
			b.Fatal(err)
		}
		l.Pod(b, lab.PodSpec{Name: "web-0", Namespace: "shop", Node: node})
		engine, err := node.Engine()
		if err != nil {
			b.Fatal(err)
		}
		engine.AddSynthetic(total - 1)
		servers[total] = serve(b, node, engine)
	}
	ask := func(total int) func() {
		return func() {
			servers[total].ask(b, "netns_ip_addr", map[string]any{"pod": "web-0", "namespace": "shop"})
		}
	}
	for b.Loop() {
		few, many := paired(200, ask(10), ask(1000))
		ratio := float64(many) / float64(few)
		b.ReportMetric(ratio, "x-time")
		table.add("resolving one pod of 1,000 / of 10 (Docker)", "1.5 x the time", ratio <= 1.5,
			"%s / %s: %.2f x", many, few, ratio)
	}
}

// BenchmarkResolveOfManyCRI: the same over the Container Runtime Interface.
func BenchmarkResolveOfManyCRI(b *testing.B) {
	l := lab.Start(b)
	servers := map[int]*benchServer{}
	for _, total := range []int{10, 1000} {
		node, err := l.AddNode()
		if err != nil {
			b.Fatal(err)
		}
		l.Pod(b, lab.PodSpec{Name: "web-0", Namespace: "shop", Node: node, Containers: []lab.ContainerSpec{{}}})
		runtime, err := lab.StartRuntime(node, lab.Containerd17)
		if err != nil {
			b.Fatal(err)
		}
		runtime.AddSynthetic(total - 1)
		servers[total] = serve(b, node, nil, "--runtime-endpoint", runtime.Endpoint())
	}
	ask := func(total int) func() {
		return func() {
			servers[total].ask(b, "netns_ip_addr", map[string]any{"pod": "web-0", "namespace": "shop"})
		}
	}
	for b.Loop() {
		few, many := paired(200, ask(10), ask(1000))
		ratio := float64(many) / float64(few)
		b.ReportMetric(ratio, "x-time")
		table.add("resolving one pod of 1,000 / of 10 (CRI)", "1.5 x the time", ratio <= 1.5,
			"%s / %s: %.2f x", many, few, ratio)
	}
}

// BenchmarkStart: from spawning to the answered initialize, against the least
// server that the same library makes; and what the program weighs then.
func BenchmarkStart(b *testing.B) {
	bare, libraries := buildTestdata(b, "bare"), buildTestdata(b, "libraries")
	start := func(path string) func() {
		return func() {
			client, err := mcpclient.Start(b.Context(), exec.Command(path))
			if err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			_ = client.Close()
			b.StartTimer()
		}
	}
	for b.Loop() {
		ours, theirs := paired(40, start(program()), start(libraries))
		ratio := float64(ours) / float64(theirs)
		b.ReportMetric(ratio, "x-time")
		table.add("start to initialize answered / bare server that links our libraries", "1.1 x the time", ratio <= 1.1,
			"%s / %s: %.2f x", ours, theirs, ratio)
		ours, theirs = paired(40, start(program()), start(bare))
		table.note("the same against a bare mcp-go server", "%s / %s: %.2f x", ours, theirs, float64(ours)/float64(theirs))

		cmd := exec.Command(program())
		client, err := mcpclient.Start(b.Context(), cmd)
		if err != nil {
			b.Fatal(err)
		}
		rss := statusOf(b, cmd.Process.Pid, "VmRSS:")
		_ = client.Close()
		table.add("idle memory", "under 25 MB", rss < 25_000, "%.1f MB", float64(rss)/1000)
		file, err := os.Stat(program())
		if err != nil {
			b.Fatal(err)
		}
		table.add("stripped binary", "under 30 MB", file.Size() < 30_000_000, "%.1f MB", float64(file.Size())/1e6)
	}
}

// buildTestdata builds a program that ours is compared with, as ours is built.
func buildTestdata(b *testing.B, name string) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), name)
	build := exec.Command("go", "build", "-trimpath", "-tags", "grpcnotrace", "-ldflags", "-s -w", "-o", path, "./testdata/"+name)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return path
}

// BenchmarkHanging: 1,000 calls at once that wait for an engine that never
// answers.
func BenchmarkHanging(b *testing.B) {
	const calls = 1000
	const deadline = 2 * time.Second
	l := lab.Start(b)
	engine, err := l.Node.Engine()
	if err != nil {
		b.Fatal(err)
	}
	server := serve(b, l.Node, engine)
	engine.SetHang(true)
	for b.Loop() {
		threads, took := hang(b, server.pid, calls, func(i int) error {
			// Each asks for another name: nothing is shared between them.
			_, err := server.Call(b.Context(), "resolve_pod_pid",
				map[string]any{"pod": fmt.Sprintf("pod-%d", i), "timeout_ms": deadline.Milliseconds()})
			return err
		})
		table.add("1,000 calls that hang: OS threads", "under 64", threads < 64, "%d", threads)
		table.add("1,000 calls that hang: all answered after", "their deadline, 2 s", took < deadline+time.Second, "%.2f s", took.Seconds())
	}
}

// BenchmarkHangingCurl: 1,000 requests at once over HTTP, of which half meet a
// server that accepts and never answers, and half an address that nobody has.
func BenchmarkHangingCurl(b *testing.B) {
	const calls, secret = 1000, "0123456789abcdef0123456789abcdef"
	const deadline = 4 * time.Second
	l := lab.Start(b)
	pods := l.Pods(b, lab.PodSpec{}, lab.PodSpec{})
	listener, err := pods[1].Listen("tcp", ":80")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		var open []net.Conn
		for {
			conn, err := listener.Accept()
			if err != nil {
				for _, conn := range open {
					_ = conn.Close()
				}
				return
			}
			open = append(open, conn)
		}
	}()
	address, pid := startServe(b, secret, "--host-netns", l.Node.Path)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: calls}}
	hosts := [2]string{pods[1].IP.String(), "10.244.1.251"}
	for b.Loop() {
		threads, took := hang(b, pid, calls, func(i int) error {
			body := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"netns_curl","arguments":`+
				`{"netns":%q,"url":"http://%s/","timeout_ms":%d},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",`+
				`"io.modelcontextprotocol/clientCapabilities":{}}}}`, i, pods[0].Path, hosts[i%2], deadline.Milliseconds())
			r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, "http://"+address+"/mcp", strings.NewReader(body))
			if err != nil {
				return err
			}
			r.Header = http.Header{
				"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}, "Authorization": {"Bearer " + secret},
				"Mcp-Protocol-Version": {"2026-07-28"}, "Mcp-Method": {"tools/call"}, "Mcp-Name": {"netns_curl"},
			}
			response, err := client.Do(r)
			if err != nil {
				return err
			}
			defer func() { _ = response.Body.Close() }()
			if response.StatusCode != http.StatusOK {
				return errors.New(response.Status)
			}
			_, err = io.Copy(io.Discard, response.Body)
			return err
		})
		table.add("1,000 netns_curl over HTTP that hang: OS threads", "under 64", threads < 64, "%d", threads)
		table.add("1,000 netns_curl over HTTP that hang: all answered after", "their deadline, 4 s", took < deadline+time.Second, "%.2f s", took.Seconds())
	}
}

// hang makes calls at once, each a request to the program pid that hangs. It
// returns the most threads that the program had, and when the last answer came.
func hang(b *testing.B, pid, calls int, call func(i int) error) (threads int, took time.Duration) {
	b.Helper()
	var waiting sync.WaitGroup
	start := time.Now()
	for i := range calls {
		waiting.Go(func() {
			if err := call(i); err != nil {
				b.Errorf("call %d: %v", i, err)
			}
		})
	}
	threads = watchThreads(pid, &waiting)
	return threads, time.Since(start)
}

// watchThreads returns the most threads that pid had while the group waited.
func watchThreads(pid int, waiting *sync.WaitGroup) int {
	done := make(chan struct{})
	go func() {
		waiting.Wait()
		close(done)
	}()
	most := 0
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return most
		case <-tick.C:
			tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
			most = max(most, len(tasks))
		}
	}
}

// BenchmarkEndurance: 100,000 calls leave the server as it was.
func BenchmarkEndurance(b *testing.B) {
	const calls, clients = 100_000, 8
	l := lab.Start(b)
	pods := l.Pods(b, lab.PodSpec{}, lab.PodSpec{Style: lab.Calico}, lab.PodSpec{IPv6: true})
	server := serve(b, l.Node, nil)
	many := func(count int) {
		var all sync.WaitGroup
		for c := range clients {
			all.Go(func() {
				for i := range count / clients {
					pod := pods[(c+i)%len(pods)]
					answer, err := server.Call(context.WithoutCancel(b.Context()), "netns_ip_addr", map[string]any{"pid": pod.PID})
					if err != nil || answer.IsError {
						b.Errorf("call %d: %v %s", i, err, answer.JSON)
						return
					}
				}
			})
		}
		all.Wait()
	}
	for b.Loop() {
		many(calls / 20) // caches and pools are filled
		before := weigh(b, server.pid)
		took := timed(func() { many(calls) })
		after := weigh(b, server.pid)
		grew := after.fds > before.fds || after.threads > before.threads+2 || float64(after.rss) > 1.1*float64(before.rss)
		table.add("100,000 calls", "no growth (10 %)", !grew, "%.0f/s; fds %d to %d, threads %d to %d, memory %.1f to %.1f MB",
			calls/took.Seconds(), before.fds, after.fds, before.threads, after.threads, float64(before.rss)/1000, float64(after.rss)/1000)
	}
}
