package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/cmd/nsenter-mcp/internal/ceiling"
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
	if err := os.WriteFile(ceiling.Path, []byte(text), 0o600); err != nil {
		panic(err)
	}
	if err := os.Unsetenv(operatorsFile); err != nil {
		panic(err)
	}
}

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
		"policy.destinations": "only 10.0.0.0/8, and the target's own gateways and name servers; not metadata services and link-local addresses; never 10.1.0.0/16 (/etc/nsenter-mcp.yaml, --deny-destination)",
	} {
		if details[id] != want {
			t.Errorf("%s: %q, want %q", id, details[id], want)
		}
	}
}

// The demo works wherever an operator has a file, as its pods are not his.
func TestDemoUnderAnOperatorsFile(t *testing.T) {
	t.Parallel()
	cmd := under(t, "toolsets: []\n", "demo")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "That is all") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A program with capabilities of its own (setcap) reads no file, and uses no
// credentials, for a user who could not do so himself.
func TestKubeconfigOfACaller(t *testing.T) {
	t.Parallel()
	const nobody = 65534
	var asked atomic.Int64
	var shown atomic.Value // what the last request was let in by
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		shown.Store(r.Header.Get("Authorization"))
		http.Error(w, "no", http.StatusUnauthorized)
	}))
	t.Cleanup(api.Close)
	dir, err := os.MkdirTemp("", "caller")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // nobody has to find his own file
		t.Fatal(err)
	}
	secret, public := filepath.Join(dir, "secret"), filepath.Join(dir, "public")
	// Every user may read that, but not by this way, which is the tracer's.
	behind := fmt.Sprintf("/proc/%d/root%s", os.Getpid(), public)
	config := func(cluster, user string) string {
		return fmt.Sprintf("{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: c, user: u}}], "+
			"clusters: [{name: c, cluster: {server: %q, %s}}], users: [{name: u, user: {%s}}]}", api.URL, cluster, user)
	}
	const anybody = "insecure-skip-tls-verify: true"
	files := map[string]struct {
		text  string
		owner int
		mode  os.FileMode
	}{
		"secret":      {"what-only-root-may-read", 0, 0o600},
		"public":      {"what-all-may-read", 0, 0o644},
		"his":         {config(anybody, "tokenFile: "+secret), nobody, 0o600},
		"roots":       {config(anybody, "tokenFile: "+secret), 0, 0o600},
		"token":       {config(anybody, "tokenFile: "+secret), 0, 0o644},
		"key":         {config(anybody, "client-certificate: "+public+", client-key: "+secret), 0, 0o644},
		"certificate": {config(anybody, "client-certificate: "+secret+", client-key: "+public), 0, 0o644},
		"authority":   {config("certificate-authority: "+secret, "tokenFile: "+public), 0, 0o644},
		"traced":      {config(anybody, "tokenFile: "+behind), 0, 0o644},
		"good":        {config(anybody, "tokenFile: "+public), 0, 0o644},
	}
	for name, f := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte(f.text), f.mode), os.Chmod(path, f.mode), os.Chown(path, f.owner, f.owner)); err != nil {
			t.Fatal(err)
		}
	}
	there := filepath.Join(dir, "program") // where nobody may start it
	if err := os.Link(program(t).Path, there); err != nil {
		t.Fatal(err)
	}
	run := func(kubeconfig string, capabilities ...uintptr) string {
		cmd := program(t, "call", "resolve_pod_pid", "pod=web", "namespace=shop", "--kubeconfig", filepath.Join(dir, kubeconfig))
		cmd.Path = there
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: capabilities}
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(out) // it fails, and says why
	}
	const refused = "the user who runs this may not read it"
	for kubeconfig, c := range map[string]struct {
		capability uintptr
		says       string
	}{
		"his":         {unix.CAP_DAC_READ_SEARCH, "belongs to user 65534, who could make a program that can read every file read and send any file"},
		"roots":       {unix.CAP_DAC_READ_SEARCH, refused},
		"token":       {unix.CAP_DAC_OVERRIDE, "tokenFile " + secret + " of the kubeconfig: " + refused},
		"key":         {unix.CAP_DAC_READ_SEARCH, "client-key " + secret + " of the kubeconfig: " + refused},
		"certificate": {unix.CAP_DAC_READ_SEARCH, "client-certificate " + secret + " of the kubeconfig: " + refused},
		"authority":   {unix.CAP_DAC_READ_SEARCH, "certificate-authority " + secret + " of the kubeconfig: " + refused},
		"traced":      {unix.CAP_SYS_PTRACE, "tokenFile " + behind + " of the kubeconfig: " + refused},
	} {
		out := run(kubeconfig, c.capability)
		if !strings.Contains(strings.ReplaceAll(out, `\"`, ""), c.says) || asked.Load() != 0 {
			t.Errorf("%s: %d requests to the API; %s", kubeconfig, asked.Load(), out)
		}
	}
	// What he may read is used for him.
	if out := run("good", unix.CAP_DAC_READ_SEARCH); asked.Load() == 0 || shown.Load() != "Bearer what-all-may-read" {
		t.Errorf("%d requests with %v; %s", asked.Load(), shown.Load(), out)
	}
	// Without that power he gets no further than he does by himself.
	if out := run("his"); !strings.Contains(out, "permission denied") || strings.Contains(out, "belongs to user") {
		t.Errorf("his own: %s", out)
	}
}
