package resolve

import (
	"os"
	"strings"
	"testing"
)

func TestWhoMayUse(t *testing.T) {
	t.Parallel()
	_, path := listen(t)
	for mode, want := range map[os.FileMode]string{0o660: "and group ", 0o600: " alone may"} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if got := whoMayUse(path); !strings.Contains(got, want) || !strings.Contains(got, "root") {
			t.Errorf("%o: got %q, want %q", mode, got, want)
		}
	}
	if got := whoMayUse(path + ".none"); got != "" {
		t.Errorf("got %q of nothing", got)
	}
}
