package mcpserve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// limits bound what one client can make the server hold.
type limits struct {
	line    int           // bytes of one message
	calls   int           // tool calls that run at once
	others  int           // other requests that run at once
	pending int           // requests read and not yet answered
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
// A read of in cannot be interrupted: after ctx was cancelled, one goroutine
// stays in it until in yields or is closed.
func (s *Server) ServeStdio(ctx context.Context, in io.Reader, out io.Writer) error {
	return s.serveStdio(ctx, in, out, stdioLimits)
}

func (s *Server) serveStdio(ctx context.Context, in io.Reader, out io.Writer, l limits) error {
	client := newSession()
	running, cancelAll := context.WithCancel(s.mcp.WithContext(context.WithoutCancel(ctx), client))
	defer cancelAll()
	c := &connection{
		server:   s,
		limits:   l,
		stopped:  ctx.Done(),
		out:      newOutput(out, client.notifications),
		lanes:    newLanes(l.calls, l.others),
		pending:  make(chan struct{}, l.pending),
		requests: newCrew(),
	}
	stop := make(chan struct{})
	go c.out.run(stop)

	ended := make(chan error, 1)
	go func() { ended <- c.read(running, in) }()
	var readErr error
	select {
	case readErr = <-ended:
		if readErr == nil {
			c.wait(l.grace, c.stopped)
		}
	case <-c.stopped:
	case <-c.out.done:
	}
	c.requests.close()
	cancelAll()
	c.wait(l.flush, nil)
	close(stop)
	select {
	case <-c.out.done:
	case <-time.After(l.flush): // the client does not read
	}
	select {
	case <-c.out.done:
		return errors.Join(readErr, c.out.err)
	default:
		return readErr
	}
}

// read takes messages from in until it ends. ctx is that of the requests. What
// comes after the connection has been stopped is not answered any more.
func (c *connection) read(ctx context.Context, in io.Reader) error {
	r := newLineReader(in, c.limits.line)
	for {
		text, err := r.next()
		var tooLong *lineTooLongError
		switch {
		case errors.As(err, &tooLong):
			c.sendNow(errorReply(tooLong.id, mcp.INVALID_REQUEST, tooLong.Error()))
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read from the client: %w", err)
		default:
			c.accept(ctx, text, time.Now())
		}
		select {
		case <-c.stopped:
			return nil
		case <-c.out.done:
			return nil
		default:
		}
	}
}

// wait returns when no request is left, or after limit, or when stopped is
// closed or the output has ended.
func (c *connection) wait(limit time.Duration, stopped <-chan struct{}) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.requests.idle():
	case <-timer.C:
	case <-stopped:
	case <-c.out.done:
	}
}
