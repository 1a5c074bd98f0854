//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// memoryOfPod is what the node's pod of deploy/ may use, in bytes.
const memoryOfPod = 256 << 20

// endsWithin is how long the program takes to end when it is told to, whatever is
// pending (12 s), with some time for a machine under load.
const endsWithin = 15 * time.Second

// limitMemory makes a cgroup of processes that may together use so many bytes, and
// returns its directory.
func limitMemory(t *testing.T, limit int) (dir string) {
	t.Helper()
	name := fmt.Sprintf("nsenter-mcp-e2e-%d-%s", os.Getpid(), t.Name())
	for _, version := range []struct{ root, limit, peak string }{
		{"/sys/fs/cgroup", "memory.max", "memory.peak"},
		{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"},
	} {
		dir := filepath.Join(version.root, name)
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() {
			if peak, err := os.ReadFile(filepath.Join(dir, version.peak)); err == nil {
				t.Logf("%s: %s", version.peak, bytes.TrimSpace(peak))
			}
			// The kernel takes a moment to notice that the last process has ended.
			await(t, time.Minute, "the cgroup is removed", func() bool { return syscall.Rmdir(dir) == nil })
		})
		file, err := os.OpenFile(filepath.Join(dir, version.limit), os.O_WRONLY, 0)
		if err != nil {
			continue // the controller is in the other version's hierarchy
		}
		_, err = fmt.Fprint(file, limit)
		if err := errors.Join(err, file.Close()); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	t.Skip("no cgroup with a memory limit can be made here: /sys/fs/cgroup is read-only, or has no memory controller for new groups")
	return ""
}

// limited is the program with the memory of a pod.
type limited struct {
	t     *testing.T
	cmd   *exec.Cmd
	ended chan error // what Wait returned
}

// startLimited starts the program. prepare sets its streams.
func startLimited(t *testing.T, prepare func(*exec.Cmd), args ...string) *limited {
	t.Helper()
	const enter = `echo $$ >"$0/cgroup.procs" && exec "$@"`
	s := &limited{t: t, ended: make(chan error, 1)}
	s.cmd = exec.Command("sh", append([]string{"-c", enter, limitMemory(t, memoryOfPod), program()}, args...)...)
	prepare(s.cmd)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waited := make(chan struct{})
	go func() {
		s.ended <- s.cmd.Wait()
		close(waited)
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // most have ended by now
		<-waited
	})
	return s
}

// terminate tells the program to end, and fails where it takes too long or has been
// killed.
func (s *limited) terminate() {
	s.t.Helper()
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatalf("the program has ended before: %v, %v", err, <-s.ended)
	}
	select {
	case err := <-s.ended:
		var exit *exec.ExitError
		if errors.As(err, &exit) && !exit.Exited() {
			s.t.Errorf("the program was killed: %v", err)
		}
		s.t.Logf("SIGTERM: ended after %s: %v", time.Since(began).Round(time.Millisecond), err)
	case <-time.After(endsWithin):
		s.t.Errorf("SIGTERM: still there after %s", endsWithin)
	}
}

// startUnix runs `serve` on a unix socket with the memory of a pod, and returns a
// client of it.
func startUnix(t *testing.T) (*limited, string, *http.Client) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "mcp.sock")
	var log io.ReadCloser
	s := startLimited(t, func(cmd *exec.Cmd) {
		var err error
		if log, err = cmd.StderrPipe(); err != nil {
			t.Fatal(err)
		}
	}, "serve", "--unix", socket)
	serving := make(chan bool, 1)
	go func() {
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if strings.Contains(lines.Text(), "serving") {
				serving <- true
			}
		}
		close(serving)
	}()
	if !<-serving {
		t.Fatal("serve does not start")
	}
	return s, socket, &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
}

// fill repeats more until text and tail have so many bytes together, and no more.
func fill(text, more, tail string, size int) string {
	return text + strings.Repeat(more, (size-len(text)-len(tail))/len(more)) + tail
}

func longCall(id string, size int) string {
	return fill(`{"jsonrpc":"2.0","id":`+id+`,"method":"tools/call","params":{"name":"netns_ip_addr","arguments":{"pod":"`, "x", `"}}}`, size)
}

