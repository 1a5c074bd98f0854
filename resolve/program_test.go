package resolve

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// writeProgram makes a file that can be run, and returns its path. No process is forked
// meanwhile: the child would hold the file open, and running it would fail (ETXTBSY).
func writeProgram(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
