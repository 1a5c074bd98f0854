package resolve

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// readsEverything reports whether this process may read files that its user may
// not: its program has capabilities (setcap), or a service manager gave it some.
func readsEverything() bool {
	const power = 1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_DAC_OVERRIDE
	_, data, err := capabilities()
	return err == nil && data[0].Effective&power != 0
}

// capabilities are those of the calling thread.
func capabilities() (header unix.CapUserHeader, data [2]unix.CapUserData, err error) {
	header.Version = unix.LINUX_CAPABILITY_VERSION_3
	err = unix.Capget(&header, &data[0])
	return header, data, err
}

// hasMoreThanUser reports whether this process has rights that the user who started
// it has not. root has them all.
func hasMoreThanUser() bool {
	if os.Getuid() == 0 {
		return false
	}
	_, data, err := capabilities()
	return err != nil || data[0].Effective|data[1].Effective != 0 || os.Geteuid() != os.Getuid() || os.Getegid() != os.Getgid()
}

// asUser runs do with no more rights on files than the user has who started this
// process: without any capability, since CAP_SYS_PTRACE also opens files, those below
// /proc/PID/root. do must neither panic nor start threads or goroutines that count on
// it.
//
// Capabilities and fsuid are a thread's own. The thread ends with do, so that nothing
// need be given back to it.
func asUser(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for ever, so the thread ends
		if err := beUser(); err != nil {
			done <- fmt.Errorf("give up capabilities to read a user's file: %w", err)
			return
		}
		done <- do()
	}()
	return <-done
}

// beUser takes from the calling thread what the user has not. Whoever has started a
// process may always become again (setfsuid(2)), of which no failure is told.
func beUser() error {
	if err := unix.Setfsgid(os.Getgid()); err != nil {
		return fmt.Errorf("setfsgid: %w", err)
	}
	if err := unix.Setfsuid(os.Getuid()); err != nil {
		return fmt.Errorf("setfsuid: %w", err)
	}
	header, data, err := capabilities()
	if err != nil {
		return fmt.Errorf("capget: %w", err)
	}
	data[0].Effective, data[1].Effective = 0, 0
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("capset: %w", err)
	}
	return nil
}
