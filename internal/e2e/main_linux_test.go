//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

func TestMain(m *testing.M) {
	lab.TestMain(runner{m})
}

// runner runs the tests once the process is isolated.
type runner struct{ *testing.M }

func (r runner) Run() int {
	if os.Getuid() != 0 {
		fmt.Fprintln(os.Stderr, "e2e: a Docker engine and sshd need root; run make e2e, which asks sudo")
		return 1
	}
	if _, err := os.Stat(program()); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v; run make e2e, which builds it\n", err)
		return 1
	}
	if err := privateEtc(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	code := r.M.Run()
	table.print()
	return code
}

// program is the executable under test.
func program() string {
	if path := os.Getenv("NSENTER_MCP"); path != "" {
		return path
	}
	path, err := filepath.Abs("../../bin/nsenter-mcp")
	if err != nil {
		panic(err)
	}
	return path
}

// privateEtc lays a copy over /etc in this mount namespace, so that accounts
// and rules made by a test are not the machine's.
func privateEtc() error {
	copied, err := os.MkdirTemp("", "e2e-etc-")
	if err != nil {
		return err
	}
	// Files stay in the tmpfs when the folder's name goes: nothing to clean up.
	if err := unix.Mount("tmpfs", copied, "tmpfs", 0, "mode=0755,size=256m"); err != nil {
		return fmt.Errorf("mount a file system for /etc: %w", err)
	}
	if err := os.CopyFS(copied, os.DirFS("/etc")); err != nil {
		return fmt.Errorf("copy /etc: %w", err)
	}
	if err := unix.Mount(copied, "/etc", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("lay the copy over /etc: %w", err)
	}
	return os.Remove(copied)
}
