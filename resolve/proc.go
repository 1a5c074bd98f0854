package resolve

import (
	"strconv"
	"strings"
)

// process is one line of a scan of /proc. Nothing is pinned: whoever uses a PID
// from a scan opens it and looks again.
type process struct {
	pid    int
	net    uint64 // inode of its network namespace; 0 where it may not be seen
	cgroup string // content of /proc/PID/cgroup; "" likewise
	// monitor: it is a conmon of root's, and children are the PIDs of its children (proc(5)).
	monitor  bool
	children string
}

// scanFor says what a scan reads of each process.
type scanFor struct{ net, cgroup, monitor bool }

// parseNetLink reads the inode number of "net:[4026531840]" (namespaces(7)).
func parseNetLink(link string) (uint64, bool) {
	number, ok := strings.CutPrefix(link, "net:[")
	if !ok {
		return 0, false
	}
	number, ok = strings.CutSuffix(number, "]")
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(number, 10, 64)
	return inode, err == nil
}
