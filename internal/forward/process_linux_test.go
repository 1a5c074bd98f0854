package forward

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whichever pipe shows it first, a process that has closed one is said to have done so.
func TestClosedPipeIsSaid(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		shows func(*process) error
	}{
		{"close-input", func(p *process) error { _, err := p.in.Write([]byte("x")); return err }},
		{"close-output", func(p *process) error { _, err := p.out.Read(make([]byte, 1)); return err }},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			b := &bench{t: t, dir: t.TempDir()}
			p, err := launch(t.Context(), []string{self, c.what, b.dir, "a"}, patience)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { p.end(time.Millisecond) })
			await(t, "it has closed the pipe", func() bool { return len(b.notes("closed")) > 0 })
			if p.gone() || ending(p) != "" {
				t.Errorf("%q before anything shows it", ending(p))
			}
			err = c.shows(p)
			if err == nil || !p.gone() || !strings.HasSuffix(ending(p), " closed the connection") {
				t.Errorf("%v, gone %v, %q", err, p.gone(), ending(p))
			}
			e := explainNoServer(nil, "a", p, ending(p), syscall.EPIPE)
			if !strings.Contains(e.Message, "closed the connection before the server answered") || !errors.Is(e, syscall.EPIPE) {
				t.Errorf("%q", e.Message)
			}
		})
	}
}
