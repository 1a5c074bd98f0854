package resolve

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

// initVariable in the environment makes this binary the first process of a PID
// namespace, see startNumbers.
const initVariable = "RESOLVE_TEST_INIT"

func TestMain(m *testing.M) {
	if os.Getenv(initVariable) != "" {
		if err := countFrom(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(faultyVariable) != "" {
		if err := resolveWithFault(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	lab.TestMain(m)
}

// numbers is a PID namespace with few numbers, in which they are given again
// soon (kernel.pid_max is one per PID namespace since Linux 6.14).
type numbers struct {
	t    *testing.T
	in   io.Writer
	out  *bufio.Scanner
	root string // a host root whose /proc is that of the namespace
}

// startNumbers makes such a namespace for the time of a test, which it skips on
// older kernels.
func startNumbers(t *testing.T) *numbers {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), initVariable+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	n := &numbers{t: t, in: in, out: bufio.NewScanner(out), root: fmt.Sprintf("/proc/%d/root", cmd.Process.Pid)}
	if said := n.read(); said != "ready" {
		t.Skipf("no PID namespace with few numbers: %s", said)
	}
	return n
}

func (n *numbers) read() string {
	if !n.out.Scan() {
		n.t.Fatalf("the first process of the namespace has ended: %v", n.out.Err())
	}
	return n.out.Text()
}

// spawn starts a process in a network namespace of its own and returns its
// number in the namespace. With a wanted number it tries until it gets that.
func (n *numbers) spawn(wanted int) int {
	_, err := fmt.Fprintf(n.in, "spawn %d\n", wanted)
	said := n.read()
	got, convErr := strconv.Atoi(said)
	if err != nil || convErr != nil {
		n.t.Fatalf("spawn: %v, %s", err, said)
	}
	return got
}

// kill ends a process and returns when its number is free.
func (n *numbers) kill(pid int) {
	_, err := fmt.Fprintf(n.in, "kill %d\n", pid)
	if said := n.read(); err != nil || said != "ok" {
		n.t.Fatalf("kill: %v, %s", err, said)
	}
}

// countFrom is the first process of a PID namespace: it obeys until its input
// ends, and then the kernel ends all others.
func countFrom(in io.Reader, out io.Writer) error {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	if err := fewNumbers(); err != nil {
		say("%v", err)
		return nil
	}
	say("ready")
	children := map[int]*exec.Cmd{}
	for lines := bufio.NewScanner(in); lines.Scan(); {
		verb, argument, _ := strings.Cut(lines.Text(), " ")
		number, err := strconv.Atoi(argument)
		if err != nil {
			return err
		}
		if verb == "kill" {
			c := children[number]
			_ = c.Process.Kill()
			_ = c.Wait()
			say("ok")
			continue
		}
		c, err := startAs(number)
		if err != nil {
			return err
		}
		children[c.Process.Pid] = c
		say("%d", c.Process.Pid)
	}
	return nil
}

// reservedPIDs is RESERVED_PIDS of kernel/pid.c: once numbers have come round,
// lower ones are not given again.
const reservedPIDs = 300

// startAs starts a process in a network namespace of its own, which has the
// number wanted, or with 0 one that will be given again.
func startAs(wanted int) (*exec.Cmd, error) {
	for {
		c := exec.Command("sleep", "1000")
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
		if err := c.Start(); err != nil {
			return nil, err
		}
		if n := c.Process.Pid; n == wanted || wanted == 0 && n > reservedPIDs {
			return c, nil
		}
		_ = c.Process.Kill()
		_ = c.Wait()
	}
}

func fewNumbers() error {
	// Before 6.14 the number is the whole machine's.
	var u unix.Utsname
	var major, minor int
	if err := unix.Uname(&u); err != nil {
		return err
	}
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		return err
	}
	if major < 6 || major == 6 && minor < 14 {
		return fmt.Errorf("linux %d.%d has one pid_max for all", major, minor)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	// The lowest that the kernel takes is reservedPIDs + 1; threads of this process
	// need some as well.
	return os.WriteFile("/proc/sys/kernel/pid_max", []byte("340"), 0)
}

// fakeProc makes a host's root directory whose /proc shows real processes, with
// the cgroups that a test gives them: the machine's own would show those of other
// tests, and none in a container.
func fakeProc(t testing.TB, cgroups map[int]string) string {
	t.Helper()
	root := t.TempDir()
	for pid, cgroup := range cgroups {
		dir := filepath.Join(root, "proc", strconv.Itoa(pid))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ns", "root", "stat", "status", "environ"} {
			if err := os.Symlink(fmt.Sprintf("/proc/%d/%s", pid, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup"), []byte(cgroup), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
