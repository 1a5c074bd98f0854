package nsexec_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// child is this test binary again, as a process to look into.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	pid   int
}

// startChild starts a process that waits, in new namespaces as flags say
// (clone(2)). It ends with the test.
func startChild(t testing.TB, flags uintptr, env ...string) *child {
	t.Helper()
	return start(t, "/proc/self/exe", flags, append(env, roleVar+"="+roleWait), nil)
}

// startRooted starts a process whose root directory is root, with the file
// resolv mounted over /etc/resolv.conf in a mount namespace of its own, as a
// container runtime does it.
func startRooted(t testing.TB, root, resolv string) *child {
	t.Helper()
	return startReady(t, unix.CLONE_NEWNS|unix.CLONE_NEWNET, roleVar+"="+roleRooted, "ROOT="+root, "RESOLV="+resolv)
}

// startReady starts a process that says when it is ready.
func startReady(t testing.TB, flags uintptr, env ...string) *child {
	t.Helper()
	out, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	c := start(t, "/proc/self/exe", flags, env, in)
	in.Close()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("child with %v said %q: %v", env, line, err)
	}
	return c
}

func start(t testing.TB, path string, flags uintptr, env []string, stdout *os.File) *child {
	t.Helper()
	cmd := exec.Command(path)
	cmd.Env = env
	cmd.Stderr = os.Stderr
	if stdout != nil {
		cmd.Stdout = stdout
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: cmd, stdin: stdin, pid: cmd.Process.Pid}
	t.Cleanup(func() {
		c.cmd.Process.Kill() // it may have ended already
		c.cmd.Wait()
	})
	return c
}

// kill ends the process and leaves a zombie.
func (c *child) kill(t testing.TB) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, c.pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
}

// reap takes the zombie away, after which the number is free.
func (c *child) reap() { c.cmd.Wait() }

// enterRoot is what roleRooted does.
func enterRoot() error {
	root, resolv := os.Getenv("ROOT"), os.Getenv("RESOLV")
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	if err := unix.Mount(root, root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	if err := unix.Mount(resolv, filepath.Join(root, "etc/resolv.conf"), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount resolv.conf: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	return unix.Unmount(".", unix.MNT_DETACH)
}

// holdOwnMemory is what roleHolding does: the process keeps the lock of its own memory
// (mmap_lock), which whoever reads its environ needs. One thread waits for a page of a
// file that hangs, and as soon as it is told to, another maps this file anew, for which
// the kernel waits for the page with the lock held (fuse_file_mmap in fs/fuse/file.c).
func holdOwnMemory(file string) error {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	size := os.Getpagesize()
	page, err := unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("mmap: %w", err)
	}
	_, in, err := os.Pipe()
	if err != nil {
		return err
	}
	go unix.Write(int(in.Fd()), page) // in a system call, so that Go's own work goes on
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return err
	}
	_, err = unix.Mmap(fd, 0, size, unix.PROT_READ, unix.MAP_PRIVATE)
	return fmt.Errorf("the second mapping came about: %w", err)
}
