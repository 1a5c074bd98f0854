package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

const (
	testSecret    = "0123456789abcdef0123456789abcdef"
	statelessMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`
)

// httpServer is the program as `serve` runs it.
type httpServer struct {
	t       *testing.T
	cmd     *exec.Cmd
	address string
	client  *http.Client
	logged  chan string // lines, closed at the end
}

// startServe runs the program until it listens.
func startServe(t *testing.T, args ...string) *httpServer {
	t.Helper()
	return startServeAs(t, func(*exec.Cmd) {}, args...)
}

// startServeAs runs the program, changed by as, until it listens.
func startServeAs(t *testing.T, as func(*exec.Cmd), args ...string) *httpServer {
	t.Helper()
	cmd := program(t, append([]string{"serve", "--log-format", "json"}, args...)...)
	as(cmd)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &httpServer{t: t, cmd: cmd, logged: make(chan string, 1<<14)}
	read := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // most have ended by now
		<-read
		_ = cmd.Wait()
	})
	go func() {
		defer close(read)
		defer close(s.logged)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.logged <- lines.Text()
		}
	}()
	s.address = decode[struct{ Address string }](t, s.awaitLog("serving over HTTP")).Address
	network := "tcp"
	if strings.HasPrefix(s.address, "/") {
		network = "unix"
	}
	s.client = &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 1000,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, network, s.address)
		},
	}}
	return s
}

// awaitLog returns the next line of the log that holds text.
func (s *httpServer) awaitLog(text string) string {
	s.t.Helper()
	var before []string
	timer := time.NewTimer(testTimeout)
	defer timer.Stop()
	for {
		select {
		case line, ok := <-s.logged:
			if !ok {
				s.t.Fatalf("the server ended without %q:\n%s", text, strings.Join(before, "\n"))
			}
			if strings.Contains(line, text) {
				return line
			}
			before = append(before, line)
		case <-timer.C:
			s.t.Fatalf("%q is not logged:\n%s", text, strings.Join(before, "\n"))
		}
	}
}

// call calls a tool in the protocol without sessions.
func (s *httpServer) call(id int, tool, arguments string) (status int, body string, err error) {
	text := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s,%s}}`, id, tool, arguments, statelessMeta)
	r := s.request(text, "Mcp-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", tool)
	response, err := s.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	return response.StatusCode, string(answer), err
}

// end waits for the server and returns its exit code, -1 after a signal.
func (s *httpServer) end() int {
	s.t.Helper()
	timer := time.AfterFunc(testTimeout, func() { _ = s.cmd.Process.Kill() })
	defer timer.Stop()
	for range s.logged { // up to the end of its output
	}
	_ = s.cmd.Wait() // the state tells
	return s.cmd.ProcessState.ExitCode()
}

func (s *httpServer) terminate() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
}

func tokenFile(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServeOnUnixSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mcp.sock")
	s := startServe(t, "--unix", path)
	if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	status, body, err := s.call(1, "netns_ip_addr", `{"netns":"host"}`)
	if err != nil || status != http.StatusOK || !strings.Contains(body, `"summary"`) {
		t.Fatalf("%d %s, %v", status, body, err)
	}
	audit := decode[struct{ Caller, Tool, Outcome string }](t, s.awaitLog(`"msg":"call"`))
	if want := fmt.Sprintf("http:uid:%d", os.Getuid()); audit.Caller != want || audit.Tool != "netns_ip_addr" || audit.Outcome != "ok" {
		t.Errorf("%+v, want caller %s", audit, want)
	}
	s.terminate()
	if code := s.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket was left: %v", err)
	}
}

// A server that was killed leaves its socket; the next one takes its place.
func TestServeAfterKill(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mcp.sock")
	first := startServe(t, "--unix", path)
	if got := runHere("", "serve", "--unix", path); got.code != exitFailed || !strings.Contains(got.err, "another server listens") {
		t.Errorf("a second server: %+v", got)
	}
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.end()
	if _, err := os.Lstat(path); err != nil {
		t.Fatal(err)
	}
	second := startServe(t, "--unix", path)
	if status, body, err := second.call(1, "netns_ip_addr", `{"netns":"host"}`); err != nil || status != http.StatusOK {
		t.Errorf("%d %s, %v", status, body, err)
	}
}

func TestServeOnLoopback(t *testing.T) {
	t.Parallel()
	s := startServe(t, "--listen", "127.0.0.1:0", "--token-file", tokenFile(t, "claude.token"))
	if status, body, err := s.call(1, "netns_ip_addr", `{"netns":"host"}`); err != nil || status != http.StatusOK {
		t.Fatalf("%d %s, %v", status, body, err)
	}
	if audit := decode[struct{ Caller string }](t, s.awaitLog(`"msg":"call"`)); audit.Caller != "http:claude" {
		t.Errorf("%+v", audit)
	}
	response, err := s.client.Post("http://localhost/mcp", "application/json", strings.NewReader("{}"))
	if err != nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %v, %v", response, err)
	} else {
		_ = response.Body.Close()
	}
	if line := s.awaitLog("request refused"); strings.Contains(line, testSecret) {
		t.Errorf("the log shows the token: %s", line)
	}
	s.terminate()
	if code := s.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// hungEngine is the socket of a Docker engine that accepts and never answers.
