package tools

import (
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/resolve"
)

// The cgroups of a node tell IDs and no names. What is listed can be asked for
// all the same.
func TestWorkloadsWithoutNames(t *testing.T) {
	t.Parallel()
	id, uid := strings.Repeat("0a", 32), "8c6b6c2e-5b0f-4a53-9a51-1d7c5f0e2f11"
	running := []resolve.Container{{ID: id, State: resolve.StateRunning}}
	tests := []struct {
		name           string
		workload       resolve.Workload
		uid, container string
		next           dispatch.TargetArgs
	}{
		{"a container", resolve.Workload{Containers: running}, "", id[:12], dispatch.TargetArgs{Container: id}},
		{"a pod", resolve.Workload{UID: uid, Containers: running}, uid, "", dispatch.TargetArgs{Pod: uid}},
	}
	for _, test := range tests {
		row := workloadRow(&test.workload)
		if row.Pod != "" || row.UID != test.uid || row.Container != test.container {
			t.Errorf("%s is listed as pod %q, UID %q, container %q", test.name, row.Pod, row.UID, row.Container)
		}
		if got := nameOf(&test.workload); got != test.next {
			t.Errorf("%s is asked for by %+v, want %+v", test.name, got, test.next)
		}
	}
	if got, want := describeContainers(running), "container "+id[:12]+" is running"; got != want {
		t.Errorf("described as %q, want %q", got, want)
	}
}

// What has ended as it should is no trouble: init and ephemeral containers, Jobs.
func TestDescribeContainers(t *testing.T) {
	t.Parallel()
	zero, three := 0, 3
	app := resolve.Container{Name: "app", State: resolve.StateRunning}
	did := resolve.Container{Name: "init", Kind: resolve.KindInit, State: resolve.StateExited, ExitCode: &zero, Reason: "Completed"}
	looked := resolve.Container{Name: "debug", Kind: resolve.KindEphemeral, State: resolve.StateExited, ExitCode: &three, Reason: "Error"}
	job := resolve.Container{Name: "job", State: resolve.StateExited, ExitCode: &zero, Reason: "Completed"}
	dead := resolve.Container{Name: "app", State: resolve.StateExited, ExitCode: &three, Reason: "Error", Restarts: 7}
	waits := resolve.Container{Name: "app", State: resolve.StateWaiting, Waiting: "ImagePullBackOff"}
	again := resolve.Container{Name: "app", State: resolve.StateRunning, Restarts: 2, ExitCode: &three, FinishedAt: time.Now()}
	ill := resolve.Container{Name: "app", State: resolve.StateRunning, Unhealthy: true}
	for name, test := range map[string]struct {
		containers []resolve.Container
		want       string
		crashing   bool
	}{
		"none":             {nil, "no container known", false},
		"one runs":         {[]resolve.Container{app}, "container app is running", false},
		"two run":          {[]resolve.Container{app, app}, "all 2 containers run", false},
		"after init":       {[]resolve.Container{did, app}, "1 container running, 1 ended as it should", false},
		"after a look":     {[]resolve.Container{app, app, looked}, "2 containers running, 1 ended as it should", false},
		"a Job":            {[]resolve.Container{job}, "container job has exited (Completed)", false},
		"a Job with init":  {[]resolve.Container{did, job}, "all 2 containers have ended as they should", false},
		"one has failed":   {[]resolve.Container{did, dead, app}, "container app has exited (Error, exit code 3, 7 restarts)", true},
		"one waits":        {[]resolve.Container{did, waits}, "container app is waiting (ImagePullBackOff)", true},
		"restarted lately": {[]resolve.Container{again}, "container app is running (RestartedLately, exit code 3, 2 restarts)", false},
		"unhealthy":        {[]resolve.Container{ill, app}, "container app is running (Unhealthy)", false},
		"many":             {[]resolve.Container{waits, waits, waits, waits, did}, strings.Repeat("container app is waiting (ImagePullBackOff), ", 2) + "container app is waiting (ImagePullBackOff) and 1 more are in trouble", true},
	} {
		if got := describeContainers(test.containers); got != test.want {
			t.Errorf("%s: described as %q, want %q", name, got, test.want)
		}
		if got := crashing(test.containers); got != test.crashing {
			t.Errorf("%s: crashing is %v", name, got)
		}
	}
}

func TestSummariesSayFirstThatNobodyKnowsNames(t *testing.T) {
	t.Parallel()
	const first = "no source of names answered (container runtime, files of the kubelet): 2 cgroups of unknown owners"
	here := &resolve.Inventory{Total: 2, NoNames: true, Sources: []resolve.SourceState{{Name: "docker", State: "failed"}, {Name: "cgroup", State: "ok"}}}
	if got := summarizeInventory(here); !strings.HasPrefix(got, first) {
		t.Errorf("inventory: %q", got)
	}
	list := &resolve.PodList{Total: 2, NoNames: true}
	fit := []resolve.Listed{{}, {}}
	if got := summarizePods(list, fit, 0, false); !strings.HasPrefix(got, first+" on this node") {
		t.Errorf("list: %q", got)
	}
	if got := summarizePods(&resolve.PodList{NoNames: true}, nil, 0, true); strings.Contains(got, "0 ") || !strings.Contains(got, "no cgroup of a container was found on this node") {
		t.Errorf("nothing at all: %q", got)
	}
	list.NoNames = false
	if got := summarizePods(list, fit[:1], 0, true); !strings.HasPrefix(got, "2 pods and containers on this node, of which 1 fit") {
		t.Errorf("list: %q", got)
	}
}
