package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// front is the program as it runs on a laptop. Its command leads to the program
// on a lab's nodes.
type front struct {
	*mcpclient.Client
	t   *testing.T
	cmd *exec.Cmd
	log *lockedBuffer
}

// lockedBuffer is what a process has written so far.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// viaNodes is the command that leads to the program on each node of the lab.
func viaNodes(t *testing.T, nodes ...*lab.Node) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, n := range nodes {
		if err := os.Symlink(n.Path, filepath.Join(dir, n.Name)); err != nil {
			t.Fatal(err)
		}
	}
	// The variable is inherited; a far end is the program, too.
	return fmt.Sprintf("'%s' --host-netns '%s/{node}'", self, dir)
}

// startFront starts the program with --via and the arguments.
func startFront(t *testing.T, via string, args ...string) *front {
	t.Helper()
	f := &front{t: t, cmd: program(t, append([]string{"--via", via}, args...)...), log: &lockedBuffer{}}
	f.cmd.Stderr = f.log
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	var err error
	if f.Client, err = mcpclient.Start(ctx, f.cmd); err != nil {
		t.Fatalf("%v\n%s", err, f.log)
	}
	t.Cleanup(func() {
		_ = f.Close() // some tests have ended it
		if t.Failed() {
			t.Logf("the front's log:\n%s", f.log)
		}
	})
	return f
}

// frontAnswer is an answer as far as these tests read it.
type frontAnswer struct {
	Summary string
	Target  struct {
		Node        string
		NetnsCookie uint64 `json:"netns_cookie"`
	}
	Data struct {
		Interfaces []struct {
			Name string                           `json:"ifname"`
			Addr []struct{ Family, Local string } `json:"addr_info"`
		}
		Outcome string
	}
	Notes []struct{ Code string }
	Next  []struct {
		Tool      string
		Arguments map[string]json.RawMessage
	}
	Error *struct {
		Code, Message, Hint string
		Details             struct {
			Node      string
			Untrusted struct{ Message string }
		}
	}
}

// ask makes a call.
func (f *front) ask(tool string, arguments map[string]any) (frontAnswer, error) {
	ctx, cancel := context.WithTimeout(f.t.Context(), testTimeout)
	defer cancel()
	result, err := f.Call(ctx, tool, arguments)
	if err != nil {
		return frontAnswer{}, err
	}
	var answer frontAnswer
	err = json.Unmarshal(result.JSON, &answer)
	return answer, err
}

// mustAsk makes a call that must be no error.
func (f *front) mustAsk(tool string, arguments map[string]any) frontAnswer {
	f.t.Helper()
	answer, err := f.ask(tool, arguments)
	if err != nil || answer.Error != nil {
		f.t.Fatalf("%s %v: %v %+v", tool, arguments, err, answer.Error)
	}
	return answer
}

// address is the IPv4 address of eth0 in an answer of netns_ip_addr.
func (a frontAnswer) address() string {
	for _, i := range a.Data.Interfaces {
		for _, addr := range i.Addr {
			if i.Name == "eth0" && addr.Family == "inet" {
				return addr.Local
			}
		}
	}
	return ""
}

// children are the PIDs of the processes that the front has started.
func (f *front) children() []int {
	var pids []int
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", f.cmd.Process.Pid))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

func awaitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testTimeout); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestViaTwoNodes(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	second, err := l.AddNode()
	if err != nil {
		t.Fatal(err)
	}
	nodes := []*lab.Node{l.Node, second}
	f := startFront(t, viaNodes(t, nodes...))
	pod := l.Pod(t, lab.PodSpec{Node: second})

	for _, n := range nodes {
		answer := f.mustAsk("netns_ip_addr", map[string]any{"node": n.Name, "netns": "host"})
		if answer.address() != n.IP.String() || answer.Target.Node != n.Name {
			t.Errorf("%s: eth0 has %s, target %+v", n.Name, answer.address(), answer.Target)
		}
	}
	answer := f.mustAsk("resolve_pod_pid", map[string]any{"node": second.Name, "pid": pod.PID})
	if len(answer.Next) == 0 {
		t.Fatal("no next step")
	}
	for _, next := range answer.Next {
		arguments := map[string]any{}
		for name, value := range next.Arguments {
			arguments[name] = value
		}
		again := f.mustAsk(next.Tool, arguments)
		if again.Target.Node != second.Name || again.Target.NetnsCookie != pod.Handle.Identity().Cookie {
			t.Errorf("%s %s leads to %+v", next.Tool, next.Arguments, again.Target)
		}
	}

	t.Run("100 calls at once", func(t *testing.T) {
		var all sync.WaitGroup
		for i := range 100 {
			n := nodes[i%2]
			all.Go(func() {
				answer, err := f.ask("netns_ip_addr", map[string]any{"node": n.Name, "netns": "host"})
				if err != nil || answer.Error != nil || answer.address() != n.IP.String() {
					t.Errorf("%s: %v %+v", n.Name, err, answer)
				}
			})
		}
		all.Wait()
		if n := len(f.children()); n != 2 {
			t.Errorf("%d processes for two nodes", n)
		}
	})
	if log := f.log.String(); !strings.Contains(log, "node="+second.Name) {
		t.Errorf("the node is not in the log:\n%s", log)
	}

	pids := f.children()
	if err := f.Close(); err != nil {
		t.Logf("the client did not wait for the front: %v", err) // it has its own patience, and machines are busy
	}
	for _, pid := range pids {
		awaitUntil(t, fmt.Sprintf("process %d of the front is gone", pid), func() bool { return syscall.Kill(pid, 0) != nil })
	}
}

