//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// weight is what a process holds; rss is in kB, netns are networks that it keeps.
type weight struct{ fds, threads, rss, netns int }

func (w weight) String() string {
	return fmt.Sprintf("%d fds, %d threads, %.1f MB of memory, %d network namespaces", w.fds, w.threads, float64(w.rss)/1000, w.netns)
}

func weigh(b testing.TB, pid int) weight {
	b.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		b.Fatal(err)
	}
	netns := map[string]bool{}
	for _, fd := range fds {
		if what, err := os.Readlink(filepath.Join(dir, fd.Name())); err == nil && strings.HasPrefix(what, "net:[") {
			netns[what] = true
		}
	}
	return weight{len(fds), statusOf(b, pid, "Threads:"), statusOf(b, pid, "VmRSS:"), len(netns)}
}

// statusOf reads a number of /proc/PID/status; memory is in kB.
func statusOf(b testing.TB, pid int, field string) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			number, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return number
		}
	}
	b.Fatalf("no %s in the status of pid %d", field, pid)
	return 0
}
