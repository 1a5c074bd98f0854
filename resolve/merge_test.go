package resolve

import (
	"slices"
	"testing"
	"time"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	web := pod("shop", "web-0", "app")
	web.UID = uidA
	web.Containers[0].ID, web.Containers[0].PID = idA, 0
	exit := 7
	fromAPI := Workload{
		Source: "kubernetes", Pod: "web-0", Namespace: "shop", UID: uidA, Node: "node-1", DefaultContainer: "app",
		Containers: []Container{
			{ID: idA, Name: "app", Waiting: "CrashLoopBackOff", Restarts: 5, ExitCode: &exit},
			{Name: "late", State: StateCreated},
		},
	}
	fromCgroups := Workload{Source: "cgroup", UID: uidA, Containers: []Container{
		{ID: idA, State: StateRunning, PID: 77},
		{ID: web.Sandbox.ID, State: StateRunning, PID: 76},
	}}
	nginx := bare("nginx", idB)
	nginxFromCgroups := Workload{Source: "cgroup", Containers: []Container{{ID: idB, State: StateRunning, PID: 99}}}
	joined := bare("debug", fakeID("debug"))
	joined.Sandbox = &Sandbox{ID: idB, PID: 99}

	got := merge([]Workload{web, nginx, joined}, []Workload{fromCgroups, nginxFromCgroups}, nil, []Workload{fromAPI, pod("other", "api-0")})
	if len(got) != 4 {
		t.Fatalf("got %d workloads, want web, nginx, debug, api", len(got))
	}
	w := got[0]
	if w.Source != "docker" || w.Node != "node-1" || w.DefaultContainer != "app" || len(w.Containers) != 2 {
		t.Errorf("merged pod is %+v", w)
	}
	app := w.Containers[0]
	if app.PID != 77 || app.Restarts != 5 || app.Waiting != "" || *app.ExitCode != 7 || app.State != StateRunning {
		t.Errorf("merged container is %+v", app)
	}
	if w.Containers[1].Name != "late" {
		t.Errorf("the container that only the API knows is missing: %+v", w.Containers)
	}
	if got[1].Containers[0].PID != 99 || got[1].Source != "docker" {
		t.Errorf("merged bare container is %+v", got[1])
	}
	if got[2].Containers[0].Name != "debug" || got[3].Pod != "api-0" {
		t.Errorf("what has nothing in common was merged: %+v", got)
	}
	if web.Containers[0].PID != 0 || len(web.Containers) != 1 {
		t.Error("merging has changed what a source returned")
	}
}

func TestMergeKeepsPIDsOfOtherContainersOut(t *testing.T) {
	t.Parallel()
	now := pod("shop", "web-0", "app")
	now.Containers[0].State = StateExited
	before := now
	before.Containers = []Container{{ID: idB, Name: "app", State: StateRunning, PID: 77}}
	got := merge([]Workload{now}, []Workload{before})
	if len(got) != 1 || got[0].Containers[0].PID != 0 || got[0].Containers[0].State != StateExited {
		t.Errorf("a later container took the PID of an earlier one: %+v", got)
	}
}

