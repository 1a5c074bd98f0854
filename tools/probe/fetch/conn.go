package fetch

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/attempt"
)

// maxFirstBytes is how much of an answer is kept that turns out not to be what
// was expected.
const maxFirstBytes = 64

// recorder is a connection that remembers how an answer began, how much came,
// and how the kernel saw the connection when it was closed. Reads may come from
// another goroutine than the questions.
type recorder struct {
	net.Conn

	mu       sync.Mutex
	first    []byte
	received int64
	reset    bool            // a read ended so; the parser of HTTP may hide it
	answered bool            // there is nothing to be heard at the end
	state    *fact.ConnState // at the time of closing
	closed   bool
	rest     []byte // what had arrived and was not read when it was closed
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n == 0 && r.closed && len(r.rest) > 0 {
		n, err = copy(p, r.rest), nil
		r.rest = r.rest[n:]
		return n, err
	}
	r.remember(p[:n])
	r.reset = r.reset || err != nil && isReset(err)
	return n, err
}

func (r *recorder) remember(p []byte) {
	if room := maxFirstBytes - len(r.first); room > 0 {
		r.first = append(r.first, p[:min(len(p), room)]...)
	}
	r.received += int64(len(p))
}

// lastWords is how long a connection that is being closed is listened to. What
// is heard so is there already.
const lastWords = time.Millisecond

// Close first asks the kernel how the connection stands, and listens: after it
// nobody knows. Whoever writes to a connection that the other side has closed
// is told of that sooner than of what the other side said.
func (r *recorder) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return r.Conn.Close()
	}
	r.closed = true
	r.state = stateOf(r.Conn)
	answered := r.answered
	r.mu.Unlock()
	if !answered {
		r.listen()
	}
	return r.Conn.Close()
}

func (r *recorder) listen() {
	if err := r.SetReadDeadline(time.Now().Add(lastWords)); err != nil {
		return
	}
	rest := make([]byte, 4<<10)
	n, _ := r.Conn.Read(rest) // no more than what is there is wanted
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = rest[:n]
	r.remember(r.rest)
}

// hush says that the answer has come.
func (r *recorder) hush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered = true
}

// stateOf looks below a connection that another recorder wraps.
func stateOf(conn net.Conn) *fact.ConnState {
	if inner, ok := conn.(*recorder); ok {
		return inner.kernelState()
	}
	return attempt.State(conn)
}

func (r *recorder) kernelState() *fact.ConnState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return r.state
	}
	return stateOf(r.Conn)
}

// begin forgets what came so far: a new protocol starts.
func (r *recorder) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.first, r.received, r.reset = nil, 0, false
}

func (r *recorder) beginning() (first []byte, received int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.first), r.received
}

func (r *recorder) wasReset() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reset
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}
