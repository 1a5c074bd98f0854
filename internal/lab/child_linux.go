package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"golang.org/x/sys/unix"
)

// containerMain is the life of a container's process: it reads its setup,
// becomes the container, says so, and waits for orders until their pipe ends,
// which happens when the lab's process does. The result is its exit code.
func containerMain() int {
	orders, news := os.NewFile(3, "orders"), os.NewFile(4, "news")
	decoder := json.NewDecoder(orders)
	var s setup
	if err := decoder.Decode(&s); err != nil {
		fmt.Fprintf(os.Stderr, "%s=%s is for processes that a lab starts: %v\n", roleVar, roleContainer, err)
		return 2
	}
	err := becomeContainer(s)
	var r report
	if err != nil {
		r.Error = err.Error()
	}
	if err := errors.Join(err, json.NewEncoder(news).Encode(r)); err != nil {
		return 2
	}
	var o order
	if err := decoder.Decode(&o); err != nil {
		return 0 // the lab is gone
	}
	return o.Exit
}

// becomeContainer gives the process its name and root directory. The
// namespaces are made already: this process is the first in them.
func becomeContainer(s setup) error {
	// The name that ps and /proc/PID/stat show; else it would be "exe". Main runs
	// on the main thread, whose name is the process's.
	name := append([]byte(filepath.Base(os.Args[0])), 0)
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(&name[0])), 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl(PR_SET_NAME)", err)
	}
	if err := unix.Sethostname([]byte(s.Hostname)); err != nil {
		return os.NewSyscallError("sethostname", err)
	}
	if err := mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE); err != nil {
		return err
	}
	// The new root has to be a mount of its own (pivot_root(2)).
	if err := mount(s.Root, s.Root, "", unix.MS_BIND); err != nil {
		return err
	}
	if err := mountProc(filepath.Join(s.Root, "proc")); err != nil {
		return err
	}
	if err := os.Chdir(s.Root); err != nil {
		return err
	}
	// Stacks the old root on the new one, without a place for it
	// (pivot_root(2), "pivot_root(".", ".")"), and takes it away. With it go the
	// pins of other pods' namespaces, which this mount namespace had copied.
	if err := unix.PivotRoot(".", "."); err != nil {
		return os.NewSyscallError("pivot_root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return os.NewSyscallError("umount2", err)
	}
	return os.Chdir("/")
}

// mountProc mounts a proc file system of the new PID namespace. In containers
// that hide parts of /proc an unprivileged process may not (mount_too_revealing
// in fs/namespace.c); it then gets the one that there is.
func mountProc(target string) error {
	err := mount("proc", target, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC)
	if errors.Is(err, unix.EPERM) {
		return mount("/proc", target, "", unix.MS_BIND|unix.MS_REC)
	}
	return err
}
