package lab

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	runDir   = "/run"
	netnsDir = "/run/netns"
	// marker lies in the private /run, so that the environment variable alone
	// makes nobody believe to be isolated.
	marker = "/run/.nsenter-mcp-lab"

	// roleVar tells a process of the lab what it is. It is inherited by what the
	// isolated process starts, so a program that isolates itself and is started
	// by a test runs in the namespaces of the test.
	roleVar       = "NSENTER_MCP_LAB"
	roleArriving  = "arriving"  // just made, its namespaces are still bare
	roleIsolated  = "isolated"  // inside, all set up
	roleContainer = "container" // the process of a container
)

// Main turns the process into a container of a lab where it was started as one,
// and otherwise does nothing. Call it first in main, before flags are read.
func Main() {
	if os.Getenv(roleVar) == roleContainer {
		os.Exit(containerMain())
	}
}

// TestMain runs the tests of a package in namespaces of their own:
//
//	func TestMain(m *testing.M) { lab.TestMain(m) }
//
// Where none can be made the test binary fails; it never skips.
func TestMain(m interface{ Run() int }) {
	Main()
	if err := Isolate(); err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Isolate moves the program into a fresh network and mount namespace with a
// private /run, by running it again with the same arguments, environment and
// standard files. It returns nil in that second process. In the first it only
// returns on an error; else it passes signals on and exits as the second does
// (128 plus the number after a signal). The second dies with the first.
//
// Call it early, on any goroutine: what the program did before is done again.
func Isolate() error {
	switch os.Getenv(roleVar) {
	case roleIsolated:
		return checkIsolated()
	case roleArriving:
		if err := arrive(); err != nil {
			return fmt.Errorf("set up isolated namespaces: %w", err)
		}
		return os.Setenv(roleVar, roleIsolated)
	}
	code, err := runIsolated()
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

func checkIsolated() error {
	if _, err := os.Stat(marker); err != nil || os.Getenv(roleVar) != roleIsolated {
		return ErrNotIsolated
	}
	return nil
}

// runIsolated runs this program in fresh namespaces and returns its exit code.
func runIsolated() (int, error) {
	// The parent-death signal comes when the thread that forked ends
	// (prctl(2)), so that has to be one that stays until the end.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()

	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2)
	defer signal.Stop(signals)

	cmd, err := startIsolated()
	if err != nil {
		return 0, err
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended just now
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, fmt.Errorf("wait for the isolated process: %w", err)
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// startIsolated tries it with the privileges that there are, and where they do
// not suffice with those of a user namespace.
func startIsolated() (*exec.Cmd, error) {
	cmd := isolated(0)
	err := cmd.Start()
	if err == nil {
		return cmd, nil
	}
	if !errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("make network and mount namespaces: %w", err)
	}
	cmd = isolated(unix.CLONE_NEWUSER)
	// The identity of the caller becomes root there; nobody else exists.
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("make network and mount namespaces: not allowed without CAP_SYS_ADMIN, and no user namespace either: %w "+
			"(sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)", err)
	}
	return cmd, nil
}

func isolated(flags uintptr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), roleVar+"="+roleArriving)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | flags,
		Pdeathsig:  unix.SIGKILL,
		// A terminal signals the whole foreground group; out of it, each signal
		// arrives once, from us.
		Setpgid: true,
	}
	return cmd
}

// arrive makes the fresh namespaces usable.
func arrive() error {
	// Mounts made here stay here, and those made outside later do not show.
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE); err != nil {
		return err
	}
	// The logs of the machine's own pods (/var/log/pods) are none of the lab's.
	for _, dir := range []string{runDir, "/var/log"} {
		if err := mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV); err != nil {
			return err
		}
	}
	// Where /var/run is no link to /run, sockets of daemons may lie there.
	if fi, err := os.Lstat("/var/run"); err == nil && fi.IsDir() {
		if err := mount(runDir, "/var/run", "", unix.MS_BIND); err != nil {
			return err
		}
	}
	if err := os.Mkdir(netnsDir, 0o755); err != nil {
		return err
	}
	if err := loopbackUp(); err != nil {
		return err
	}
	if err := checkAlone(); err != nil {
		return err
	}
	return os.WriteFile(marker, nil, 0o644)
}

// checkAlone proves that no interface but lo leads anywhere. Some kernels put
// tunnel devices into each new namespace (net.core.fb_tunnels_only_for_init_net);
// they are down.
func checkAlone() error {
	links, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.Flags&net.FlagUp != 0 && l.Flags&net.FlagLoopback == 0 {
			return fmt.Errorf("interface %s of a fresh network namespace is up", l.Name)
		}
	}
	return nil
}

func mount(source, target, fstype string, flags uintptr) error {
	if err := unix.Mount(source, target, fstype, flags, ""); err != nil {
		return &os.PathError{Op: "mount", Path: target, Err: err}
	}
	return nil
}
