package mcpserve

import (
	"bytes"
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

// limits bound what one client can make the server hold.
type limits struct {
	line    int           // bytes of one message
	calls   int           // tool calls of a kind (slots) that run at once
	others  int           // other requests that run at once
	pending int64         // messages read and not yet answered
	bytes   int64         // of those
	grace   time.Duration // for running calls after the end of input, and for a client to read what is due to it
	flush   time.Duration // for cancelled calls to be answered
}

var stdioLimits = limits{
	line: 1 << 20,
	// A waiting probe costs a goroutine and a socket or two, no thread.
	calls:   64,
	others:  16,
	pending: 1024,
	bytes:   maxPendingBytes,
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
	pending *semaphore.Weighted
	bytes   *semaphore.Weighted
	version string       // of the protocol, once initialize was answered
	replies chan []byte  // lines to write
	lines   int64        // lines that were written or are being written; of write alone
	writing atomic.Int64 // which of them is being written; 0 is none
	finish  chan struct{}
	written chan struct{} // closed when nothing more is written
	failed  error         // of the output, valid then
}

func (s *Server) serveStdio(ctx context.Context, in io.Reader, out io.Writer, l limits) error {
	c := &connection{
		client:  s.newClient(s.caller, newSlots(l.calls, l.others), &inflight{}),
		limits:  l,
		pending: semaphore.NewWeighted(l.pending),
		bytes:   semaphore.NewWeighted(l.bytes),
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
	if c.pending.Acquire(ctx, c.limits.pending) == nil {
		c.pending.Release(c.limits.pending)
	}
}

// read takes messages from in and has them answered, until in ends or fails or ctx
// ends.
func (c *connection) read(ctx context.Context, in io.Reader) error {
	lines := newLineReader(in, c.limits.line)
	for ctx.Err() == nil {
		text, err := lines.next()
		var tooLong *lineTooLongError
		switch {
		case errors.As(err, &tooLong):
			err = c.answer(ctx, 0, ready(errorReply(tooLong.id, mcp.INVALID_REQUEST, tooLong.Error())))
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read from the client: %w", err)
		case len(bytes.TrimSpace(text)) > 0:
			err = c.accept(ctx, text, time.Now())
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// accept answers one line.
func (c *connection) accept(ctx context.Context, text []byte, received time.Time) error {
	items, isBatch, err := splitBatch(text, c.version)
	m := message{}
	if err == nil && !isBatch {
		m, err = parseMessage(text, received)
	}
	switch {
	case err != nil:
		return c.answer(ctx, 0, ready(m.failure(err)))
	case isBatch:
		return c.answer(ctx, len(text), func() func() any { return c.beginBatch(ctx, items, received) })
	case m.id == nil || m.method == "":
		c.handle(ctx, m)
		return nil
	}
	return c.answer(ctx, m.held(), func() func() any {
		run := c.begin(ctx, m)
		if !m.isUrgent() {
			return func() any { return run() }
		}
		reply := run() // before the next line is read, which may depend on it
		if r, ok := reply.(mcp.JSONRPCResponse); ok {
			if hello, ok := r.Result.(mcp.InitializeResult); ok {
				c.version = hello.ProtocolVersion
			}
		}
		return ready(reply)()
	})
}

// ready is an answer that takes no time.
func ready(reply any) func() func() any {
	return func() func() any { return func() any { return reply } }
}

// answer begins a request of size bytes and has it carried out on a goroutine of its
// own. With too many unanswered requests it waits: the pipe then holds the client
// back.
func (c *connection) answer(ctx context.Context, size int, begin func() func() any) error {
	if err := c.admit(ctx, c.pending, 1); err != nil {
		return err
	}
	if err := c.admit(ctx, c.bytes, int64(size)); err != nil {
		c.pending.Release(1)
		return err
	}
	run := begin()
	go func() {
		defer c.pending.Release(1)
		defer c.bytes.Release(int64(size))
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
func (c *connection) admit(ctx context.Context, room *semaphore.Weighted, n int64) error {
	for {
		line := c.writing.Load()
		wait, cancel := context.WithTimeout(ctx, c.limits.grace)
		err := room.Acquire(wait, n)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case line != 0 && line == c.writing.Load():
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
	for c.failed == nil {
		select {
		case n := <-c.notifications:
			c.writeLine(out, encodeReply(n))
		case line := <-c.replies:
			for len(c.notifications) > 0 {
				c.writeLine(out, encodeReply(<-c.notifications))
			}
			c.writeLine(out, line)
		case <-c.finish:
			return
		}
	}
}

// writeLine writes nothing after a line that has failed, perhaps half-way.
func (c *connection) writeLine(out io.Writer, line []byte) {
	if c.failed != nil {
		return
	}
	c.lines++
	c.writing.Store(c.lines)
	defer c.writing.Store(0)
	if _, err := out.Write(line); err != nil {
		c.failed = fmt.Errorf("write to the client: %w", err)
	}
}
