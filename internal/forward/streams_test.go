package forward

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

// A process that reads nothing holds nobody up, and not without end.
func TestOutboxNeverWaits(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o := newOutbox(w)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		o.run()
	}()
	sent := 0
	for {
		n, err := o.Write([]byte(strings.Repeat("x", 1<<16)))
		sent += n
		if err != nil {
			if !errors.Is(err, errBacklog) || sent < maxUnsent || sent > 2*maxUnsent+1<<20 {
				t.Errorf("after %d bytes: %v", sent, err)
			}
			break
		}
	}
	_ = o.Close()
	if _, err := o.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after close: %v", err)
	}
	if got, err := io.Copy(io.Discard, r); err != nil || got != int64(sent) {
		t.Errorf("%d of %d bytes arrived: %v", got, sent, err)
	}
	<-stopped
}

func TestOutboxOfAProcessThatHasEnded(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	o := newOutbox(w)
	stopped := make(chan struct{})
	go func() { defer close(stopped); o.run() }()
	// A process that another test starts at this moment holds the end that was
	// closed until it executes its program, and a first write may go through.
	for err == nil {
		_, err = o.Write([]byte("x"))
	}
	<-stopped
	if _, err := o.Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

func TestEndingKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var e ending
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
