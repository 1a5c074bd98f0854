package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// SkipTB is [TB] for a test that can be skipped.
type SkipTB interface {
	TB
	Skipf(format string, args ...any)
}

// Program returns the path of an installed program that a test compares with.
// Without the program the test is skipped. With CI=true in the environment, where
// nothing may be missing, the test fails instead; so it is with all needs.
func Program(tb SkipTB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(tb, "%s is not installed", name)
	}
	return path
}

// Device is a need of a test: that this process may open a device.
func Device(tb SkipTB, path string) {
	tb.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		missing(tb, "without root, this machine does not give its device: %v", err)
		return
	}
	_ = f.Close()
}

// OtherUsers is a need of a test: that files and processes can be given to another
// user, up to number 65534. A user namespace that an ordinary user makes has no
// user but one (user_namespaces(7)).
func OtherUsers(tb SkipTB) {
	tb.Helper()
	mapping, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return // a kernel without user namespaces
	}
	for line := range strings.Lines(string(mapping)) {
		var first, outside, count int
		if n, _ := fmt.Sscan(line, &first, &outside, &count); n == 3 && first <= 65534 && 65534 < first+count {
			return
		}
	}
	missing(tb, "without root, the user namespace of this test has one user only")
}

// Kernel is a need that nobody can install, tried out: err, unless it is nil, says why
// this kernel does not give it to this user. Without it the test is skipped everywhere.
func Kernel(tb SkipTB, err error) {
	tb.Helper()
	if err != nil {
		tb.Skipf("%v", err)
	}
}

func missing(tb SkipTB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatalf(format, args...)
	}
	tb.Skipf(format, args...)
}

// ManyThreads is more threads than a thousand calls that hang may take in a test. The
// bar is 64, where nothing else runs (make bench): on a busy machine each system call
// that is interrupted holds a thread, and another one takes its place.
const ManyThreads = 5 * 64
