package gather

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
)

// An environment that is longer than what is read of it is said to be cut, and half a
// variable is none.
func TestEnvironmentCut(t *testing.T) {
	t.Parallel()
	home, err := nsexec.NewHome()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = home.Close() })
	for name, test := range map[string]struct {
		variables int
		cut       bool
	}{"short": {1, false}, "long": {12, true}} {
		cmd := exec.Command("sleep", "600")
		for i := range test.variables {
			cmd.Env = append(cmd.Env, fmt.Sprintf("A%02d=", i)+strings.Repeat("x", 100<<10))
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
		process, err := home.OpenProcess("/proc", cmd.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = process.Close() })
		// The start of a process returns as its files are closed, a moment before the
		// kernel has set up its environment (begin_new_exec and create_elf_tables).
		for begun, err := []byte(nil), error(nil); len(begun) == 0; {
			if begun, err = process.ReadFile(t.Context(), "environ", 1); err != nil {
				t.Fatal(err)
			}
		}
		environ, cut := applicationEnviron(t.Context(), &resolve.Target{App: process})
		if cut != test.cut || !bytes.HasSuffix(environ, []byte("x\x00")) || len(environ)%(100<<10+5) != 0 {
			t.Errorf("%s: cut %v, %d bytes", name, cut, len(environ))
		}
	}
}
