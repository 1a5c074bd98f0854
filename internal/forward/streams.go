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
	// data (tools.DefaultMaxBytes), twice, of which one is escaped once more.
	maxLine = 8 << 20
	// maxUnsent is for messages that the process has not read yet.
	maxUnsent = 8 << 20
	// maxSaid is how much is kept of what it said on standard error.
	maxSaid = 4 << 10
	// maxStray is for what it writes to standard output besides messages, before
	// the server says its first word: a login shell's greeting, or something that
	// is no server at all.
	maxStray = 64 << 10
)

// intake is the output of a process as its client reads it: bounded, and closed
// towards the client where it makes no sense any more.
type intake struct {
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

func newIntake(from *os.File) *intake {
	return &intake{from: from, ended: make(chan struct{})}
}

// Read implements io.Reader. Whatever ends the stream is io.EOF to the client;
// failure tells what it was.
func (i *intake) Read(p []byte) (int, error) {
	n, err := i.from.Read(p)
	if n > 0 {
		i.heard.Store(time.Now().UnixNano())
		if bad := i.look(p[:n]); bad != nil {
			err = bad
		}
	}
	if err == nil {
		return n, nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	select {
	case <-i.ended:
	default:
		if !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrClosed) {
			i.err = err
		}
		close(i.ended)
	}
	return n, io.EOF
}

// look counts.
func (i *intake) look(p []byte) error {
	for len(p) > 0 {
		part, rest, whole := bytes.Cut(p, []byte{'\n'})
		if i.line == 0 && len(part) > 0 {
			i.message = part[0] == '{'
			i.greeted = i.greeted || i.message
		}
		i.line += len(part)
		if !i.message {
			i.keep(part, whole)
			if i.lost > maxStray && !i.greeted {
				return fmt.Errorf("it wrote more than %d bytes that are no message", maxStray)
			}
		}
		if i.line > maxLine {
			return fmt.Errorf("it wrote a message of more than %d bytes", maxLine)
		}
		if whole {
			i.line = 0
		}
		p = rest
	}
	return nil
}

func (i *intake) keep(part []byte, whole bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lost += len(part)
	i.stray = append(i.stray, part[:min(len(part), max(0, maxSaid-len(i.stray)))]...)
	if whole && len(i.stray) > 0 && len(i.stray) < maxSaid {
		i.stray = append(i.stray, '\n')
	}
}

// failure is why the stream was given up, and what stood there besides messages.
func (i *intake) failure() (stray string, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return string(bytes.TrimSpace(i.stray)), i.err
}

// outbox is the input of a process. A write never waits: one goroutine (run)
// carries the messages over.
type outbox struct {
	to   *os.File
	wake chan struct{} // holds one signal

	mu     sync.Mutex
	unsent []byte
	closed bool
}

func newOutbox(to *os.File) *outbox { return &outbox{to: to, wake: make(chan struct{}, 1)} }

// errBacklog: the process does not read.
var errBacklog = errors.New("the server does not take what it is sent")

// Write implements io.Writer.
func (o *outbox) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.closed:
		return 0, os.ErrClosed
	case len(o.unsent)+len(p) > maxUnsent:
		return 0, errBacklog
	}
	o.unsent = append(o.unsent, p...)
	o.signal()
	return len(p), nil
}

// Close lets what was written go out, and ends the stream then.
func (o *outbox) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.signal()
	return nil
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run writes until the box is closed or the process reads no more, and closes the
// stream.
func (o *outbox) run() {
	defer func() { _ = o.to.Close() }()
	for range o.wake {
		for {
			o.mu.Lock()
			batch, closed := o.unsent, o.closed
			o.unsent = nil
			o.mu.Unlock()
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
			if _, err := o.to.Write(batch); err != nil {
				_ = o.Close()
				return
			}
		}
	}
}

// ending keeps the end of what is written to it.
type ending struct {
	mu   sync.Mutex
	kept []byte
}

// Write implements io.Writer; it never fails.
func (e *ending) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kept = append(e.kept, p[max(0, len(p)-maxSaid):]...)
	if extra := len(e.kept) - maxSaid; extra > 0 {
		e.kept = append(e.kept[:0], e.kept[extra:]...)
	}
	return len(p), nil
}

func (e *ending) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return string(bytes.TrimSpace(e.kept))
}
