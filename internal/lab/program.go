package lab

import (
	"os"
	"os/exec"
)

// Program returns the path of an installed program that a test compares with.
// Without the program the test is skipped; with CI=true in the environment, where
// all of them are installed, it fails.
func Program(tb interface {
	TB
	Skipf(format string, args ...any)
}, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") == "true" {
		tb.Fatalf("%s is not installed", name)
	}
	if err != nil {
		tb.Skipf("%s is not installed", name)
	}
	return path
}
