package resolve

import (
	"fmt"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

func TestRequestsDoNotGrow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})
	w.engine.AddSynthetic(10)
	queries := []Query{
		{Pod: "web-0", Describe: true},
		{Pod: "default/web-0", Container: "app", Describe: true},
		{Container: p.Containers[0].ID, Describe: true},
		{Container: p.Containers[0].ID},
		{Container: p.Sandbox.Name},
	}
	w.resolve(t, queries[0]) // negotiates the version
	count := func(q Query) string {
		w.engine.ResetRequests()
		w.resolve(t, q)
		return fmt.Sprint(w.engine.Requests())
	}
	var few []string
	for _, q := range queries {
		few = append(few, count(q))
	}
	w.engine.AddSynthetic(490)
	for i, q := range queries {
		if many := count(q); many != few[i] {
			t.Errorf("%+v: %s with 10 pods, %s with 500", q, few[i], many)
		}
	}
}

// What a pod consisted of a moment ago is not looked for again, but only as long
// as it is as it was.
// Between two crashes a container looks healthy in the engine's list.
func TestListShowsWhoCrashes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	crashing := w.Container(t, lab.ContainerSpec{Name: "crashing"})
	_ = w.Container(t, lab.ContainerSpec{Name: "fresh"})
	for range 3 {
		if err := crashing.Restart(); err != nil {
			t.Fatal(err)
		}
	}
	list, err := w.resolver.Pods(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	troubled := map[string]bool{}
	for _, p := range list.Pods {
		troubled[p.firstName()] = p.Troubled()
	}
	if len(troubled) != 2 || !troubled["crashing"] || troubled["fresh"] {
		t.Errorf("in trouble: %v", troubled)
	}
	if first := list.Pods[0].Containers[0]; first.Name != "crashing" || first.Restarts != 3 || first.State != StateRunning || first.FinishedAt.IsZero() {
		t.Errorf("the first is %+v", first)
	}
	now := time.Now()
	c := Container{State: StateRunning, Restarts: 1, FinishedAt: now.Add(-time.Minute)}
	calm, first, later := c, c, c
	calm.Restarts, first.FinishedAt, later.FinishedAt = 0, time.Time{}, now.Add(-time.Hour)
	if !c.CrashedLately(now) || calm.CrashedLately(now) || first.CrashedLately(now) || later.CrashedLately(now) {
		t.Error("who has crashed lately is not told from who has not")
	}
}

func TestRecentPod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})
	lists := func(q Query) int {
		t.Helper()
		w.engine.ResetRequests()
		target := w.resolve(t, q)
		inside(t, target, p.Handle)
		if app := target.Workload.Containers[0]; app.ID != p.Containers[0].ID || app.PID != p.Containers[0].PID() {
			t.Errorf("container is %+v, want %s with pid %d", app, p.Containers[0].ID, p.Containers[0].PID())
		}
		return w.engine.Requests()["list"]
	}
	q := Query{Pod: "web-0"}
	for i, want := range []int{1, 0, 0} {
		if got := lists(q); got != want {
			t.Errorf("call %d: %d lists, want %d", i, got, want)
		}
	}
	if got := lists(Query{Pod: "web-0", Describe: true}); got != 1 {
		t.Errorf("described from memory: %d lists", got)
	}
	if got := lists(Query{Pod: "web-0", Namespace: "default"}); got != 1 {
		t.Errorf("another question: %d lists, want 1", got)
	}
	if _, err := p.Restart(p.Containers[0]); err != nil {
		t.Fatal(err)
	}
	if got := lists(q); got != 1 {
		t.Errorf("after a restart: %d lists, want 1", got)
	}
	if err := p.Delete(); err != nil {
		t.Fatal(err)
	}
	refused(t, w.resolver, q, KindNotFound)
	p = w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})
	if got := lists(q); got != 1 {
		t.Errorf("after it was created again: %d lists, want 1", got)
	}
}