// silence is a listener on a node that accepts and never answers.
func silence(t *testing.T, n *lab.Node) (url string, connections <-chan net.Conn) {
	t.Helper()
	listener, err := n.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan net.Conn, 10)
	go func() {
		defer close(accepted)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	return "http://" + n.IP.String() + "/", accepted
}

func TestViaNodeKilledDuringACall(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	f := startFront(t, viaNodes(t, l.Node))
	url, accepted := silence(t, l.Node)
	f.mustAsk("netns_ip_addr", map[string]any{"node": l.Node.Name, "netns": "host"})
	pids := f.children()
	if len(pids) != 1 {
		t.Fatalf("%d processes for one node", len(pids))
	}
	done := make(chan frontAnswer, 1)
	go func() {
		answer, err := f.ask("netns_curl", map[string]any{"node": l.Node.Name, "netns": "host", "url": url, "timeout_ms": 50000})
		if err != nil {
			t.Error(err)
		}
		done <- answer
	}()
	conn := <-accepted
	defer func() { _ = conn.Close() }()
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	answer := <-done
	if answer.Error == nil || answer.Error.Code != "node_lost" || answer.Error.Details.Node != l.Node.Name || answer.Error.Hint == "" {
		t.Errorf("%+v", answer.Error)
	}
	f.mustAsk("netns_ip_addr", map[string]any{"node": l.Node.Name, "netns": "host"})
}

func TestViaCancel(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	url, accepted := silence(t, l.Node)
	p := startProcess(t, "--via", viaNodes(t, l.Node))
	p.write(rpcCall(1, "netns_curl", fmt.Sprintf(`{"node":%q,"netns":"host","url":%q,"timeout_ms":50000}`, l.Node.Name, url)))
	conn := <-accepted
	defer func() { _ = conn.Close() }()
	p.write(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}` + "\n")
	// The other end of the connection is closed by the server on the node.
	if err := conn.SetReadDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := conn.Read(make([]byte, 1<<10)); err != nil {
			if os.IsTimeout(err) {
				t.Error("the request goes on on the node")
			}
			break
		}
	}
	p.write(`{"jsonrpc":"2.0","id":2,"method":"ping"}` + "\n")
	if r := p.read(); string(r.ID) != "2" {
		t.Errorf("%+v", r)
	}
}

func TestViaThatLeadsNowhere(t *testing.T) {
	t.Parallel()
	f := startFront(t, "cat /nonexistent/{node}")
	answer, err := f.ask("netns_ip_addr", map[string]any{"node": "a", "netns": "host"})
	if err != nil || answer.Error == nil || answer.Error.Code != "node_unreachable" ||
		!strings.Contains(answer.Error.Details.Untrusted.Message, "/nonexistent/a") || answer.Error.Hint == "" {
		t.Errorf("%v %+v", err, answer.Error)
	}
	// Looking at this machine goes on as always, and is said to be that.
	answer = f.mustAsk("netns_ip_addr", map[string]any{"pid": os.Getpid()})
	if len(answer.Notes) == 0 || answer.Notes[0].Code != "this_machine" {
		t.Errorf("%+v", answer)
	}
	if answer, err = f.ask("netns_ip_addr", map[string]any{"netns": "host"}); err != nil || answer.Error == nil || answer.Error.Code != "invalid_arguments" {
		t.Errorf("%v %+v", err, answer)
	}
}

// What the flags of a front take away, the node's server heeds:
// only there it is known in which network a process is, and where a name leads to.
func TestViaIsNarrowed(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	pod, host := l.Pod(t, lab.PodSpec{}), l.Pod(t, lab.PodSpec{Style: lab.HostNetwork})
	calls := []struct {
		code, tool string
		arguments  map[string]any
	}{
		{"host_network_denied", "netns_ip_addr", map[string]any{"pid": host.PID}},
		{"host_network_denied", "resolve_pod_pid", map[string]any{"netns": fmt.Sprintf("/proc/%d/ns/net", host.PID)}},
		{"destination_denied", "netns_curl", map[string]any{"pid": pod.PID, "url": "http://10.244.0.0:9/", "timeout_ms": 3000}},
		{"", "netns_ip_addr", map[string]any{"pid": pod.PID}},
	}
	narrow := startFront(t, viaNodes(t, l.Node), "--allow-host-network=false", "--deny-destination=10.244.0.0/16")
	wide := startFront(t, viaNodes(t, l.Node))
	for _, c := range calls {
		c.arguments["node"] = l.Node.Name
		for f, want := range map[*front]string{narrow: c.code, wide: ""} {
			answer, err := f.ask(c.tool, c.arguments)
			code := ""
			if err == nil && answer.Error != nil {
				code = answer.Error.Code
			}
			if err != nil || code != want {
				t.Errorf("%s %v: code %q, %v; want %q", c.tool, c.arguments, code, err, want)
			}
		}
	}
}

// A far end that forwards too must not send the call on.
func TestViaDoesNotGoInCircles(t *testing.T) {
	t.Parallel()
	// As a server that leads to this one sends it.
	p := startProcess(t, "--via", "cat /nonexistent/{node}")
	p.write(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"netns_ip_addr","arguments":{"netns":"host","node":"b"},` +
		`"_meta":{"nsenter-mcp/forwarded":true}}}` + "\n")
	if r := p.read(); !strings.Contains(string(r.Result), "on_other_node") {
		t.Errorf("%s", r.Result)
	}
}

