package lab_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

// What a probe that escapes from its pod meets.
func TestIsolationNothingButLoopback(t *testing.T) {
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Name != "lo" && l.Flags&net.FlagUp != 0 {
			t.Errorf("interface %s is up", l.Name)
		}
	}
	for _, dst := range []string{"192.0.2.1:80", "10.244.1.10:80", "169.254.169.254:80", "172.18.0.2:80", "[2001:db8::1]:80"} {
		conn, err := net.Dial("udp", dst) // looks up a route and sends nothing
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, unix.ENETUNREACH) {
			t.Errorf("dial %s: %v, want %v", dst, err, unix.ENETUNREACH)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("loopback does not work: %v", err)
	}
	ln.Close()
}

func TestIsolationPrivateFolders(t *testing.T) {
	if logs, err := os.ReadDir("/var/log"); err != nil || len(logs) != 0 {
		t.Errorf("/var/log has %v, %v", logs, err)
	}
	for _, path := range []string{"/run/docker.sock", "/var/run/docker.sock", "/run/containerd", "/run/dbus"} {
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s is there", path)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " shared:") || strings.Contains(line, " master:") {
			t.Errorf("mount propagates: %s", line)
		}
	}
}

func TestIsolateIsIdempotent(t *testing.T) {
	if err := lab.Isolate(); err != nil {
		t.Errorf("inside: %v", err)
	}
}

func TestNewOutsideFails(t *testing.T) {
	t.Setenv("NSENTER_MCP_LAB", "")
	if _, err := lab.New(); !errors.Is(err, lab.ErrNotIsolated) {
		t.Errorf("got %v, want %v", err, lab.ErrNotIsolated)
	}
}

// A container's role taken up by accident is said and ends.
func TestMainWithoutLabEnds(t *testing.T) {
	cmd := helper(t, "exit")
	cmd.Env = append(cmd.Env, "NSENTER_MCP_LAB=container")
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 2 {
		t.Errorf("got %v, want exit code 2; output %q", err, out)
	}
}

func TestIsolatePassesArgumentsAndExitCode(t *testing.T) {
	cmd := helper(t, "exit", "one", "two words", "")
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("got %v, want exit code 7", err)
	}
	if want := "one two words \n"; string(out) != want {
		t.Errorf("got output %q, want %q", out, want)
	}
}

func TestIsolatePassesSignals(t *testing.T) {
	cmd := helper(t, "signal")
	if line, _ := started(t, cmd); line != "ready" {
		t.Fatalf("got %q", line)
	}
	if err := cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 8 {
		t.Errorf("got %v, want exit code 8", err)
	}
}

// Where no namespace can be made, tests fail; they are not skipped.
func TestIsolateForbidden(t *testing.T) {
	cmd := helper(t, "forbidden", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("got %v, want exit code 1", err)
	}
	if !strings.Contains(string(out), "make network and mount namespaces") || strings.Contains(string(out), "PASS") {
		t.Errorf("unclear output %q", out)
	}
}

// Whoever is killed, the outer process or the one inside: no process stays.
func TestNothingOutlivesTheLab(t *testing.T) {
	for name, victim := range map[string]func(outer, inner int) int{
		"outer killed": func(outer, _ int) int { return outer },
		"inner killed": func(_, inner int) int { return inner },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := helper(t, "pods")
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			line, output := started(t, cmd)
			var pids [5]int
			if _, err := fmt.Sscan(line, &pids[0], &pids[1], &pids[2], &pids[3], &pids[4]); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			var fds []int
			for _, pid := range pids {
				fds = append(fds, pidfd(t, pid))
			}
			if err := unix.Kill(victim(cmd.Process.Pid, pids[0]), unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			for _, fd := range fds {
				awaitEnd(t, fd)
			}
			if _, err := io.ReadAll(output); err != nil { // ends when nobody holds the pipe
				t.Error(err)
			}
			if err := cmd.Wait(); name == "inner killed" && cmd.ProcessState.ExitCode() != 128+9 {
				t.Errorf("got %v, want exit code 137", err)
			}
		})
	}
}
