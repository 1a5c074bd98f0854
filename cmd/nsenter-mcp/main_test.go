package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

// asProgram makes the test binary behave as nsenter-mcp.
const asProgram = "NSENTER_MCP_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	lab.TestMain(m)
}

// program is the program as a process of its own, which does not outlive the
// test by more than the patience of the test.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// testTimeout is how long a test waits for what must happen.
const testTimeout = 30 * time.Second

// result is what a command line did.
type result struct {
	code     int
	out, err string
}

// runHere carries out a command line in this process.
func runHere(in string, args ...string) result {
	var out, errOut bytes.Buffer
	code := run(args, strings.NewReader(in), &out, &errOut)
	return result{code, out.String(), errOut.String()}
}

func decode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}