func TestDoctorGoesToANode(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	report := func(via, node string) (code int, status, detail string) {
		cmd := program(t, "--via", via, "doctor", "--json", "--node", node)
		out, _ := cmd.Output() // the code tells
		r := decode[struct {
			Checks []struct{ ID, Status, Detail, Cost, Fix string }
		}](t, string(out))
		for _, c := range r.Checks {
			if c.ID == "node."+node {
				if c.Status == "fail" && (c.Fix == "" || c.Cost == "") {
					t.Errorf("%+v", c)
				}
				return cmd.ProcessState.ExitCode(), c.Status, c.Detail
			}
		}
		t.Fatalf("no word of the node:\n%s", out)
		return 0, "", ""
	}
	if code, status, detail := report(viaNodes(t, l.Node), l.Node.Name); code != 0 || status != "ok" || !strings.Contains(detail, "version") {
		t.Errorf("%d %s %s", code, status, detail)
	}
	if code, status, detail := report("cat /nonexistent/{node}", "n"); code != exitFailed || status != "fail" || !strings.Contains(detail, "/nonexistent/n") {
		t.Errorf("%d %s %s", code, status, detail)
	}
	if got := runHere("", "doctor", "--node", "n"); got.code != exitUsage || !strings.Contains(got.err, "--via") {
		t.Errorf("%+v", got)
	}
}

// A way to other nodes that does not exist takes nothing from what is here.
func TestViaWithoutItsProgram(t *testing.T) {
	t.Parallel()
	const via = "/nonexistent/ssh {node}"
	out, err := program(t, "--via", via, "--node-name", "here", "call", "netns_ip_addr", "netns=host").Output()
	if err != nil || !strings.Contains(string(out), `"interfaces"`) {
		t.Errorf("%v\n%s", err, out)
	}
	out, err = program(t, "--via", via, "--kubeconfig", "/nonexistent/config", "doctor", "--json").Output()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	r := decode[struct {
		OK     bool
		Checks []struct{ ID, Status, Cost string }
	}](t, string(out))
	i := slices.IndexFunc(r.Checks, func(c struct{ ID, Status, Cost string }) bool { return c.ID == "via" })
	if !r.OK || i < 0 || r.Checks[i].Status != "warn" || !strings.Contains(r.Checks[i].Cost, "what is on this one is") {
		t.Errorf("%s", out)
	}
}

// A machine that cannot enter anything is a good front all the same.
func TestDoctorOfAFront(t *testing.T) {
	t.Parallel()
	out, err := asNobody(t, "--via", "cat {node}", "doctor", "--json").Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := decode[struct {
		OK     bool
		Checks []struct{ ID, Status, Detail string }
	}](t, string(out))
	status := map[string]string{}
	for _, c := range r.Checks {
		status[c.ID] = c.Status
	}
	if !r.OK || status["via"] != "ok" || status["enter"] != "warn" {
		t.Errorf("%s", out)
	}
}

func TestViaOnTheCommandLine(t *testing.T) {
	t.Parallel()
	for via, want := range map[string]string{
		"ssh {host}":         "{host} is no placeholder",
		"ssh node":           "{node} is missing",
		"ssh {node} | cat":   "no shell",
		"ssh {node} 'unshut": "quote",
	} {
		got := runHere("", "--via", via, "call", "netns_ip_addr", "netns=host")
		if got.code != exitUsage || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v", via, got)
		}
	}
}
