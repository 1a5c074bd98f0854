package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/cmd/nsenter-mcp/internal/config"
)

// operatorsFile makes the program find that text at the path of the operator's
// file, in an /etc of its own.
const operatorsFile = "NSENTER_MCP_TEST_OPERATORS_FILE"

func init() {
	text, ok := os.LookupEnv(operatorsFile)
	if !ok || os.Getenv(asProgram) == "" {
		return
	}
	if err := unix.Mount("tmpfs", "/etc", "tmpfs", 0, ""); err != nil {
		panic(err)
	}
	if err := os.WriteFile(config.Path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	if err := os.Unsetenv(operatorsFile); err != nil {
		panic(err)
	}
	if logger, ok := os.LookupEnv(systemLogger); ok {
		// Instead of the machine's, which may have one.
		if err := unix.Mount("tmpfs", "/dev", "tmpfs", 0, ""); err != nil {
			panic(err)
		}
		if err := os.Symlink(logger, "/dev/log"); err != nil {
			panic(err)
		}
	}
}

// systemLogger makes the program find the system's logger at that socket.
const systemLogger = "NSENTER_MCP_TEST_SYSTEM_LOGGER"

// under is the program on a machine with that operator's file.
func under(t *testing.T, file string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := program(t, args...)
	cmd.Env = append(cmd.Env, operatorsFile+"="+file)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	return cmd
}

func TestOperatorsFileBindsTheProgram(t *testing.T) {
	t.Parallel()
	run := func(file string, args ...string) (out, errOut string, code int) {
		cmd := under(t, file, args...)
		var o, e strings.Builder
		cmd.Stdout, cmd.Stderr = &o, &e
		_ = cmd.Run() // the state tells
		return o.String(), e.String(), cmd.ProcessState.ExitCode()
	}

	type tool struct {
		Name        string
		Annotations struct{ ReadOnlyHint, DestructiveHint, IdempotentHint bool }
		InputSchema struct {
			Properties map[string]struct{ Description string }
		}
	}
	for _, c := range []struct {
		file    string
		args    []string
		changes bool
	}{
		{"", nil, false},
		{"allow_unsafe_methods: true\n", nil, true},
		{"allow_unsafe_methods: true\n", []string{"--allow-unsafe-methods=false"}, false},
	} {
		out, errOut, code := run(c.file, append([]string{"tools", "--json"}, c.args...)...)
		if code != 0 {
			t.Fatalf("%q: %s", c.file, errOut)
		}
		tools := decode[struct{ Tools []tool }](t, out).Tools
		i := slices.IndexFunc(tools, func(t tool) bool { return t.Name == "netns_curl" })
		if i < 0 {
			t.Fatalf("%q: %s", c.file, out)
		}
		a, method := tools[i].Annotations, tools[i].InputSchema.Properties["method"].Description
		if a.ReadOnlyHint == c.changes || a.DestructiveHint != c.changes || a.IdempotentHint == c.changes || strings.Contains(method, "change something") != c.changes {
			t.Errorf("%q %q: %+v, %s", c.file, c.args, a, method)
		}
	}

	for _, c := range []struct {
		file string
		args []string
		code int
		want string
	}{
		{"toolsets: [inspect]\n", []string{"tools", "--toolsets", "probe"}, exitUsage, "add it to toolsets in /etc/nsenter-mcp.yaml"},
		{"toolset: [inspect]\n", []string{"doctor"}, exitFailed, "/etc/nsenter-mcp.yaml: line 1: "},
		{"toolset: [inspect]\n", nil, exitFailed, "did you mean toolsets?"},
		{"{}", []string{"call", "resolve_pod_pid", "--docker-host", "unix:///x"}, exitUsage, "set docker_host there"},
		{"{}", []string{"call", "resolve_pod_pid", "--kubeconfig", "/x"}, exitUsage, "set kubeconfig there"},
		{"{}", []string{"call", "resolve_pod_pid", "--context", "admin"}, exitUsage, "set context there"},
		{"context: viewer\n", []string{"call", "resolve_pod_pid", "--context", "admin"}, exitUsage, "says context: viewer"},
		{"{}", []string{"call", "resolve_pod_pid", "--node-name", "other"}, exitUsage, "set node_name there"},
		{"{}", []string{"call", "resolve_pod_pid", "--allow-exec-plugin"}, exitUsage, "set allow_exec_plugin: true"},
		{"{}", []string{"serve", "--unix", "x", "--host-root", "/proc/1/root"}, exitUsage, "set host_root there"},
	} {
		out, errOut, code := run(c.file, c.args...)
		if code != c.code || !strings.Contains(errOut, c.want) || out != "" {
			t.Errorf("%q %q: code %d, out %q, err %q", c.file, c.args, code, out, errOut)
		}
	}

	self := fmt.Sprintf("pid=%d", os.Getpid()) // in the network of the program itself
	out, _, code := run("allow_host_network: false\n", "call", "netns_ip_addr", self)
	if answer := decode[struct{ Error struct{ Code string } }](t, out); code != exitFailed || answer.Error.Code != "host_network_denied" {
		t.Errorf("host network: %d %s", code, out)
	}
	out, _, _ = run("destinations: {deny: [127.0.0.0/8]}\n", "call", "netns_curl", self, "url=http://127.0.0.1:9/")
	if answer := decode[struct {
		Error struct{ Code, Message string }
	}](t, out); answer.Error.Code != "destination_denied" || !strings.Contains(answer.Error.Message, "127.0.0.0/8, which the operator denies") {
		t.Errorf("denied: %s", out)
	}
	out, _, _ = run("toolsets: [inspect]\ndestinations: {allow: [10.0.0.0/8]}\n", "doctor", "--json", "--deny-destination", "10.1.0.0/16")
	details := map[string]string{}
	for _, c := range decode[struct{ Checks []struct{ ID, Detail string } }](t, out).Checks {
		details[c.ID] = c.Detail
	}
	for id, want := range map[string]string{
		"policy.toolsets":     "inspect (/etc/nsenter-mcp.yaml)",
		"policy.methods":      "GET, HEAD, OPTIONS (default)",
		"policy.host_network": "allowed (default)",
		"policy.destinations": "only 10.0.0.0/8, and the target's own name servers; not metadata services and link-local addresses, nor the node's loopback from its own network; never 10.1.0.0/16 (/etc/nsenter-mcp.yaml, --deny-destination)",
	} {
		if details[id] != want {
			t.Errorf("%s: %q, want %q", id, details[id], want)
		}
	}
}

// TestOperatorsFileIgnoresTheEnvironment: where the file says where to look, no
// variable of the caller's does.
func TestOperatorsFileIgnoresTheEnvironment(t *testing.T) {
	t.Parallel()
	own := t.TempDir() // as rootless Docker's
	socket, err := net.Listen("unix", filepath.Join(own, "docker.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	go func() {
		for conn, err := socket.Accept(); err == nil; conn, err = socket.Accept() {
			_ = conn.Close()
		}
	}()
	docker := func(cmd *exec.Cmd) string {
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+own, "KUBECONFIG="+filepath.Join(own, "none"))
		out, _ := cmd.Output() // doctor fails where nothing is ready
		for _, c := range decode[struct{ Checks []struct{ ID, Detail string } }](t, string(out)).Checks {
			if c.ID == "source.docker" {
				return c.Detail
			}
		}
		t.Fatalf("no check of docker in %s", out)
		return ""
	}
	if got := docker(program(t, "doctor", "--json")); !strings.HasPrefix(got, "failed: ") {
		t.Errorf("without a file: %q", got)
	}
	if got := docker(under(t, "{}", "doctor", "--json")); !strings.HasPrefix(got, "not on this machine") {
		t.Errorf("with a file: %q", got)
	}
	// The node's own file, where its root is elsewhere.
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/run", filepath.Join(root, "run")); err != nil {
		t.Fatal(err)
	}
	if got := docker(program(t, "doctor", "--json", "--host-root", root)); !strings.HasPrefix(got, "failed: ") {
		t.Errorf("without a file of the node's: %q", got)
	}
	if err := os.WriteFile(filepath.Join(root, config.Path), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := docker(program(t, "doctor", "--json", "--host-root", root)); !strings.HasPrefix(got, "not on this machine") {
		t.Errorf("with a file of the node's: %q", got)
	}
}

// TestStdioCaller: who may have written the variables is not believed.
func TestStdioCaller(t *testing.T) {
	root, err := user.LookupId("0")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("without root nobody is believed")
	}
	for _, test := range []struct{ name, uid, want string }{
		{root.Username, "0", "stdio:" + root.Username},
		{"alice", "0", "stdio"},
		{root.Username, "", "stdio"},
		{"", "", "stdio"},
		{"alice", "4000000", "stdio"},
	} {
		t.Setenv("SUDO_USER", test.name)
		t.Setenv("SUDO_UID", test.uid)
		if got := stdioCaller(); got != test.want {
			t.Errorf("%q, %q: %s, want %s", test.name, test.uid, got, test.want)
		}
	}
}

