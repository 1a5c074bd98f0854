package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

// asProgram makes the test binary behave as the demo.
const asProgram = "NSENTER_MCP_TEST_AS_DEMO"

// operatorsText makes the demo find that text as the operator's file, in an /etc of
// its own.
const operatorsText = "NSENTER_MCP_TEST_OPERATORS_FILE"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		if err := coverEtc(); err != nil {
			panic(err)
		}
		main()
	}
	lab.TestMain(m)
}

func coverEtc() error {
	text, ok := os.LookupEnv(operatorsText)
	if !ok {
		return nil
	}
	if err := unix.Mount("tmpfs", "/etc", "tmpfs", 0, ""); err != nil {
		return err
	}
	if err := os.WriteFile(operatorFile, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Unsetenv(operatorsText) // the demo runs itself again
}

// serverProgram is the program that the demo shows: the one of make test, or one
// that is built here, which takes minutes where nothing is in the build cache.
func serverProgram(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("NSENTER_MCP"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "nsenter-mcp")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "nsenter-mcp/cmd/nsenter-mcp")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// program is the demo as a process of its own.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

func TestDemo(t *testing.T) {
	t.Parallel()
	server := serverProgram(t)
	t.Run("whole", func(t *testing.T) {
		t.Parallel()
		out, err := program(t, server).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, want := range []string{
			"shop/web-0", "exit code 1", "link.no_carrier", "200 OK", "link.detached", "tcp.listener_loopback",
			"batch/worker-1   link.no_carrier        after 3 calls", "shop/web-0       nothing is wrong       after 1 call\n",
			"shop/cart-0      link.detached          after 1 call", "ops/metrics-0    tcp.listener_loopback  after 2 calls", "That is all",
		} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%q is missing in:\n%s", want, out)
			}
		}
		if strings.Contains(string(out), "\n  !") {
			t.Errorf("a step failed:\n%s", out)
		}
	})
	// The demo works wherever an operator has a file, as its pods are not the operator's.
	t.Run("under an operator's file", func(t *testing.T) {
		t.Parallel()
		cmd := program(t, server)
		cmd.Env = append(cmd.Env, operatorsText+"=toolsets: []\n")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "That is all") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestWrongCommandLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--help"}, 2, "usage: demo"},
		{[]string{"a", "b"}, 2, "usage: demo"},
		{[]string{"/no/such/program"}, 1, "build it and give its path"},
	} {
		cmd := program(t, c.args...)
		out, _ := cmd.CombinedOutput() // the state tells
		if cmd.ProcessState.ExitCode() != c.code || !strings.Contains(string(out), c.want) {
			t.Errorf("%q: code %d, %s", c.args, cmd.ProcessState.ExitCode(), out)
		}
	}
}
