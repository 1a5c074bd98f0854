package mcpserve

import (
	"sync"
	"testing"
)

func TestCrewRunsEveryJob(t *testing.T) {
	t.Parallel()
	c := newCrew()
	defer c.close()
	var mu sync.Mutex
	ran := map[int]bool{}
	const jobs = 1000
	for i := range jobs {
		c.start(func() {
			mu.Lock()
			defer mu.Unlock()
			ran[i] = true
		})
	}
	<-c.idle()
	if len(ran) != jobs {
		t.Errorf("%d of %d jobs have run", len(ran), jobs)
	}
}

// A job that hangs keeps no other from running.
func TestCrewDoesNotQueue(t *testing.T) {
	t.Parallel()
	c := newCrew()
	defer c.close()
	const jobs = 3 * maxWaiting
	var together sync.WaitGroup
	together.Add(jobs)
	for range 2 { // the second time some goroutines wait for it already
		for range jobs {
			c.start(func() {
				together.Done()
				together.Wait() // returns only when all run at once
			})
		}
		<-c.idle()
		together.Add(jobs)
	}
}

func TestCrewKeepsFew(t *testing.T) {
	t.Parallel()
	c := newCrew()
	defer c.close()
	release := make(chan struct{})
	for range 10 * maxWaiting {
		c.start(func() { <-release })
	}
	close(release)
	<-c.idle()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting > maxWaiting {
		t.Errorf("%d goroutines wait, at most %d may", c.waiting, maxWaiting)
	}
}

func TestCrewAfterClose(t *testing.T) {
	t.Parallel()
	c := newCrew()
	release := make(chan struct{})
	c.start(func() { <-release })
	c.close()
	c.close()
	c.start(func() { t.Error("a job was started after close") })
	idle := c.idle()
	select {
	case <-idle:
		t.Error("idle although a job runs")
	default:
	}
	close(release)
	<-idle
	<-c.idle()
}
