package nsexec_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// roleReuse marks the process whose PID namespace has few numbers.
const roleReuse = "NSEXEC_TEST_FEW_PIDS"

// The range of numbers that comes round: the kernel gives out those below
// RESERVED_PIDS once only, and pid_max has to be above (kernel/pid.c).
const reservedPIDs, pidMax = 300, 340

// TestPIDReuse runs the tests named ...WithFewPIDs in a PID namespace in which
// numbers are reused after a few processes.
func TestPIDReuse(t *testing.T) {
	t.Parallel()
	var release unix.Utsname
	if err := unix.Uname(&release); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	fmt.Sscanf(unix.ByteSliceToString(release.Release[:]), "%d.%d", &major, &minor)
	if major < 6 || major == 6 && minor < 14 {
		t.Skip("kernel.pid_max is that of the whole machine before Linux 6.14")
	}
	before, err := os.ReadFile("/proc/sys/kernel/pid_max")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=WithFewPIDs$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), roleReuse+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	// The signal comes with the end of the thread that forked (prctl(2)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestPinnedProcessWithFewPIDs")) {
		t.Errorf("in a PID namespace with few numbers: %v", err)
	}
	if after, err := os.ReadFile("/proc/sys/kernel/pid_max"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("pid_max here was %s and is %s, %v", before, after, err)
	}
}

// fewPIDs prepares the process that TestPIDReuse started.
func fewPIDs(t *testing.T) {
	t.Helper()
	if os.Getenv(roleReuse) == "" {
		t.Skip("runs in a PID namespace of its own, by TestPIDReuse")
	}
	if os.Getpid() != 1 {
		t.Fatalf("pid %d, want 1", os.Getpid())
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount("/proc", unix.MNT_DETACH) })
	if err := os.WriteFile("/proc/sys/kernel/pid_max", []byte(strconv.Itoa(pidMax)), 0); err != nil {
		t.Fatal(err)
	}
	// Use up the numbers that come once: threads have numbers of the same kind,
	// and cost less than processes.
	for {
		last := make(chan int)
		go func() {
			runtime.LockOSThread() // for ever, so the thread ends
			last <- unix.Gettid()
		}()
		if <-last >= reservedPIDs {
			return
		}
	}
}

// awaitPID starts processes, one after another, until one has the number. It
// returns nil where that does not come again: a thread of this process may have it.
func awaitPID(t *testing.T, pid int, env string) *child {
	t.Helper()
	for range 2 * pidMax {
		c := startChild(t, unix.CLONE_NEWNET, env)
		if c.pid == pid {
			return c
		}
		c.kill(t)
		c.reap()
	}
	return nil
}

func TestPinnedProcessWithFewPIDs(t *testing.T) {
	fewPIDs(t)
	home := newHome(t)
	var first, second *child
	var old *nsexec.Process
	var files *nsexec.Files
	var net *nsexec.Handle
	for try := 0; second == nil; try++ {
		if try == 10 {
			t.Fatalf("number %d and nine before it did not come again", first.pid)
		}
		first = startChild(t, unix.CLONE_NEWNET, "MARK=first")
		old = openProcess(t, home, first.pid)
		var err error
		if files, err = old.Files(); err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		if net, err = old.Net(); err != nil {
			t.Fatal(err)
		}
		defer net.Close()
		first.kill(t)
		first.reap()
		second = awaitPID(t, first.pid, "MARK=second")
	}

	for name, f := range map[string]func() error{
		"Stat":       func() error { s, err := old.Stat(); return found(s, err) },
		"Net":        func() error { h, err := old.Net(); return found(h, err) },
		"Files":      func() error { f, err := old.Files(); return found(f, err) },
		"Namespaces": func() error { n, err := old.Namespaces(); return found(n, err) },
		"environ":    func() error { e, err := old.ReadFile(t.Context(), "environ", 1000); return found(string(e), err) },
		"file":       func() error { e, err := files.ReadFile(t.Context(), "/etc/passwd", 10); return found(e, err) },
	} {
		if err := f(); !errors.Is(err, nsexec.ErrGone) {
			t.Errorf("%s of pid %d, which is another process now: %v, want ErrGone", name, first.pid, err)
		}
	}
	if old.Alive() {
		t.Error("the first process is alive")
	}
	p := openProcess(t, home, second.pid)
	if environ, err := p.ReadFile(t.Context(), "environ", 1000); err != nil || !bytes.Contains(environ, []byte("MARK=second")) {
		t.Errorf("environ of the second: %q, %v", environ, err)
	}
	if p.StartTicks() < old.StartTicks() {
		t.Errorf("the second process started at %d, the first at %d", p.StartTicks(), old.StartTicks())
	}
	other, err := p.Net()
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if other.Identity().Same(net.Identity()) {
		t.Error("both have one network")
	}
}

