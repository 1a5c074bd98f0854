package mcpserve

import (
	"sync"
	"testing"
)

// given is a crew that is handed its jobs over a channel. It ends with the test.
func given(t *testing.T) (*crew, chan<- func()) {
	t.Helper()
	jobs := make(chan func())
	c := startCrew(func() (func(), bool) {
		job, more := <-jobs
		return job, more
	})
	t.Cleanup(func() {
		close(jobs)
		c.close()
	})
	return c, jobs
}

func TestCrewRunsEveryJob(t *testing.T) {
	t.Parallel()
	_, jobs := given(t)
	var mu sync.Mutex
	ran := map[int]bool{}
	const count = 1000
	var done sync.WaitGroup
	done.Add(count)
	for i := range count {
		jobs <- func() {
			mu.Lock()
			defer mu.Unlock()
			ran[i] = true
			done.Done()
		}
	}
	done.Wait()
	if len(ran) != count {
		t.Errorf("%d of %d jobs have run", len(ran), count)
	}
}

// A job that hangs keeps no other from running.
func TestCrewDoesNotQueue(t *testing.T) {
	t.Parallel()
	c, jobs := given(t)
	const count = 3 * maxWaiting
	for range 2 { // the second time some goroutines wait for it already
		var together sync.WaitGroup
		together.Add(count)
		for range count {
			jobs <- func() {
				together.Done()
				together.Wait() // returns only when all run at once
			}
		}
		together.Wait()
		<-c.idle()
	}
}

func TestCrewKeepsFew(t *testing.T) {
	t.Parallel()
	c, jobs := given(t)
	release := make(chan struct{})
	var begun sync.WaitGroup
	begun.Add(10 * maxWaiting)
	for range 10 * maxWaiting {
		jobs <- func() { begun.Done(); <-release }
	}
	begun.Wait()
	close(release)
	<-c.idle()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting > maxWaiting {
		t.Errorf("%d goroutines wait, at most %d may", c.waiting, maxWaiting)
	}
}

// After the last job there is no leader, and those who waited for the lead end
// at close.
func TestCrewEndsWithItsJobs(t *testing.T) {
	t.Parallel()
	left := make(chan func(), 1)
	release := make(chan struct{})
	left <- func() { <-release }
	close(left)
	ended := make(chan struct{})
	c := startCrew(func() (func(), bool) {
		job, more := <-left
		if !more {
			close(ended) // a second time it would panic
		}
		return job, more
	})
	<-ended
	idle := c.idle()
	select {
	case <-idle:
		t.Error("idle although a job runs")
	default:
	}
	close(release)
	<-idle
	c.close()
	<-c.idle()
}

func TestCrewAfterClose(t *testing.T) {
	t.Parallel()
	jobs := make(chan func())
	calls := make(chan struct{}, 2)
	c := startCrew(func() (func(), bool) {
		calls <- struct{}{}
		job, more := <-jobs
		return job, more
	})
	release := make(chan struct{})
	jobs <- func() { <-release }
	<-calls
	<-calls // the new leader
	c.close()
	c.close()
	jobs <- func() { t.Error("a job was started after close") }
	close(release)
	<-c.idle()
	select {
	case <-calls:
		t.Error("somebody waits for jobs after close")
	default:
	}
}
