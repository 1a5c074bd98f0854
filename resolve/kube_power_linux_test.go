package resolve

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

// Capabilities are given up by one thread, and by it for ever.
func TestAsUser(t *testing.T) {
	t.Parallel()
	path := writeFile(t, "theirs", "text")
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Skip(err)
	}
	if _, _, err := readBounded(path); err != nil {
		t.Skipf("root cannot read every file here: %v", err)
	}
	for range 100 {
		if err := asUser(func() error { _, _, err := readBounded(path); return err }); !errors.Is(err, fs.ErrPermission) {
			t.Fatalf("got %v without capabilities", err)
		}
		if _, _, err := readBounded(path); err != nil {
			t.Fatalf("with them: %v", err)
		}
	}
}
