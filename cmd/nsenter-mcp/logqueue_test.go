package main

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// gate is a writer that blocks until it is opened.
type gate struct {
	began, open chan struct{} // began gets one token when the first write begins
	text        strings.Builder
}

func (g *gate) Write(p []byte) (int, error) {
	select {
	case g.began <- struct{}{}:
	default:
	}
	<-g.open
	return g.text.Write(p)
}

func TestLogQueueNeverWaits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ head, dropped string }{
		"text": {"level=INFO", `level=WARN msg="log lines were dropped, as nobody read them" dropped=%d`},
		"json": {`{"level":"INFO"}`, `{"level":"WARN","msg":"log lines were dropped, as nobody read them","dropped":%d}`},
	} {
		g := &gate{began: make(chan struct{}, 1), open: make(chan struct{})}
		line := func(i int) string { return fmt.Sprintf("%s line %04d\n", test.head, i) }
		q := newLogQueue(g, 10*len(line(0)))
		write := func(i int) {
			if n, err := io.WriteString(q, line(i)); n != len(line(i)) || err != nil {
				t.Errorf("%s: %d, %v", name, n, err)
			}
		}
		write(0)
		<-g.began // the first is being written, and there is room for 10 more
		for i := range 500 {
			write(i + 1)
		}
		_, _ = io.WriteString(q, test.head[:1]) // short enough, but later than what was dropped
		close(g.open)
		q.close(testTimeout)
		var want strings.Builder
		for i := range 11 {
			want.WriteString(line(i))
		}
		fmt.Fprintf(&want, test.dropped+"\n", 491)
		if got := g.text.String(); got != want.String() {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want.String())
		}
	}
}

func TestLogQueueGoesOnAfterDropping(t *testing.T) {
	t.Parallel()
	g := &gate{began: make(chan struct{}, 1), open: make(chan struct{})}
	q := newLogQueue(g, 4)
	_, _ = io.WriteString(q, "a\n")
	<-g.began
	_, _ = io.WriteString(q, "too long\n")
	g.open <- struct{}{} // a is written
	<-g.began            // and now what was dropped
	_, _ = io.WriteString(q, "b\n")
	close(g.open)
	q.close(testTimeout)
	want := "a\nlevel=WARN msg=\"log lines were dropped, as nobody read them\" dropped=1\nb\n"
	if got := g.text.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
