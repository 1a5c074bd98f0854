package lab

import (
	"os"
	"os/exec"
	"regexp"
)

// aloneVar names the test for which a process was started.
const aloneVar = "LAB_TEST_ALONE"

// Alone runs a test in a process of its own and reports whether this is that process;
// elsewhere the test returns. It is for what counts threads: Go keeps those that other
// tests have needed.
func Alone(tb interface {
	TB
	Name() string
	Logf(format string, args ...any)
}) bool {
	tb.Helper()
	if os.Getenv(aloneVar) == tb.Name() {
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+regexp.QuoteMeta(tb.Name())+"$", "-test.v", "-test.count=1")
	cmd.Env = append(os.Environ(), aloneVar+"="+tb.Name())
	out, err := cmd.CombinedOutput()
	tb.Logf("%s", out)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return false
}
