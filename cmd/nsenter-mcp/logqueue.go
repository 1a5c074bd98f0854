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
	wake  chan struct{} // holds one token: there is something to write
	ended chan struct{} // closed when all is written after close

	mu      sync.Mutex
	waiting []byte
	dropped int // writes, all of them later than waiting
	json    bool
	closed  bool
}

func newLogQueue(out io.Writer, limit int) *logQueue {
	q := &logQueue{out: out, limit: limit, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	go q.run()
	return q
}

// Write takes a copy of p, whole or not at all. It never fails.
func (q *logQueue) Write(p []byte) (int, error) {
	q.mu.Lock()
	q.json = len(p) > 0 && p[0] == '{'
	if q.dropped > 0 || len(q.waiting)+len(p) > q.limit {
		q.dropped++ // also what there would be room for: the order stays true
	} else {
		q.waiting = append(q.waiting, p...)
	}
	q.mu.Unlock()
	q.signal()
	return len(p), nil
}

func (q *logQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// run writes until the queue is closed. A writer that fails is not tried less: what
// is written may be read again.
func (q *logQueue) run() {
	defer close(q.ended)
	for range q.wake {
		for {
			text, closed := q.take()
			if len(text) > 0 {
				_, _ = q.out.Write(text)
				continue
			}
			if closed {
				return
			}
			break
		}
	}
}

// take empties the queue.
func (q *logQueue) take() (text []byte, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	text, q.waiting = q.waiting, nil
	if q.dropped > 0 {
		format := "level=WARN msg=\"log lines were dropped, as nobody read them\" dropped=%d\n"
		if q.json {
			format = "{\"level\":\"WARN\",\"msg\":\"log lines were dropped, as nobody read them\",\"dropped\":%d}\n"
		}
		text = fmt.Appendf(text, format, q.dropped)
		q.dropped = 0
	}
	return text, q.closed
}

// close waits until everything is written, at most for limit. Nothing may be written
// afterwards.
func (q *logQueue) close(limit time.Duration) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
	select {
	case <-q.ended:
	case <-time.After(limit):
	}
}
