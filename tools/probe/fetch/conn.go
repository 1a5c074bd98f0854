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

const (
	// maxHeard is how much of an answer is kept until its header has come: enough
	// for the frames by which an HTTP/2 server refuses.
	maxHeard = 16 << 10
	// maxFirstBytes is how much of it is shown.
	maxFirstBytes = 64
)

// recorder is a connection that remembers how an answer began, how much came,
// and how the kernel saw the connection when it was closed. Reads may come from
// another goroutine than the questions.
type recorder struct {
	net.Conn

	mu       sync.Mutex
	first    []byte
	received int64
	end      error           // of the last read, nil while there is more; the parser of HTTP may hide it
	answered bool            // there is nothing to be heard at the end
	below    *recorder       // of the connection that TLS runs on, nil for itself
	state    *fact.ConnState // at the time of closing
	closed   bool
	rest     []byte // what had arrived and was not read when it was closed
	// asked is closed with the first byte of a request, or the connection; nil where
	// reading waits for neither. Package net/http logs what a server says unasked.
	asked chan struct{}
	once  sync.Once
}

func (r *recorder) wake() {
	r.once.Do(func() {
		if r.asked != nil {
			close(r.asked)
		}
	})
}

func (r *recorder) Write(p []byte) (int, error) {
	defer r.wake()
	return r.Conn.Write(p)
}

func (r *recorder) Read(p []byte) (int, error) {
	if r.asked != nil {
		<-r.asked
	}
	n, err := r.Conn.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n == 0 && r.closed && len(r.rest) > 0 {
		n, err = copy(p, r.rest), nil
		r.rest = r.rest[n:]
		return n, err
	}
	r.remember(p[:n], err)
	return n, err
}

func (r *recorder) remember(p []byte, err error) {
	if room := maxHeard - len(r.first); room > 0 && !r.answered {
		r.first = append(r.first, p[:min(len(p), room)]...)
	}
	r.received += int64(len(p))
	if err != nil && r.end == nil && !isTimeout(err) && !errors.Is(err, net.ErrClosed) {
		r.end = err
	}
}

// lastWords is how long a connection that is being closed is listened to. What
// is heard so is there already.
const lastWords = time.Millisecond

// Close first asks the kernel how the connection stands, and listens: after it
// nobody knows. Whoever writes to a connection that the other side has closed
// is told of that sooner than of what the other side said.
func (r *recorder) Close() error {
	defer r.wake()
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return r.Conn.Close()
	}
	r.closed = true
	answered := r.answered
	r.mu.Unlock()
	r.freeze()
	if !answered {
		r.listen()
	}
	return r.Conn.Close()
}

// freeze keeps the state of the connection as it is now: closing TLS sends one more
// record.
func (r *recorder) freeze() {
	if r.below != nil {
		r.below.freeze()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == nil {
		r.state = attempt.State(r.Conn)
	}
}

func (r *recorder) listen() {
	if err := r.SetReadDeadline(time.Now().Add(lastWords)); err != nil {
		return
	}
	rest := make([]byte, 4<<10)
	n, err := r.Conn.Read(rest) // no more than what is there is wanted
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = rest[:n]
	r.remember(r.rest, err)
}

// hush says that nothing more is to be heard, for the answer has come.
func (r *recorder) hush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answered = true
}

// kernelState is the state of the connection now, or as it was kept.
func (r *recorder) kernelState() *fact.ConnState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != nil || r.closed {
		return r.state
	}
	return attempt.State(r.Conn)
}

// begin forgets what came so far: a new protocol starts.
func (r *recorder) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.first, r.received, r.end = nil, 0, nil
}

func (r *recorder) beginning() (first []byte, received int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.first), r.received
}

// ended is why reading from the connection ended, nil while it has not.
func (r *recorder) ended() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}
