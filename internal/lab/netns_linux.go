package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// makeNetns makes a namespace, brings lo up in it and pins it at path.
func makeNetns(path string) error {
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread is in the new namespace for good, so the
		// runtime has to destroy it.
		runtime.LockOSThread()
		done <- func() error {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return os.NewSyscallError("unshare(CLONE_NEWNET)", err)
			}
			if err := quiet(); err != nil {
				return err
			}
			if err := loopbackUp(); err != nil {
				return err
			}
			if err := os.WriteFile(path, nil, 0o444); err != nil {
				return err
			}
			return mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND)
		}()
	}()
	return <-done
}

// quiet sets, for the calling thread's namespace, what would make a fresh pod
// differ from one machine or moment to another. accept_dad: without duplicate
// address detection addresses are usable at once, not after a second.
// ip_forward and rp_filter: namespaces inherit those of the machine
// (devinet_init_net in net/ipv4/devinet.c).
func quiet() error {
	return errors.Join(
		writeSysctl("net/ipv4/ip_forward", "0"),
		writeSysctl("net/ipv6/conf/default/accept_dad", "0"),
		writeSysctl("net/ipv4/conf/all/rp_filter", "0"),
		writeSysctl("net/ipv4/conf/default/rp_filter", "0"),
	)
}

// writeSysctl sets a value in the namespace of the calling thread, which is the
// one that /proc/sys/net shows. A kernel without IPv6 has none of its values.
func writeSysctl(name, value string) error {
	err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0)
	if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "net/ipv6/") {
		return nil
	}
	return err
}

// SetSysctl sets a value of the namespace, named by its path ("net/ipv4/ip_forward").
func (n *Netns) SetSysctl(name, value string) error {
	return n.Handle.Do(func() error { return writeSysctl(name, value) })
}

// loopbackUp sets lo up in the namespace of the calling thread.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer closeFD(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	return nil
}

// closeFD closes a descriptor that has nothing to report by then.
func closeFD(fd int) { _ = unix.Close(fd) }

// unpin removes the bind mount at path, and what it was mounted on.
func unpin(path string) error {
	// Detached, as a handle may be open elsewhere in this process.
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) { // it was never mounted
		return &os.PathError{Op: "unmount", Path: path, Err: err}
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
