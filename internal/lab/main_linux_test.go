package lab_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

// helperVar makes the test binary do something else than run tests, so that
// tests can look at a whole process from its start to its end.
const helperVar = "LAB_TEST_HELPER"

func TestMain(m *testing.M) {
	if os.Getenv(helperVar) == "forbidden" {
		forbidNamespaces()
	}
	lab.TestMain(runner{m})
}

type runner struct{ m *testing.M }

func (r runner) Run() int {
	switch helper := os.Getenv(helperVar); helper {
	case "":
		return r.m.Run()
	case "exit":
		return helperExit()
	case "signal":
		return helperSignal()
	case "pods":
		return helperPods()
	case "tour":
		return helperTour()
	default:
		fmt.Fprintln(os.Stderr, "no such helper:", helper)
		return 99
	}
}

// helper returns the command that runs this binary as a helper, from outside
// of any isolation.
func helper(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "NSENTER_MCP_LAB=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, helperVar+"="+name)
	return cmd
}

// started starts a helper that stays, and returns its first line of output
// and a reader for the others.
func started(t *testing.T, cmd *exec.Cmd) (string, *bufio.Reader) {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // most have ended
		_ = cmd.Wait()
	})
	output := bufio.NewReader(stdout)
	line, err := output.ReadString('\n')
	if err != nil {
		t.Fatalf("helper: %v", err)
	}
	return strings.TrimSpace(line), output
}

func helperExit() int {
	fmt.Println(strings.Join(os.Args[1:], " "))
	return 7
}

func helperSignal() int {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGTERM)
	fmt.Println("ready")
	<-signals
	fmt.Println("terminated")
	return 8
}

// helperPods makes pods and a container, prints the PIDs, its own first, and
// waits to be killed.
func helperPods() int {
	l, err := lab.New()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	pods, err := l.AddPods(
		lab.PodSpec{Containers: []lab.ContainerSpec{{}}},
		lab.PodSpec{Style: lab.Calico},
		lab.PodSpec{Style: lab.HostNetwork},
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	pids := []any{os.Getpid()}
	for _, p := range pods {
		pids = append(pids, p.PID)
		for _, c := range p.Containers {
			pids = append(pids, c.PID())
		}
	}
	fmt.Println(pids...)
	_, err = io.Copy(io.Discard, os.Stdin) // the test holds the other end
	fmt.Fprintln(os.Stderr, "helper was not killed:", err)
	return 1
}

// forbidNamespaces makes the kernel refuse network namespaces to this process,
// which was started in a user namespace of its own (namespaces(7),
// /proc/sys/user).
func forbidNamespaces() {
	if err := os.WriteFile("/proc/sys/user/max_net_namespaces", []byte("0"), 0); err != nil {
		fmt.Fprintln(os.Stderr, "cannot forbid:", err)
		os.Exit(98)
	}
}

// pidfd opens a process, to await its end.
func pidfd(t *testing.T, pid int) int {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("pidfd_open(%d): %v", pid, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// awaitEnd fails the test if a process does not end.
func awaitEnd(t *testing.T, fd int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 1000)
		if err != nil && !errors.Is(err, syscall.EINTR) {
			t.Fatalf("poll: %v", err)
		}
		if n == 1 {
			return
		}
	}
	t.Error("process still runs")
}
