package mcpserve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
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
	grace   time.Duration // for running calls after the end of input
	flush   time.Duration // for cancelled calls to be answered
}

var stdioLimits = limits{
	line: 1 << 20,
	// A waiting probe costs a goroutine and a socket or two, no thread.
	calls:   64,
	others:  16,
	pending: 1024,
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
	version string      // of the protocol, once initialize was answered
	replies chan []byte // lines to write
	finish  chan struct{}
	written chan struct{} // closed when nothing more is written
	failed  error         // of the output, valid then
}

func (s *Server) serveStdio(ctx context.Context, in io.Reader, out io.Writer, l limits) error {
	c := &connection{
		client:  s.newClient(s.caller, newSlots(l.calls, l.others), &inflight{}),
		limits:  l,
		pending: semaphore.NewWeighted(l.pending),
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
			c.send(errorReply(tooLong.id, mcp.INVALID_REQUEST, tooLong.Error()))
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read from the client: %w", err)
		case len(bytes.TrimSpace(text)) > 0:
			c.accept(ctx, text, time.Now())
		}
	}
	return nil
}

// accept answers what takes no time at once, and everything else on a goroutine of its
// own. With too many unanswered messages it waits: the pipe then holds the client
// back.
func (c *connection) accept(ctx context.Context, text []byte, received time.Time) {
	items, isBatch, err := splitBatch(text, c.version)
	m := message{}
	if err == nil && !isBatch {
		m, err = parseMessage(text, received)
	}
	switch {
	case err != nil:
		c.send(m.failure(err))
		return
	case !isBatch && (m.id == nil || m.method == "" || m.isUrgent()):
		c.handleNow(ctx, m)
		return
	case c.pending.Acquire(ctx, 1) != nil:
		return
	}
	var run func() any
	if isBatch {
		run = c.beginBatch(ctx, items, received)
	} else {
		one := c.begin(ctx, m)
		run = func() any { return one() }
	}
	go func() {
		defer c.pending.Release(1)
		c.send(run())
	}()
	// The request begins on this thread, and no other one has to be woken for it: that
	// would take as long as a fifth of a short call.
	runtime.Gosched()
}

func (c *connection) handleNow(ctx context.Context, m message) {
	reply := c.handle(ctx, m)
	if r, ok := reply.(mcp.JSONRPCResponse); ok {
		if hello, ok := r.Result.(mcp.InitializeResult); ok {
			c.version = hello.ProtocolVersion
		}
	}
	c.send(reply)
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
	if _, err := out.Write(line); err != nil {
		c.failed = fmt.Errorf("write to the client: %w", err)
	}
}
