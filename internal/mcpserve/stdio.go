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
	calls   int           // tool calls of a kind (lanes) that run at once
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
		server:  s,
		limits:  l,
		stopped: ctx.Done(),
		out:     newOutput(out, client.notifications),
		lanes:   newLanes(l.calls, l.others),
		pending: make(chan struct{}, l.pending),
	}
	stop := make(chan struct{})
	go c.out.run(stop)

	ended := make(chan error, 1)
	lines := newLineReader(in, l.line)
	requests := startCrew(func() (func(), bool) {
		job, err := c.next(running, lines)
		if job == nil {
			ended <- err
		}
		return job, job != nil
	})
	var readErr error
	select {
	case readErr = <-ended:
		if readErr == nil {
			c.wait(requests, l.grace, c.stopped)
		}
	case <-c.stopped:
	case <-c.out.done:
	}
	requests.close()
	cancelAll()
	c.wait(requests, l.flush, nil)
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

// next takes messages from in until one is a request that may take time, and
// returns what answers it; nil when in has ended or failed, or the connection has
// been stopped. ctx is that of the requests.
func (c *connection) next(ctx context.Context, in *lineReader) (job func(), err error) {
	for {
		text, err := in.next()
		var tooLong *lineTooLongError
		switch {
		case errors.As(err, &tooLong):
			c.sendNow(errorReply(tooLong.id, mcp.INVALID_REQUEST, tooLong.Error()))
		case errors.Is(err, io.EOF):
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("read from the client: %w", err)
		default:
			job = c.accept(ctx, text, time.Now())
		}
		select {
		case <-c.stopped:
			return nil, nil
		case <-c.out.done:
			return nil, nil
		default:
		}
		if job != nil {
			return job, nil
		}
	}
}

// wait returns when no request is left, or after limit, or when stopped is
// closed or the output has ended.
func (c *connection) wait(requests *crew, limit time.Duration, stopped <-chan struct{}) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-requests.idle():
	case <-timer.C:
	case <-stopped:
	case <-c.out.done:
	}
}
