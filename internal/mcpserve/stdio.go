package mcpserve

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
	"golang.org/x/sync/semaphore"
)

// limits bound what the clients of a transport can make the server hold.
type limits struct {
	size   int64         // bytes of one message
	calls  int64         // tool calls of a kind (slots) that run at once
	others int64         // other requests that run at once
	bytes  int64         // of messages read and not yet answered, each at least minHeld
	grace  time.Duration // for running calls after the end of input, and for a client to read what is due to it
	flush  time.Duration // for cancelled calls to be answered
}

var stdioLimits = limits{
	size: 1 << 20,
	// A waiting probe costs a goroutine and a socket or two, no thread.
	calls:  64,
	others: 16,
	bytes:  maxPendingBytes,
	// Longer than the default deadline of a call (10 s): a script that writes
	// its calls and closes the pipe gets every answer.
	grace: 12 * time.Second,
	flush: time.Second,
}

// ServeStdio serves one client over a pair of streams, one JSON-RPC message a
// line, until in ends, out fails, or ctx is cancelled.
//
// At the end of in, running calls get time to finish before they are
// cancelled. When ctx is cancelled they are cancelled at once. Both end
// without an error; a stream that fails is one.
//
// A read of in cannot be interrupted, nor can a write to out: after ServeStdio
// has returned, a goroutine stays in each until the stream yields or is closed.
func (s *Server) ServeStdio(ctx context.Context, in io.Reader, out io.Writer) error {
	return s.serveStdio(ctx, in, out, stdioLimits)
}

// connection is the state of one ServeStdio.
type connection struct {
	*client
	limits  limits
	pending *semaphore.Weighted // bytes of messages
	version string              // of the protocol, once initialize was answered
	replies chan []byte         // lines to write
	writes  atomic.Int64        // counts the beginning and the end of each: odd while one lasts
	finish  chan struct{}
	written chan struct{} // closed when nothing more is written
	failed  error         // of the output, valid then
}

func (s *Server) serveStdio(ctx context.Context, in io.Reader, out io.Writer, l limits) error {
	c := &connection{
		client:  s.newClient(s.caller, newSlots(l.calls, l.others), &inflight{}),
		limits:  l,
		pending: semaphore.NewWeighted(l.bytes),
		replies: make(chan []byte),
		finish:  make(chan struct{}),
		written: make(chan struct{}),
	}
	c.session = "stdio"
	running, cancelAll := context.WithCancel(s.mcp.WithContext(ctx, c.client))
	defer cancelAll()
	go func() {
		defer cancelAll()
		c.write(out)
	}()
	ended := make(chan error, 1)
	go func() { ended <- c.read(running, in) }()
	var readErr error
	select {
	case readErr = <-ended:
		if readErr == nil {
			c.drain(running, l.grace)
		}
	case <-running.Done():
	}
	cancelAll()
	c.drain(context.WithoutCancel(ctx), l.flush)
	close(c.finish)
	select {
	case <-c.written:
		return errors.Join(readErr, c.failed)
	case <-time.After(l.flush): // the client does not read
		return readErr
	}
}

// drain returns when no message is left unanswered, or after limit, or when ctx
// ends. Where it has taken all places, no message is taken in any more.
func (c *connection) drain(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if c.pending.Acquire(ctx, c.limits.bytes) == nil {
		c.pending.Release(c.limits.bytes)
	}
}

// read takes messages from in and has them answered, until in ends or fails or ctx
// ends.
func (c *connection) read(ctx context.Context, in io.Reader) error {
	lines := newLineReader(in, int(c.limits.size))
	for ctx.Err() == nil {
		text, err := lines.next()
		var tooLong *lineTooLongError
		switch {
		case errors.As(err, &tooLong):
			err = c.accept(ctx, input{messages: []message{{id: tooLong.id, fault: &fault{mcp.INVALID_REQUEST, tooLong.Error()}}}})
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read from the client: %w", err)
		case len(bytes.TrimSpace(text)) > 0:
			err = c.accept(ctx, parse(text, c.version, time.Now()))
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// accept begins what a line asks for and has it carried out on a goroutine of its own.
// With too many unanswered requests it waits: the pipe then holds the client back.
func (c *connection) accept(ctx context.Context, in input) error {
	if !in.isRequest() {
		c.begin(ctx, in)()
		return nil
	}
	size := in.held()
	if err := c.admit(ctx, size); err != nil {
		return err
	}
	run := c.begin(ctx, in)
	if in.single().isUrgent() {
		reply := run() // before the next line is read, which may depend on it
		c.version = cmp.Or(negotiated(reply), c.version)
		run = func() any { return reply }
	}
	go func() {
		defer c.pending.Release(size)
		c.send(run())
	}()
	// The request begins on this thread, and no other one has to be woken for it: that
	// would take as long as a fifth of a short call.
	runtime.Gosched()
	return nil
}

// errUnread ends a client that could wait for ever, as would the server for it: the
// end of its input is not seen while there is no room to read on.
var errUnread = errors.New("the client sends more requests and does not read the answers")

// admit waits for room, unless the client is the one who waits: there is none before
// it reads what is being written.
func (c *connection) admit(ctx context.Context, n int64) error {
	for {
		before := c.writes.Load()
		wait, cancel := context.WithTimeout(ctx, c.limits.grace)
		err := c.pending.Acquire(wait, n)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case before%2 == 1 && before == c.writes.Load():
			return errUnread
		}
	}
}

// send hands a reply to write. While the client does not read it blocks, until
// nothing is written any more; the reply is lost then.
func (c *connection) send(reply any) {
	if reply == nil {
		return
	}
	select {
	case c.replies <- encodeReply(reply):
	case <-c.written:
	}
}

// write writes replies and notifications, one a line, until finish is closed or the
// stream fails. A handler queues its notifications before it returns its result, so
// they are there when the reply is, and go before it.
func (c *connection) write(out io.Writer) {
	defer close(c.written)
	for {
		var lines []byte
		select {
		case n := <-c.notifications:
			lines = encodeReply(n)
		case reply := <-c.replies:
			for len(c.notifications) > 0 {
				lines = append(lines, encodeReply(<-c.notifications)...)
			}
			lines = append(lines, reply...)
		case <-c.finish:
			return
		}
		c.writes.Add(1)
		_, err := out.Write(lines)
		c.writes.Add(1)
		if err != nil {
			c.failed = fmt.Errorf("write to the client: %w", err)
			return
		}
	}
}