// TestAuditGoesWhereTheFileSays: the caller's flags and standard error change nothing.
func TestAuditGoesWhereTheFileSays(t *testing.T) {
	t.Parallel()
	record := filepath.Join(t.TempDir(), "audit.log")
	for range 2 { // the second one is added
		cmd := under(t, "audit: "+record+"\n", "call", "resolve_pod_pid", "--log-level", "error")
		var errOut strings.Builder
		cmd.Stderr = &errOut
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, errOut.String())
		}
		if strings.Contains(errOut.String(), "resolve_pod_pid") {
			t.Errorf("standard error has the record too: %s", errOut.String())
		}
	}
	text, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%q", text)
	}
	for _, line := range lines {
		if call := decode[struct{ Caller, Tool, Outcome string }](t, line); call.Tool != "resolve_pod_pid" || call.Caller == "" || call.Outcome == "" {
			t.Errorf("%s", line)
		}
	}
	if info, err := os.Stat(record); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	cmd := under(t, "audit: /nowhere/at/all\n", "call", "resolve_pod_pid")
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "audit: open /nowhere/at/all") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestAuditGoesToSyslog: to the socket of the system's logger, a message for each call.
// Where nobody is there, the program does not start.
func TestAuditGoesToSyslog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	logger, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = logger.Close() })
	run := func(socket string) (string, error) {
		cmd := under(t, "audit: syslog\n", "call", "resolve_pod_pid", "--log-level", "error")
		cmd.Env = append(cmd.Env, systemLogger+"="+socket)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run(path); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// The program has ended, so what it sent is there.
	if err := logger.SetReadDeadline(time.Now().Add(testTimeout)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 64<<10)
	n, err := logger.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	head, record, _ := strings.Cut(string(buffer[:n]), ": ")
	// RFC 3164: facility 10 (authpriv), severity 6 (informational).
	if !strings.HasPrefix(head, "<86>") || !strings.Contains(head, " nsenter-mcp[") {
		t.Errorf("%q", head)
	}
	if call := decode[struct{ Caller, Tool, Outcome string }](t, record); call.Tool != "resolve_pod_pid" || call.Caller == "" || call.Outcome != "ok" {
		t.Errorf("%s", record)
	}
	if out, err := run(path + ".none"); err == nil || !strings.Contains(out, "audit: ") {
		t.Errorf("nobody there: %v: %s", err, out)
	}
}