func TestTroubleFirst(t *testing.T) {
	t.Parallel()
	code := func(n int) *int { return &n }
	crashing := pod("shop", "b", "app")
	crashing.Containers[0].State, crashing.Containers[0].ExitCode, crashing.Containers[0].Restarts = StateExited, code(1), 3
	restarting := bare("c", idA)
	restarting.Containers[0].State = StateRestarting
	failed := pod("shop", "a", "app")
	failed.Containers[0].State, failed.Containers[0].ExitCode = StateExited, code(2)
	waiting := pod("shop", "a", "app")
	waiting.Containers[0].State = StateCreated
	done := bare("a", idB)
	done.Containers[0].State, done.Containers[0].ExitCode = StateExited, code(0)
	running := pod("shop", "a", "app")
	for i, w := range []Workload{restarting, failed, waiting, running, done} {
		want := []int{0, 1, 2, 3, 4}[i]
		if got := w.severity(); got != want {
			t.Errorf("%s: severity %d, want %d", w.describe(), got, want)
		}
	}
	ended := func(n int, kind ContainerKind) Container {
		return Container{ID: idB, Name: "other", Kind: kind, State: StateExited, ExitCode: code(n)}
	}
	with := func(w Workload, more ...Container) Workload {
		w.Containers = append(slices.Clone(w.Containers), more...)
		return w
	}
	sick := bare("sick", idA)
	sick.Containers[0].Unhealthy = true
	empty, between := pod("shop", "empty"), pod("shop", "between")
	between.Containers = []Container{ended(0, "")}
	nameless := pod("shop", "nameless", "app")
	nameless.Containers[0].State = ""
	over := pod("shop", "over")
	over.Sandbox.State, over.Containers = StateExited, []Container{ended(0, "")}
	lost := with(running)
	lost.Status = &PodStatus{Phase: phaseRunning, Ready: true, Node: &Condition{Type: "Ready", Status: "Unknown"}}
	for name, test := range map[string]struct {
		w    Workload
		want int
	}{
		"an init container has ended well": {with(running, ended(0, KindInit)), 3}, "one that is not said to be an init container": {with(running, ended(0, "")), 3},
		"an ephemeral container has failed": {with(running, ended(1, KindEphemeral)), 3}, "a container has failed": {with(running, ended(1, "")), 1},
		"a health check fails": {sick, 1}, "a sandbox without containers": {empty, 2}, "between two starts": {between, 2},
		"state not known": {nameless, 3}, "over": {over, 4}, "its node does not report": {lost, 2},
	} {
		if got := test.w.severity(); got != test.want {
			t.Errorf("%s: severity %d, want %d", name, got, test.want)
		}
	}
	if crashing.severity() != 0 || troubleFirst(crashing, running) >= 0 || troubleFirst(done, running) <= 0 {
		t.Error("what crashes comes first, what has ended well comes last")
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	const boot = int64(10_000 * time.Second)
	ticks := func(age time.Duration) uint64 { return uint64((boot - int64(age)) / clockTick) }
	tests := map[string]struct {
		cgroup string
		age    time.Duration // of the process
		claim  claim
		want   error
	}{
		"cgroup names it":              {"0::/docker/" + idA + "\n", time.Hour, claim{id: idA}, nil},
		"cgroup names it, elsewhere":   {"0::/docker/" + idA + "\n", time.Hour, claim{id: idA, elsewhere: true}, nil},
		"cgroup outweighs a clock":     {"0::/docker/" + idA + "\n", time.Second, claim{id: idA, started: now.Add(-time.Hour)}, nil},
		"nested":                       {"0::/docker/" + idB + "/docker/" + idA + "\n", time.Hour, claim{id: idA}, nil},
		"nested, elsewhere":            {"0::/docker/" + idB + "/docker/" + idA + "\n", time.Hour, claim{id: idA, elsewhere: true}, nil},
		"nested is no clock":           {"0::/docker/" + idB + "/docker/" + idA + "\n", time.Second, claim{id: idA, started: now.Add(-time.Hour)}, errReused},
		"cgroup, outer of nested":      {"0::/docker/" + idB + "/docker/" + idA + "\n", time.Hour, claim{id: idB}, nil},
		"another container":            {"0::/docker/" + idB + "\n", time.Hour, claim{id: idA, started: now.Add(-time.Hour)}, errForeign},
		"no container":                 {"0::/\n", time.Hour, claim{id: idA}, nil},
		"no container, elsewhere":      {"0::/\n", time.Hour, claim{id: idA, elsewhere: true}, errUnproven},
		"started about then":           {"0::/\n", time.Hour, claim{id: idA, started: now.Add(-time.Hour).Add(20 * time.Second)}, nil},
		"started long before":          {"0::/\n", time.Hour, claim{id: idA, started: now.Add(-time.Minute)}, errReused},
		"started long after":           {"0::/\n", time.Minute, claim{id: idA, started: now.Add(-time.Hour)}, errReused},
		"younger than the answer":      {"0::/\n", time.Second, claim{id: idA, asOf: boot - int64(2*time.Second)}, errReused},
		"older than the answer":        {"0::/\n", 2 * time.Second, claim{id: idA, asOf: boot - int64(time.Second)}, nil},
		"in the tick of the answer":    {"0::/\n", time.Second, claim{id: idA, asOf: boot - int64(time.Second)}, nil},
		"younger, but the cgroup says": {"0::/docker/" + idA + "\n", time.Second, claim{id: idA, asOf: boot - int64(2*time.Second)}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := judge(test.cgroup, "", ticks(test.age), boot, now, test.claim)
			if (got == nil) != (test.want == nil) || test.want != nil && !isError(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// A row of a list has a state and says why, also of a pod that has no container.
func TestStateAndWhy(t *testing.T) {
	t.Parallel()
	sandbox := func(s State) *Sandbox { return &Sandbox{ID: idA, State: s} }
	runs := []Container{{Name: "app", State: StateRunning}}
	for name, test := range map[string]struct {
		w     Workload
		state State
		why   string
	}{
		"running":             {Workload{Pod: "p", Containers: runs}, StateRunning, ""},
		"not ready":           {Workload{Pod: "p", Containers: runs, Status: &PodStatus{Phase: phaseRunning}}, StateRunning, "NotReady"},
		"its node is not":     {Workload{Pod: "p", Containers: runs, Status: &PodStatus{Phase: phaseRunning, Node: &Condition{Type: "Ready"}}}, StateRunning, "NodeNotReady"},
		"a probe fails":       {Workload{Pod: "p", Containers: runs, Status: &PodStatus{Phase: phaseRunning, Reason: "Unhealthy"}}, StateRunning, "Unhealthy"},
		"not scheduled":       {Workload{Pod: "p", Status: &PodStatus{Phase: phasePending, Reason: "Unschedulable"}, Containers: []Container{{Name: "app"}}}, StateWaiting, "Unschedulable"},
		"evicted":             {Workload{Pod: "p", Status: &PodStatus{Phase: phaseFailed, Reason: "Evicted"}}, StateExited, "Evicted"},
		"a sandbox alone":     {Workload{Pod: "p", Sandbox: sandbox(StateRunning)}, StateWaiting, "NoContainer"},
		"a sandbox that died": {Workload{Pod: "p", Sandbox: sandbox(StateExited)}, StateExited, "NoContainer"},
		"nothing is known":    {Workload{UID: "u"}, "", ""},
	} {
		if got, why := test.w.State(), test.w.Why(); got != test.state || why != test.why {
			t.Errorf("%s: got %q, %q, want %q, %q", name, got, why, test.state, test.why)
		}
	}
}
