package forward

import (
	"errors"

	"golang.org/x/sys/unix"
)

// awaitExit returns when the process has ended, which is still to be waited for:
// until then nobody else gets its number, and what is left of its group can be
// ended without meeting somebody else's. It reports whether that is so.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