func hungEngine(t *testing.T) (host string, asked <-chan struct{}) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	connected := make(chan struct{}, 1<<14)
	var mu sync.Mutex
	var open []net.Conn
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			_ = c.Close()
		}
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			connected <- struct{}{}
		}
	}()
	return "unix://" + path, connected
}

// A running call is finished before the server ends.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	engine, asked := hungEngine(t)
	s := startServe(t, "--unix", filepath.Join(t.TempDir(), "mcp.sock"), "--docker-host", engine)
	type answer struct {
		body string
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		_, body, err := s.call(1, "resolve_pod_pid", `{"pod":"web","timeout_ms":2000}`)
		answers <- answer{body, err}
	}()
	select {
	case <-asked:
	case <-time.After(testTimeout):
		t.Fatal("the engine is not asked")
	}
	s.terminate()
	if got := <-answers; got.err != nil || !strings.Contains(got.body, `"summary"`) || strings.Contains(got.body, `"canceled"`) {
		t.Errorf("%s, %v", got.body, got.err)
	}
	if code := s.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// 1,000 calls that hang leave the process small and end at their deadline.
func TestServeManyHangingCalls(t *testing.T) {
	const calls, deadline = 1000, 3 * time.Second
	engine, _ := hungEngine(t)
	s := startServe(t, "--unix", filepath.Join(t.TempDir(), "mcp.sock"), "--docker-host", engine)
	var waiting sync.WaitGroup
	begin := time.Now()
	for i := range calls {
		waiting.Go(func() {
			// Each asks for another name: nothing is shared between them.
			status, body, err := s.call(i, "resolve_pod_pid", fmt.Sprintf(`{"pod":"pod-%d","timeout_ms":%d}`, i, deadline.Milliseconds()))
			if err != nil || status != http.StatusOK || !json.Valid([]byte(body)) || !strings.Contains(body, `"error"`) {
				t.Errorf("call %d: %d %s, %v", i, status, body, err)
			}
		})
	}
	ended := make(chan struct{})
	go func() { waiting.Wait(); close(ended) }()
	most := 0
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-tick.C:
			threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.cmd.Process.Pid))
			if err != nil {
				t.Fatal(err)
			}
			most = max(most, len(threads))
			continue
		case <-ended:
		}
		tick.Stop()
		break
	}
	took := time.Since(begin)
	t.Logf("at most %d threads, all answered after %s", most, took.Round(time.Millisecond))
	if most >= lab.ManyThreads {
		t.Errorf("%d threads", most)
	}
	if took > patience*deadline {
		t.Errorf("the last call took %s", took)
	}
}

func TestServeWrongCommandLines(t *testing.T) {
	t.Parallel()
	good := tokenFile(t, "good.token")
	short := filepath.Join(t.TempDir(), "short.token")
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		want string // in the message
	}{
		{nil, exitUsage, "one of --unix PATH and --listen"},
		{[]string{"--unix", "x", "--listen", "127.0.0.1:0"}, exitUsage, "one of --unix PATH and --listen"},
		{[]string{"--listen", "127.0.0.1:0"}, exitUsage, "--listen needs --token-file"},
		{[]string{"--listen", ":8080", "--token-file", good}, exitUsage, "127.0.0.1:8080"},
		{[]string{"--listen", "0.0.0.0:8080", "--token-file", good}, exitUsage, "no loopback address"},
		{[]string{"--listen", "127.0.0.1:0", "--token-file", good, "--token-file", tokenFile(t, "good.txt")}, exitUsage, "two are named good"},
		{[]string{"--unix", "x", "now"}, exitUsage, "takes no arguments"},
		{[]string{"--unix", "x", "--toolsets", "exec"}, exitUsage, "does not allow toolset exec"},
		{[]string{"--listen", "127.0.0.1:0", "--token-file", short}, exitFailed, "5 characters, at least 32"},
		{[]string{"--listen", "127.0.0.1:0", "--token-file", "/nonexistent"}, exitFailed, "no such file"},
		{[]string{"--unix", "/nonexistent/mcp.sock"}, exitFailed, "no such file"},
	} {
		got := runHere("", append([]string{"serve"}, c.args...)...)
		if got.code != c.code || !strings.Contains(got.err, c.want) || got.out != "" {
			t.Errorf("%q: code %d, out %q, err %q", c.args, got.code, got.out, got.err)
		}
	}
	if help := runHere("", "serve", "--help"); help.code != 0 || !strings.Contains(help.out, "openssl rand") {
		t.Errorf("%+v", help)
	}
}
