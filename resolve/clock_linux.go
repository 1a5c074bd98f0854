package resolve

import "golang.org/x/sys/unix"

// bootTime is CLOCK_BOOTTIME in nanoseconds, the clock in which the start of a
// process is counted (proc_pid_stat(5), field 22).
func bootTime() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0 // not known, so nothing is judged by it
	}
	return t.Nano()
}
