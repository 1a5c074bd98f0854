package forward

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds of what one process can make us hold.
const (
	// maxLine is for one message from the server. An answer has at most 256 kB of
	// data (dispatch.DefaultMaxBytes), twice, of which one is escaped once more.
	maxLine = 8 << 20
	// maxSaid is how much is kept of what it said on standard error.
	maxSaid = 4 << 10
	// maxStray is for what it writes to standard output besides messages, before
	// the server says its first word: a login shell's greeting, or something that
	// is no server at all.
	maxStray = 64 << 10
)

// outputReader is the output of a process as its client reads it: bounded, and closed
// towards the client where it makes no sense any more.
type outputReader struct {
	from *os.File
	// heard is when something was last read, in nanoseconds of the wall clock.
	heard atomic.Int64
	// ended is closed when nothing more comes.
	ended chan struct{}

	// What follows belongs to whoever reads.
	line    int  // bytes of the current line so far
	message bool // it begins like a message
	greeted bool // a message has come

	mu    sync.Mutex
	stray []byte // the first bytes of lines that are no messages
	lost  int    // how many bytes such lines have had
	err   error  // why it was given up; nil where the process closed it
}

func newOutputReader(from *os.File) *outputReader {
	return &outputReader{from: from, ended: make(chan struct{})}
}

// Read implements io.Reader. Whatever ends the stream is io.EOF to the client;
// failure tells what it was.
func (r *outputReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if n > 0 {
		r.heard.Store(time.Now().UnixNano())
		if bad := r.count(p[:n]); bad != nil {
			err = bad
		}
	}
	if err == nil {
		return n, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !over(r.ended) {
		if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
			r.err = err
		}
		close(r.ended)
	}
	return n, io.EOF
}

// count counts lines and bytes against the bounds.
func (r *outputReader) count(p []byte) error {
	for len(p) > 0 {
		part, rest, whole := bytes.Cut(p, []byte{'\n'})
		if r.line == 0 && len(part) > 0 {
			r.message = part[0] == '{'
			r.greeted = r.greeted || r.message
		}
		r.line += len(part)
		if !r.message {
			r.keep(part, whole)
			if r.lost > maxStray && !r.greeted {
				return fmt.Errorf("it wrote more than %d bytes that are no message", maxStray)
			}
		}
		if r.line > maxLine {
			return fmt.Errorf("it wrote a message of more than %d bytes", maxLine)
		}
		if whole {
			r.line = 0
		}
		p = rest
	}
	return nil
}

func (r *outputReader) keep(part []byte, whole bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost += len(part)
	r.stray = append(r.stray, part[:min(len(part), max(0, maxSaid-len(r.stray)))]...)
	if whole && len(r.stray) > 0 && len(r.stray) < maxSaid {
		r.stray = append(r.stray, '\n')
	}
}

// failure is why the stream was given up, and what stood there besides messages.
func (r *outputReader) failure() (stray string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return string(bytes.TrimSpace(r.stray)), r.err
}

// inputWriter is the input of a process. A write waits for at most writeTimeout: a
// process that reads nothing must not hold up its callers. (Pipes of Windows have no
// deadlines.) A write that failed may have failed half-way, so it ends the stream.
type inputWriter struct {
	to     *os.File
	closed atomic.Bool // by the process, as a write has shown
}

const writeTimeout = time.Second

// Write implements io.Writer.
func (w *inputWriter) Write(p []byte) (int, error) {
	_ = w.to.SetWriteDeadline(time.Now().Add(writeTimeout))
	n, err := w.to.Write(p)
	if err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, os.ErrClosed) {
			w.closed.Store(true)
		}
		_ = w.to.Close()
	}
	return n, err
}

// Close implements io.Closer.
func (w *inputWriter) Close() error { return w.to.Close() }

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

// Write implements io.Writer; it never fails.
func (e *tail) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kept = append(e.kept, p[max(0, len(p)-maxSaid):]...)
	if extra := len(e.kept) - maxSaid; extra > 0 {
		e.kept = append(e.kept[:0], e.kept[extra:]...)
	}
	return len(p), nil
}

func (e *tail) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return string(bytes.TrimSpace(e.kept))
}
