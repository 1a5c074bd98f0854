package lab_test

import (
	"os"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

// A lab has to be cheap enough to have one per test.
func TestThreePodsTime(t *testing.T) { // not parallel: measures
	const bar = 300 * time.Millisecond
	best := time.Hour
	for range 3 {
		began := time.Now()
		l := lab.Start(t)
		l.Pods(t, lab.PodSpec{}, lab.PodSpec{}, lab.PodSpec{Style: lab.Calico})
		made := time.Since(began)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("made in %s, closed in %s", made, time.Since(began)-made)
		best = min(best, made)
	}
	if best > 5*bar { // five times, as the machine may be busy
		t.Errorf("a lab with three pods took %s, far more than %s", best, bar)
	}
}

func TestTwoHundredPods(t *testing.T) { // not parallel: measures
	began := time.Now()
	l := lab.Start(t)
	specs := make([]lab.PodSpec, 200)
	pods := l.Pods(t, specs...)
	made := time.Since(began)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, pods[0].Netns, "first")
	wantGet(t, pods[199].Netns, pods[0].IP, 80, "first")
	closing := time.Now()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("200 pods made in %s, closed in %s, with %d threads in the lab's process", made, time.Since(closing), len(tasks))
	if len(tasks) > 64 {
		t.Errorf("%d threads: something waits on a thread of its own for each pod", len(tasks))
	}
}

func BenchmarkLab(b *testing.B) {
	for b.Loop() {
		l := lab.Start(b)
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPod(b *testing.B) {
	l := lab.Start(b)
	for b.Loop() {
		if err := l.Pod(b, lab.PodSpec{}).Delete(); err != nil {
			b.Fatal(err)
		}
	}
}
