package mcpserve

import "sync"

// crew runs the requests of one connection, each on a goroutine of its own for
// as long as it lasts. A few goroutines stay for the next request: encoding and
// decoding need a deep stack, and growing that anew for every request takes
// longer than much of what requests ask for.
type crew struct {
	jobs chan func() // taken only by those who wait for one

	mu      sync.Mutex
	running int
	waiting int           // goroutines without a job
	closed  bool          // no more jobs
	drained chan struct{} // closed when running falls to 0; nil if nobody waits
}

// maxWaiting bounds the goroutines that are kept without a job.
const maxWaiting = 4

func newCrew() *crew { return &crew{jobs: make(chan func())} }

// start runs job and returns at once. After close it does nothing.
func (c *crew) start(job func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.running++
	if c.waiting == 0 {
		go c.work(job)
		return
	}
	c.waiting--
	c.jobs <- job // somebody waits, or is about to
}

func (c *crew) work(job func()) {
	for open := true; open; job, open = <-c.jobs {
		job()
		if !c.finished() {
			return
		}
	}
}

// finished counts a job as done and reports whether its goroutine shall wait for
// another one.
func (c *crew) finished() (stay bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running--
	if c.running == 0 && c.drained != nil {
		close(c.drained)
		c.drained = nil
	}
	if c.closed || c.waiting == maxWaiting {
		return false
	}
	c.waiting++
	return true
}

// close lets jobs that run end by themselves, and their goroutines with them.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	close(c.jobs)
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
