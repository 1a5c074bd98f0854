package resolve

import (
	"context"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

// The number of a container's process is given to another one between the
// source's answer and the entering. Neither its network nor its files may be
// taken for the container's.
func TestReusedPID(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	n := startNumbers(t)
	claimed := func(pid int, started time.Time) Workload {
		w := bare("db", idA)
		w.Containers[0].PID, w.Containers[0].StartedAt = pid, started
		return w
	}
	resolver := func(s Source) *Resolver {
		r := New(Config{Home: l.Home, Host: l.Home.Self(), Root: n.root, Sources: []Source{s}})
		t.Cleanup(r.Close)
		return r
	}

	first := n.spawn(0)
	began := time.Now()
	target := open(t, resolver(knows("docker", 0, claimed(first, began))), Query{Container: "db"})
	before := target.Net.Identity()
	if target.PID() != first {
		t.Fatalf("entered pid %d, want %d", target.PID(), first)
	}

	replaced := false
	truthful := &fake{name: "docker", exact: func(context.Context, Query) ([]Workload, error) {
		if replaced { // by now the runtime has noticed
			w := claimed(0, began)
			w.Containers[0].State = StateExited
			return []Workload{w}, nil
		}
		replaced = true
		n.kill(first)
		waitForTick(t)
		n.spawn(first)
		return []Workload{claimed(first, began)}, nil
	}}
	refused(t, resolver(truthful), Query{Container: "db"}, KindNotRunning)

	// The pinned process of before is not confused with the new one of its number.
	if target.Process.Alive() {
		t.Error("a process that has ended is said to live, by its number")
	}
	if !target.Net.Identity().Same(before) {
		t.Error("the pinned network has changed")
	}

	// A runtime that never notices is not believed when it says since when the
	// container runs.
	refused(t, resolver(knows("docker", 0, claimed(first, began.Add(-time.Hour)))), Query{Container: "db"}, KindGone)
}

// waitForTick returns when the kernel's clock of start times has gone on.
func waitForTick(t *testing.T) {
	t.Helper()
	for tick := bootTime() / clockTick; bootTime()/clockTick <= tick+1; {
		time.Sleep(time.Millisecond)
	}
}
