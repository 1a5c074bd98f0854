package forward

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// A process that reads nothing holds nobody up for long, and nothing follows a message
// that went half-way.
func TestInputOfAProcessThatDoesNotRead(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	in := &inputWriter{to: w}
	if _, err := in.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if _, err := in.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after a failure: %v", err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var e tail
	for _, part := range []string{"begin", strings.Repeat("y", maxSaid), "", strings.Repeat("z", 10), " end\n"} {
		if n, err := e.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	got := e.String()
	if len(got) > maxSaid || !strings.HasSuffix(got, "yzzzzzzzzzz end") || strings.Contains(got, "begin") {
		t.Errorf("%d bytes, %.20s...%s", len(got), got, got[len(got)-20:])
	}
}
