package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

// serverProcess is the program as a client starts it.
type serverProcess struct {
	t    *testing.T
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	pipe *os.File // what out reads
}

func startProcess(t *testing.T, args ...string) *serverProcess {
	t.Helper()
	return startProcessLogging(t, &testLog{t: t}, args...)
}

func startProcessLogging(t *testing.T, log io.Writer, args ...string) *serverProcess {
	t.Helper()
	cmd := program(t, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout = w
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	t.Cleanup(func() {
		_ = in.Close()
		_ = r.Close()
		_ = cmd.Process.Kill() // most have ended by now
		_ = cmd.Wait()
	})
	return &serverProcess{t, cmd, in, bufio.NewReaderSize(r, 1<<20), r}
}

// testLog shows the program's log where a test fails.
type testLog struct{ t *testing.T }

func (l *testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", p)
	return len(p), nil
}

func (p *serverProcess) write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, text); err != nil {
		p.t.Fatal(err)
	}
}

type rpcReply struct {
	ID     json.RawMessage
	Result json.RawMessage
	Error  *struct {
		Code    int
		Message string
	}
}

func (p *serverProcess) read() rpcReply {
	p.t.Helper()
	if err := p.pipe.SetReadDeadline(time.Now().Add(testTimeout)); err != nil {
		p.t.Fatal(err)
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatal(err)
	}
	return decode[rpcReply](p.t, line)
}

