package mcpserve

import (
	"sync"
	"time"
)

// crew takes in the requests of one connection and carries each out on a
// goroutine of its own for as long as it lasts. One goroutine leads: it takes in.
// With a request in its hands it gives the lead to another one and carries the
// request out itself, so that none is handed from one processor to another on
// its way to its answer. While nothing else runs it keeps the lead a moment: most
// requests are done by then, and to wake another thread would cost them more than
// anything that they do.
//
// A few goroutines stay for when they are needed next: encoding and decoding
// need a deep stack, and growing that anew for every request takes longer than
// much of what requests ask for.
type crew struct {
	// next waits for the next request. Only the leader calls it. More is false
	// when there will be none.
	next func() (job func(), more bool)
	// lead makes one of those who wait for it the leader.
	lead chan struct{}

	mu      sync.Mutex
	running int
	waiting int           // goroutines without a job
	closed  bool          // no more jobs
	drained chan struct{} // closed when running falls to 0; nil if nobody waits
}

// maxWaiting bounds the goroutines that are kept without a job.
const maxWaiting = 4

// leadWhileRunning is how long a single request keeps others from being read. It is
// above what those take that need no network.
const leadWhileRunning = 3 * time.Millisecond

// startCrew begins to call next, and goes on until that has no more or the crew
// is closed.
func startCrew(next func() (job func(), more bool)) *crew {
	c := &crew{next: next, lead: make(chan struct{})}
	go c.work()
	return c
}

func (c *crew) work() {
	for leads := true; leads; _, leads = <-c.lead {
		for leads {
			job, more := c.next()
			if !more {
				return
			}
			alone, open := c.begin()
			if !open {
				return
			}
			leads = c.do(job, alone)
		}
		if !c.stay() {
			return
		}
	}
}

// begin counts a job. It says whether no other job runs, and is not open after
// close: the job must not run then.
func (c *crew) begin() (alone, open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false, false
	}
	c.running++
	return c.running == 1, true
}

// do runs a job and reports whether its goroutine still leads.
func (c *crew) do(job func(), alone bool) (leads bool) {
	defer c.finished()
	if !alone {
		c.pass()
		job()
		return false
	}
	passing := time.AfterFunc(leadWhileRunning, c.pass)
	job()
	return passing.Stop()
}

// pass gives the lead to another goroutine.
func (c *crew) pass() {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed: // no job may begin any more
	case c.waiting == 0:
		go c.work()
	default:
		c.waiting--
		c.lead <- struct{}{} // somebody waits, or is about to
	}
}

// finished counts a job as done.
func (c *crew) finished() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if c.running == 0 && c.drained != nil {
		close(c.drained)
		c.drained = nil
	}
}

// stay reports whether a goroutine without a job shall wait for the lead.
func (c *crew) stay() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.waiting == maxWaiting {
		return false
	}
	c.waiting++
	return true
}

// close lets jobs that run end by themselves, and their goroutines with them.
// The leader ends when next returns.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	close(c.lead)
}

// idle returns a channel that is closed as soon as no job runs.
func (c *crew) idle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drained == nil {
		c.drained = make(chan struct{})
	}
	drained := c.drained
	if c.running == 0 {
		close(drained)
		c.drained = nil
	}
	return drained
}
