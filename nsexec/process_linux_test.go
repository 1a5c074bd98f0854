package nsexec_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

func openProcess(t testing.TB, home *nsexec.Home, pid int) *nsexec.Process {
	t.Helper()
	p, err := home.OpenProcess("/proc", pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func TestProcess(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	c := startChild(t, unix.CLONE_NEWNET|unix.CLONE_NEWUTS, "MARK=blue")
	p := openProcess(t, home, c.pid)
	if p.PID() != c.pid || p.StartTicks() == 0 || !p.Alive() || p.Ended() {
		t.Errorf("pid %d start %d alive %v, want pid %d", p.PID(), p.StartTicks(), p.Alive(), c.pid)
	}
	s, err := p.Stat()
	if err != nil || s.PID != c.pid || s.PPID != os.Getpid() || s.KernelThread || s.StartTicks != p.StartTicks() {
		t.Errorf("stat %+v, %v", s, err)
	}
	environ, err := p.ReadFile(t.Context(), "environ", 1<<16)
	if err != nil || !bytes.Contains(environ, []byte("MARK=blue\x00")) {
		t.Errorf("environ %q, %v", environ, err)
	}
	if part, err := p.ReadFile(t.Context(), "environ", 4); err != nil || !bytes.Equal(part, environ[:4]) {
		t.Errorf("4 bytes of environ: %q, %v", part, err)
	}
	if none, err := p.ReadFile(t.Context(), "environ", 0); err != nil || len(none) != 0 {
		t.Errorf("no bytes of environ: %q, %v", none, err)
	}
	if _, err := p.ReadFile(t.Context(), "nosuch", 10); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file of a process that lives: %v", err)
	}
	if !p.RootIs("/") || p.RootIs(t.TempDir()) || p.RootIs("/nosuch") {
		t.Error("its root directory is /, and no other")
	}
	net, err := p.Net()
	if err != nil {
		t.Fatal(err)
	}
	defer net.Close()
	spaces, err := p.Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	own, err := openProcess(t, home, os.Getpid()).Namespaces()
	if err != nil {
		t.Fatal(err)
	}
	for kind, same := range map[string]bool{"net": false, "uts": false, "mnt": true, "pid": true, "ipc": true, "user": true} {
		if spaces[kind].Same(own[kind]) != same || spaces[kind].Inode == 0 {
			t.Errorf("%s namespace is %+v, own %+v, want same %v", kind, spaces[kind], own[kind], same)
		}
	}
	if !spaces["net"].Same(net.Identity()) || net.Identity().Same(home.Self().Identity()) {
		t.Errorf("net namespace %+v, handle %+v", spaces["net"], net.Identity())
	}
	files, err := p.Files()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	// They live by themselves.
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if err := net.Do(func() error { return inside(net) }); err != nil {
		t.Error(err)
	}
	if _, err := files.ReadFile(t.Context(), "/proc/version", 1); !errors.Is(err, nsexec.ErrNotRegular) {
		t.Error(err)
	}
	for name, f := range map[string]func() error{
		"Stat": func() error { _, err := p.Stat(); return err }, "Net": func() error { _, err := p.Net(); return err },
		"Files": func() error { _, err := p.Files(); return err }, "Namespaces": func() error { _, err := p.Namespaces(); return err },
		"ReadFile": func() error { _, err := p.ReadFile(t.Context(), "cgroup", 10); return err }, "Close": p.Close,
	} {
		if err := f(); !errors.Is(err, nsexec.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", name, err)
		}
	}
}

func TestProcessStarted(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	before := time.Now()
	c := startChild(t, 0)
	after := time.Now()
	// Of the kernel's tick and of the rounding to one.
	const tick = 20 * time.Millisecond
	if at := openProcess(t, home, c.pid).Started(); at.Before(before.Add(-tick)) || at.After(after.Add(tick)) {
		t.Errorf("started at %v, want between %v and %v", at, before, after)
	}
}

func TestOpenProcessRefuses(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	gone := startChild(t, 0)
	gone.kill(t)
	if _, err := home.OpenProcess("/proc", gone.pid); !errors.Is(err, nsexec.ErrZombie) {
		t.Errorf("zombie: %v, want ErrZombie", err)
	}
	gone.reap()
	for _, pid := range []int{gone.pid, 0, -1, 1 << 31, 1<<63 - 1} {
		if _, err := home.OpenProcess("/proc", pid); !errors.Is(err, nsexec.ErrNoProcess) {
			t.Errorf("pid %d: %v, want ErrNoProcess", pid, err)
		}
	}
	if _, err := home.OpenProcess("/nosuch", os.Getpid()); !errors.Is(err, nsexec.ErrNoProcess) {
		t.Errorf("no proc file system: %v, want ErrNoProcess", err)
	}
	if name, err := os.ReadFile("/proc/2/comm"); err != nil || string(name) != "kthreadd\n" {
		t.Log("no kernel threads can be seen here")
	} else if _, err := home.OpenProcess("/proc", 2); !errors.Is(err, nsexec.ErrKernelThread) {
		t.Errorf("kernel thread: %v, want ErrKernelThread", err)
	}
}

// A process that ends between open and use is never mistaken for another.
func TestProcessEnds(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	c := startChild(t, unix.CLONE_NEWNET)
	p := openProcess(t, home, c.pid)
	net, err := p.Net()
	if err != nil {
		t.Fatal(err)
	}
	defer net.Close()
	files, err := p.Files()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	use := map[string]func() error{
		"Net":        func() error { _, err := p.Net(); return err },
		"Files":      func() error { _, err := p.Files(); return err },
		"Namespaces": func() error { _, err := p.Namespaces(); return err },
		"environ":    func() error { _, err := p.ReadFile(t.Context(), "ns/net", 10); return err },
		"file":       func() error { _, err := files.ReadFile(t.Context(), "/etc/passwd", 10); return err },
	}
	c.kill(t)
	for name, f := range use {
		if err := f(); !errors.Is(err, nsexec.ErrZombie) {
			t.Errorf("%s of a zombie: %v, want ErrZombie", name, err)
		}
	}
	if s, err := p.Stat(); err != nil || s.State != 'Z' || p.Alive() || !p.Ended() {
		t.Errorf("stat of a zombie: %+v, %v, alive %v, ended %v", s, err, p.Alive(), p.Ended())
	}
	c.reap()
	use["Stat"] = func() error { _, err := p.Stat(); return err }
	use["cgroup"] = func() error { _, err := p.ReadFile(t.Context(), "cgroup", 10); return err }
	for name, f := range use {
		if err := f(); !errors.Is(err, nsexec.ErrGone) {
			t.Errorf("%s of a process that has ended: %v, want ErrGone", name, err)
		}
	}
	if p.Alive() || !p.Ended() {
		t.Errorf("alive %v, ended %v", p.Alive(), p.Ended())
	}
	// What was pinned before stays what it was.
	if err := net.Do(func() error { return inside(net) }); err != nil {
		t.Error(err)
	}
}

// With its last process a container's mounts come off its tree. The file below
// a mount must not stand in for the one that the applications saw.
func TestFilesEndWithProcess(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	root, mounted := t.TempDir(), t.TempDir()+"/resolv.conf"
	writeFile(t, root+"/etc/resolv.conf", "of the image")
	writeFile(t, mounted, "mounted")
	c := startRooted(t, root, mounted)
	files, err := openProcess(t, home, c.pid).Files()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if file, err := files.ReadFile(t.Context(), "/etc/resolv.conf", 100); err != nil || string(file.Data) != "mounted" {
		t.Errorf("read %q, %v", file.Data, err)
	}
	c.kill(t)
	for _, name := range []string{"/etc/resolv.conf", "/nosuch"} {
		if file, err := files.ReadFile(t.Context(), name, 100); !errors.Is(err, nsexec.ErrZombie) {
			t.Errorf("%s after the end: %q, %v, want ErrZombie", name, file.Data, err)
		}
	}
	c.reap()
	if file, err := files.ReadFile(t.Context(), "/etc/resolv.conf", 100); !errors.Is(err, nsexec.ErrGone) {
		t.Errorf("after the end: %q, %v, want ErrGone", file.Data, err)
	}
}

// The name of a process is its own choice.
func TestProcessNameIsFreeText(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const name = ") Z 1 2\n3 ("
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(self, link); err != nil {
		t.Fatal(err)
	}
	c := start(t, link, 0, []string{roleVar + "=" + roleWait}, nil)
	p := openProcess(t, home, c.pid)
	if s, err := p.Stat(); err != nil || s.Comm != name || s.State == 'Z' || s.PID != c.pid {
		t.Errorf("stat %+v, %v", s, err)
	}
}
