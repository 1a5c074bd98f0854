package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"nsenter-mcp/tools"
)

// A lab in a program that runs with privileges makes namespaces for whoever starts it.
// What is known of the engine's faults (make vuln) concerns no client of it.
func TestLinksNoLabAndNoEngine(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(dep, "nsenter-mcp/internal/lab") || strings.HasPrefix(dep, "github.com/docker/docker/daemon") {
			t.Errorf("the program links %s", dep)
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string // in the message
	}{
		{[]string{"docter"}, "did you mean 'nsenter-mcp doctor'?"},
		{[]string{"netns_ip_addr", "pod=web"}, "did you mean 'nsenter-mcp call netns_ip_addr'?"},
		{[]string{"netns_ip_adr"}, "did you mean 'nsenter-mcp call netns_ip_addr'?"},
		{[]string{"qqqqqqq"}, `there is no command "qqqqqqq"`},
		{[]string{"call"}, "needs the name of a tool"},
		{[]string{"call", "netns_ip_adr"}, "did you mean netns_ip_addr?"},
		{[]string{"call", "netns_ip_addr", "pid"}, "not of the form key=value"},
		{[]string{"call", "netns_ip_addr", "=1"}, "not of the form key=value"},
		{[]string{"call", "netns_ip_addr", "--pod=x"}, "without dashes: pod=..."},
		{[]string{"call", "list_pods", "--all-nodes"}, "without dashes: all_nodes=..."},
		{[]string{"call", "netns_ip_addr", `{"pid":1}`}, "a single - reads JSON"},
		{[]string{"call", "netns_curl", `{"url":"http://a/?b=c"}`}, "a single - reads JSON"},
		{[]string{"call", "list_pods", "--docker-host", "foo://x"}, "the scheme is none of unix"},
		{[]string{"call", "netns_ip_addr", "pid=1", "pid=2"}, "given twice"},
		{[]string{"call", "netns_ip_addr", "-"}, "not JSON"},
		{[]string{"--no-such-flag"}, "no-such-flag"},
		{[]string{"--log-level", "loud", "call", "netns_ip_addr"}, "none of debug, info, warn, error"},
		{[]string{"--log-format", "xml", "call", "netns_ip_addr"}, "none of text, json"},
		{[]string{"--log-level", "nope", "tools"}, "none of debug, info, warn, error"},
		{[]string{"--log-format", "xml", "tools", "--json"}, "none of text, json"},
		{[]string{"--toolsets", "inspect,exec", "tools"}, "does not allow toolset exec (allowed: inspect, probe)"},
		{[]string{"--toolsets", "prob", "tools"}, "did you mean probe?"},
		{[]string{"--allow-unsafe-methods", "tools"}, "set allow_unsafe_methods: true in /etc/nsenter-mcp.yaml"},
		{[]string{"--allow-destination", "169.254.169.254", "tools"}, "a cloud's metadata service"},
		{[]string{"--deny-destination", "10.0.0.1/8", "tools"}, "write 10.0.0.0/8"},
		{[]string{"version", "now"}, "takes no arguments"},
		{[]string{"tools", "all"}, "takes no arguments"},
		{[]string{"doctor", "all"}, "takes no arguments"},
	} {
		got := runHere("{", c.args...)
		if got.code != exitUsage || !strings.Contains(got.err, c.want) || got.out != "" {
			t.Errorf("%q: code %d, out %q, err %q", c.args, got.code, got.out, got.err)
		}
	}
}