// end waits for the process and returns its exit code, -1 after a signal.
func (p *serverProcess) end() int {
	p.t.Helper()
	timer := time.AfterFunc(testTimeout, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	_ = p.cmd.Wait() // the state tells
	return p.cmd.ProcessState.ExitCode()
}

func rpcCall(id int, tool, arguments string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":%q,"arguments":%s}}`+"\n", id, tool, arguments)
}

func TestServerAnswersEverythingAfterEndOfInput(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	for i := range 30 {
		p.write(rpcCall(i, "netns_ip_addr", `{"netns":"host"}`))
	}
	_ = p.in.Close()
	seen := map[string]bool{}
	for range 30 {
		r := p.read()
		if r.Error != nil || !strings.Contains(string(r.Result), `"summary"`) {
			t.Errorf("%s: %s %+v", r.ID, r.Result, r.Error)
		}
		seen[string(r.ID)] = true
	}
	if code := p.end(); code != 0 || len(seen) != 30 {
		t.Errorf("exit code %d, %d different ids", code, len(seen))
	}
}

func TestServerSurvivesGarbage(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	p.write("garbage\n\x00\n")
	for range 2 {
		if r := p.read(); r.Error == nil || r.Error.Code != -32700 {
			t.Errorf("%+v", r)
		}
	}
	p.write(`{"jsonrpc":"2.0","method":"tools/call","params":{"x":"` + strings.Repeat("x", 10<<20) + `"},"id":77}` + "\n")
	if r := p.read(); r.Error == nil || string(r.ID) != "77" {
		t.Errorf("a line of 10 MB: %+v", r)
	}
	p.write(rpcCall(1, "netns_ip_adr", "{}"))
	if r := p.read(); r.Error == nil || r.Error.Code != -32602 || !strings.Contains(r.Error.Message, "did you mean netns_ip_addr?") {
		t.Errorf("unknown tool: %+v", r)
	}
	p.write(`{"jsonrpc":"2.0","id":2,"method":"ping"}` + "\n")
	if r := p.read(); string(r.ID) != "2" || r.Error != nil {
		t.Errorf("ping: %+v", r)
	}
}

func TestServerEndsCleanBySignal(t *testing.T) {
	t.Parallel()
	for _, s := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := startProcess(t)
		p.write(`{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\n")
		p.read() // so it listens for signals
		if err := p.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if code := p.end(); code != 0 {
			t.Errorf("%v: exit code %d", s, code)
		}
	}
}

func TestServerEndsWhenNobodyReads(t *testing.T) {
	t.Parallel()
	p := startProcess(t)
	_ = p.pipe.Close()
	p.write(`{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\n")
	if code := p.end(); code != exitFailed {
		t.Errorf("exit code %d: it should end by itself and say why", code)
	}
}

// The bounds that a run of 100,000 calls would have to keep, on a shorter one.
func TestManyCallsLeaveNothingOpen(t *testing.T) {
	t.Parallel()
	const calls, batch = 5000, 10
	p := startProcess(t, "--log-level", "warn")
	round := func() {
		for i := range batch {
			tool := [...]string{"netns_ip_addr", "resolve_pod_pid"}[i%2]
			p.write(rpcCall(i, tool, fmt.Sprintf(`{"pid":%d}`, os.Getpid())))
		}
		for range batch {
			if r := p.read(); r.Error != nil || strings.Contains(string(r.Result), `"isError":true`) {
				t.Fatalf("%s %+v", r.Result, r.Error)
			}
		}
	}
	count := func(what string) int {
		t.Helper()
		list, err := os.ReadDir(filepath.Join("/proc", fmt.Sprint(p.cmd.Process.Pid), what))
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	for range 10 {
		round()
	}
	fds := count("fd")
	for range calls / batch {
		round()
	}
	if now := count("fd"); now > fds {
		t.Errorf("%d files are open, %d before", now, fds)
	}
	// A call under way may hold a thread in the kernel, and Go keeps the threads
	// that it once needed; beside those there are the runtime's own.
	const own = 16
	if now := count("task"); now > batch+own {
		t.Errorf("%d threads for %d calls at a time", now, batch)
	}
}

func TestOnATerminalItExplainsItself(t *testing.T) {
	t.Parallel()
	terminal := openTerminal(t)
	cmd := program(t)
	cmd.Stdin = terminal
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"mcpServers", `"command": "ssh"`, self, "doctor"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in:\n%s", want, out)
		}
	}
}

// openTerminal makes a pseudoterminal (pty(7)) and returns the end that a
// program has as its standard input.
func openTerminal(t *testing.T) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	raw, err := master.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd uintptr
	var errno unix.Errno
	control := raw.Control(func(m uintptr) {
		if err = unix.IoctlSetPointerInt(int(m), unix.TIOCSPTLCK, 0); err == nil {
			fd, _, errno = unix.Syscall(unix.SYS_IOCTL, m, unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY)
		}
	})
	if err != nil || errno != 0 || control != nil {
		t.Fatal(err, errno, control)
	}
	slave := os.NewFile(fd, "terminal")
	t.Cleanup(func() { _ = slave.Close() })
	return slave
}

// asNobody is the program as a user without rights, where another user can be had.
func asNobody(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	lab.OtherUsers(t)
	cmd := program(t, args...)
	cmd.Path = "/proc/self/exe" // the path of the test binary is closed to others, the link is not
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	cmd.Dir = "/"
	return cmd
}

func TestWithoutPrivileges(t *testing.T) {
	t.Parallel()
	var out, errOut strings.Builder
	cmd := asNobody(t, "doctor", "--json")
	cmd.Stdout, cmd.Stderr = &out, &errOut
	_ = cmd.Run() // the state tells
	if code := cmd.ProcessState.ExitCode(); code != exitFailed {
		t.Fatalf("doctor: exit code %d\n%s\n%s", code, out.String(), errOut.String())
	}
	report := decode[struct {
		OK     bool
		Checks []struct{ ID, Status, Cost, Fix string }
		Tools  []struct {
			State string
			Lacks []string
		}
		Grant []struct{ Use string }
	}](t, out.String())
	status := map[string]string{}
	for _, c := range report.Checks {
		status[c.ID] = c.Status
		if c.Status == "fail" && c.Cost == "" {
			t.Errorf("%s does not say what it costs", c.ID)
		}
	}
	if report.OK || status["enter"] != "fail" || status["cap_sys_admin"] != "fail" || len(report.Grant) == 0 {
		t.Errorf("%+v", report)
	}
	for _, tool := range report.Tools {
		if tool.State != "broken" || len(tool.Lacks) == 0 {
			t.Errorf("%+v", tool)
		}
	}

	out.Reset()
	cmd = asNobody(t, "call", "netns_ip_addr", fmt.Sprintf("pid=%d", os.Getpid()))
	cmd.Stdout = &out
	_ = cmd.Run()
	answer := decode[struct {
		Error struct{ Code, Hint string }
	}](t, out.String())
	if cmd.ProcessState.ExitCode() != exitFailed || answer.Error.Code != "permission_denied" || answer.Error.Hint == "" {
		t.Errorf("call: exit code %d, %s", cmd.ProcessState.ExitCode(), out.String())
	}
}

// TestServerWhoseLogNobodyReads answers every call, and ends when it is told to.
func TestServerWhoseLogNobodyReads(t *testing.T) {
	t.Parallel()
	unread, log, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unread.Close(); _ = log.Close() })
	if _, err := unix.FcntlInt(log.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	p := startProcessLogging(t, log)
	const calls = 100 // each leaves a line of some 150 bytes
	for i := range calls {
		p.write(rpcCall(i, "netns_ip_addr", `{"netns":"host"}`))
		if r := p.read(); r.Error != nil {
			t.Fatalf("%+v", r)
		}
	}
	if n, err := unix.IoctlGetInt(int(unread.Fd()), unix.TIOCINQ); err != nil || n < 3000 {
		t.Errorf("%d bytes of log wait to be read, %v: the pipe was not full", n, err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.end(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