// TestManyLongPosts: 1,500 posts of 1 MB at once, of kinds that cost a decoder dearly,
// are refused or answered within the memory of a pod.
func TestManyLongPosts(t *testing.T) {
	t.Parallel()
	const posts, size = 1500, 1 << 20
	s, _, client := startUnix(t)
	post := func(body string, stateless bool) (status int, err error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/mcp", strings.NewReader(body))
		if err != nil {
			return 0, err
		}
		r.Header.Set("Content-Type", "application/json")
		if stateless {
			r.Header.Set("Mcp-Protocol-Version", "2026-07-28")
		}
		response, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, errors.Join(err, response.Body.Close())
	}
	bodies := []string{
		longCall("1", size), fill("[1", ",1", "]", size), fill(`{"jsonrpc":"2.0","id":1,"method":"x","params":[{}`, ",{}", "]}", size),
	}
	var all sync.WaitGroup
	var answered, refused atomic.Int64
	for i := range posts {
		all.Go(func() {
			status, err := post(bodies[i%3], i%2 == 0)
			switch {
			case err != nil: // a connection may be closed when its post does not come in time
			case status == http.StatusServiceUnavailable:
				refused.Add(1)
			default:
				answered.Add(1)
			}
		})
	}
	all.Wait()
	t.Logf("of %d posts %d were answered and %d refused for lack of room", posts, answered.Load(), refused.Load())
	if answered.Load() == 0 {
		t.Error("no post was answered")
	}
	const initialize = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}`
	if status, err := post(initialize, false); status != http.StatusOK || err != nil {
		t.Errorf("afterwards: %d, %v", status, err)
	}
	client.CloseIdleConnections()
	s.terminate()
}

// TestTerminationDuringPosts: posts that never come to their end do not keep the
// program from ending.
func TestTerminationDuringPosts(t *testing.T) {
	t.Parallel()
	s, socket, _ := startUnix(t)
	for range 100 {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
	}
	s.terminate()
}

// TestTerminationDuringUnreadLines: 750 lines of 1 MB, whose answers nobody reads, fit
// into the memory of a pod and do not keep the program from ending.
func TestTerminationDuringUnreadLines(t *testing.T) {
	t.Parallel()
	const lines, size = 750, 1<<20 - 1
	var in io.WriteCloser
	var streams []io.Closer // unread
	s := startLimited(t, func(cmd *exec.Cmd) {
		var err error
		if in, err = cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		for _, stream := range []*io.Writer{&cmd.Stdout, &cmd.Stderr} {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			*stream = w
			streams = append(streams, r, w)
		}
	}, "--log-level", "debug")
	t.Cleanup(func() {
		for _, stream := range streams {
			_ = stream.Close()
		}
	})
	// The answers echo the ids, which are long, so that a pipe holds few of them.
	line := longCall(`"`+strings.Repeat("i", 1000)+`"`, size) + "\n"
	for i := range lines {
		if _, err := io.WriteString(in, line); err != nil {
			t.Fatalf("line %d: %v", i, err)
		}
	}
	s.terminate()
}

// TestLongAnswersOfTheAPI: answers of the Kubernetes API of 64 MB and more, of several
// shapes, are refused or read within the memory of a pod.
func TestLongAnswersOfTheAPI(t *testing.T) {
	t.Parallel()
	const size = 65 << 20
	pod := `{"metadata":{"name":"web-0","namespace":"shop","uid":"u","labels":{"a":"` + strings.Repeat("x", 4000) + `"}},"spec":{"nodeName":"other"}}`
	shapes := []struct{ head, more string }{
		{`{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[` + pod, "," + pod},
		{`{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"`, strings.Repeat("x", 4096)},
		{`{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{}`, strings.Repeat(",{}", 1000)},
		{`{"kind":"PodList","apiVersion":"v1","x":[1`, strings.Repeat(",1", 1000)},
	}
	var asked atomic.Int64
	api := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		shape := shapes[int(asked.Add(1))%len(shapes)]
		w.Header().Set("Content-Type", "application/json")
		n, err := io.WriteString(w, shape.head)
		for sent := n; err == nil && sent < size; sent += n {
			n, err = io.WriteString(w, shape.more)
		}
	}))
	api.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that hang up
	api.StartTLS()
	t.Cleanup(api.Close)
	config := filepath.Join(t.TempDir(), "kubeconfig")
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}))
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
clusters: [{name: test, cluster: {server: %q, certificate-authority-data: %s}}]
contexts: [{name: test, context: {cluster: test, user: test}}]
users: [{name: test, user: {token: sesame-of-the-test}}]
`, api.URL, ca)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var in io.WriteCloser
	var out io.ReadCloser
	s := startLimited(t, func(cmd *exec.Cmd) {
		var err error
		if in, err = cmd.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if out, err = cmd.StdoutPipe(); err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(os.Environ(), "NODE_NAME=node-1")
	}, "--kubeconfig", config, "--log-level", "error")
	const calls = 4
	for i := range calls {
		call := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"resolve_pod_pid","arguments":{"pod":"web-%d","namespace":"shop","timeout_ms":20000}}}`+"\n", i, i)
		if _, err := io.WriteString(in, call); err != nil {
			t.Fatal(err)
		}
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for range calls {
		if !lines.Scan() {
			t.Fatalf("the program ended: %v, %v", lines.Err(), <-s.ended)
		}
		t.Logf("%.300s", lines.Text())
	}
	if asked.Load() == 0 {
		t.Error("the API was not asked")
	}
	s.terminate()
}
