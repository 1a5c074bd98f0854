package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// maxLogQueue bounds what waits for standard error to be read, in bytes.
const maxLogQueue = 1 << 20

// logQueue is a writer in front of another one that may block for ever, as a pipe that
// nobody reads does. It never waits: what there is no room for is dropped and counted,
// and the number is written as soon as there is room again. It may be used by several
// goroutines at once.
type logQueue struct {
	out   io.Writer
	limit int
	ended chan struct{} // closed when all is written after close

	mu      sync.Mutex
	changed sync.Cond // of what follows
	waiting []byte
	dropped int // writes, all of them later than waiting
	json    bool
	closed  bool
}

func newLogQueue(out io.Writer, limit int) *logQueue {
	q := &logQueue{out: out, limit: limit, ended: make(chan struct{})}
	q.changed.L = &q.mu
	go func() {
		defer close(q.ended)
		// A writer that fails is not tried less: what is written may be read again.
		for text := q.take(); len(text) > 0; text = q.take() {
			_, _ = q.out.Write(text)
		}
	}()
	return q
}

// Write takes a copy of p, whole or not at all. It never fails.
func (q *logQueue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.json = len(p) > 0 && p[0] == '{'
	if q.dropped > 0 || len(q.waiting)+len(p) > q.limit {
		q.dropped++ // also what there would be room for: the order stays true
	} else {
		q.waiting = append(q.waiting, p...)
	}
	q.changed.Signal()
	return len(p), nil
}

// take waits for text and empties the queue. It returns nothing when the queue is empty
// and closed.
func (q *logQueue) take() (text []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && q.dropped == 0 && !q.closed {
		q.changed.Wait()
	}
	text, q.waiting = q.waiting, nil
	if q.dropped > 0 {
		format := "level=WARN msg=\"log lines were dropped, as nobody read them\" dropped=%d\n"
		if q.json {
			format = "{\"level\":\"WARN\",\"msg\":\"log lines were dropped, as nobody read them\",\"dropped\":%d}\n"
		}
		text = fmt.Appendf(text, format, q.dropped)
		q.dropped = 0
	}
	return text
}

// close waits until everything is written, at most for limit. Nothing may be written
// afterwards.
func (q *logQueue) close(limit time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.changed.Signal()
	select {
	case <-q.ended:
	case <-time.After(limit):
	}
}