// found is an error that shows what should not be there.
func found(what any, err error) error {
	if err == nil {
		return fmt.Errorf("found %+v", what)
	}
	return err
}

// While numbers are reused all the time, all that a pinned process says
// belongs to one process.
func TestNeverMixedWithFewPIDs(t *testing.T) {
	fewPIDs(t)
	home := newHome(t)
	const generations = 60
	cookies := map[string]uint64{} // of each generation's network, by its mark
	type sight struct {
		mark   string
		cookie uint64
	}
	var seen []sight
	var mu sync.Mutex
	stop := make(chan struct{})
	var watchers sync.WaitGroup
	for range 2 {
		watchers.Go(func() {
			for {
				for pid := reservedPIDs; pid < pidMax; pid++ {
					select {
					case <-stop:
						return
					default:
					}
					if mark, cookie, err := look(t.Context(), home, pid); err == nil && mark != "" {
						mu.Lock()
						seen = append(seen, sight{mark, cookie})
						mu.Unlock()
					} else if err != nil && !expected(err) {
						t.Errorf("pid %d: %v", pid, err)
					}
				}
			}
		})
	}
	for generation := range generations {
		mark := fmt.Sprintf("MARK=%d", generation)
		c := startChild(t, unix.CLONE_NEWNET, mark)
		h, err := home.OpenPath(t.Context(), procPath(c.pid, "ns/net")) // nobody else has its number yet
		if err != nil {
			t.Fatal(err)
		}
		cookies[mark] = h.Identity().Cookie
		h.Close()
		c.kill(t)
		c.reap()
	}
	close(stop)
	watchers.Wait()
	marks := map[string]bool{}
	for _, s := range seen {
		if cookies[s.mark] != s.cookie {
			t.Errorf("a process with %s has the network %d, want %d", s.mark, s.cookie, cookies[s.mark])
		}
		marks[s.mark] = true
	}
	t.Logf("%d processes seen, %d times", len(marks), len(seen))
	if len(marks) < generations/10 {
		t.Errorf("only %d of %d processes were seen, so little was proven", len(marks), generations)
	}
}

// look asks one pinned process twice who it is, and between that for its
// network.
func look(ctx context.Context, home *nsexec.Home, pid int) (mark string, cookie uint64, err error) {
	p, err := home.OpenProcess("/proc", pid)
	if err != nil {
		return "", 0, err
	}
	defer p.Close()
	environ, err := p.ReadFile(ctx, "environ", 10_000)
	if err != nil {
		return "", 0, err
	}
	h, err := p.Net()
	if err != nil {
		return "", 0, err
	}
	defer h.Close()
	for entry := range strings.SplitSeq(string(environ), "\x00") {
		if strings.HasPrefix(entry, "MARK=") {
			mark = entry
		}
	}
	return mark, h.Identity().Cookie, nil
}

func expected(err error) bool {
	// Between fork and exec a process may not be looked into without
	// CAP_SYS_PTRACE in the first user namespace.
	var refusal *nsexec.PermissionError
	return errors.Is(err, nsexec.ErrNoProcess) || errors.Is(err, nsexec.ErrGone) || errors.Is(err, nsexec.ErrZombie) || errors.As(err, &refusal)
}