// Whatever a message quotes, it is one line.
func TestMessagesAreOneLine(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"a\nb"}, {"--a\nb"}, {"call", "a\nb"}, {"call", "netns_ip_addr", "a\nb"}, {"call", "netns_ip_addr", "--a\nb=c"},
		{"--host-netns", "/a\nb", "call", "list_pods"}, {"--docker-host", "x\ny://b", "call", "list_pods"}, {"--toolsets", "a\nb", "tools"},
		{"--via", "a\nb", "call", "list_pods"}, {"serve", "--unix", "/a\nb/c"}, {"doctor", "--node", "a\nb"},
	} {
		got := runHere("", args...)
		text, _ := strings.CutSuffix(got.err, "Run 'nsenter-mcp --help' for what there is.\n")
		if got.code == 0 || got.out != "" || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
			t.Errorf("%q: code %d, out %q, err %q", args, got.code, got.out, got.err)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	got := runHere("", "--help")
	if got.code != 0 || got.err != "" {
		t.Fatalf("%+v", got)
	}
	for _, want := range []string{"MCP server", "doctor", "call", "tools", "version", "--host-root", "ssh -T"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for line := range strings.Lines(got.out) {
		if n := len(strings.TrimRight(line, "\n")); n > 120 {
			t.Errorf("a line of %d characters: %s", n, line)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	b := decode[build](t, runHere("", "version", "--json").out)
	if b.Version == "" || b.Go != runtime.Version() || b.Platform != runtime.GOOS+"/"+runtime.GOARCH {
		t.Errorf("%+v", b)
	}
	line := runHere("", "version").out
	if line != "nsenter-mcp "+b.String()+"\n" || line != runHere("", "--version").out {
		t.Errorf("%q", line)
	}
}

func TestToolsList(t *testing.T) {
	t.Parallel()
	text := runHere("", "tools").out
	list := decode[struct {
		Tools []struct{ Name string }
	}](t, runHere("", "tools", "--json").out)
	if len(list.Tools) != len(tools.All()) {
		t.Errorf("%d tools listed, %d exist", len(list.Tools), len(tools.All()))
	}
	for _, tool := range list.Tools {
		if !strings.Contains(text, "\n"+tool.Name) {
			t.Errorf("%s is not in the table:\n%s", tool.Name, text)
		}
	}
}

func TestCallArguments(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		in   string
		want string
	}{
		{nil, "", `{}`},
		{[]string{"pid=5", "details=true", "pod=web-0"}, "", `{"details":true,"pid":5,"pod":"web-0"}`},
		{[]string{`a=["x","y"]`, `b={"k":1}`, "c=", "d=x=y"}, "", `{"a":["x","y"],"b":{"k":1},"c":"","d":"x=y"}`},
		{[]string{"container=0123", "netns=12345678901234567890123"}, "", `{"container":"0123","netns":12345678901234567890123}`},
		{[]string{"-"}, ` {"pid": 7} `, `{"pid":7}`},
	} {
		got, err := callArguments(c.args, strings.NewReader(c.in))
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
			continue
		}
		if a, b := normal(t, string(got)), normal(t, c.want); a != b {
			t.Errorf("%q: got %s, want %s", c.args, a, b)
		}
	}
	if _, err := callArguments([]string{"-"}, strings.NewReader(`"`+strings.Repeat("x", maxArguments)+`"`)); err == nil {
		t.Error("too much input is accepted")
	}
}

func normal(t *testing.T, text string) string {
	t.Helper()
	return fmt.Sprint(decode[map[string]json.RawMessage](t, text))
}

func TestCallAnswersOnStandardOutput(t *testing.T) {
	t.Parallel()
	type envelope struct {
		Summary string
		Target  struct{ PID int }
		Error   *struct{ Code, Hint string }
	}
	self := fmt.Sprintf("pid=%d", os.Getpid())
	good := runHere("", "call", "resolve_pod_pid", self)
	if e := decode[envelope](t, good.out); good.code != 0 || e.Error != nil || e.Target.PID != os.Getpid() || good.err != "" {
		t.Errorf("%+v", good)
	}
	line := runHere(fmt.Sprintf(`{"pid":%d}`, os.Getpid()), "call", "netns_ip_addr", "-", "--json")
	if line.code != 0 || strings.Count(line.out, "\n") != 1 {
		t.Errorf("%+v", line)
	}
	bad := runHere("", "call", "netns_ip_addr", "pid=0")
	if e := decode[envelope](t, bad.out); bad.code != exitFailed || e.Error == nil || e.Error.Hint == "" {
		t.Errorf("%+v", bad)
	}
}

func TestHostNetnsThatIsNone(t *testing.T) {
	t.Parallel()
	got := runHere("", "--host-netns", "/dev/null", "call", "resolve_pod_pid")
	if got.code != exitFailed || !strings.Contains(got.err, "--host-netns") {
		t.Errorf("%+v", got)
	}
}
