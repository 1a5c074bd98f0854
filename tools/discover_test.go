package tools

import (
	"maps"
	"strings"
	"testing"

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
		next           map[string]any
	}{
		{"a container", resolve.Workload{Containers: running}, "", id[:12], map[string]any{"container": id}},
		{"a pod", resolve.Workload{UID: uid, Containers: running}, uid, "", map[string]any{"pod": uid}},
	}
	for _, test := range tests {
		row := workloadRow(&test.workload)
		if row.Pod != "" || row.UID != test.uid || row.Container != test.container {
			t.Errorf("%s is listed as pod %q, UID %q, container %q", test.name, row.Pod, row.UID, row.Container)
		}
		if got := nameOf(&test.workload); !maps.Equal(got, test.next) {
			t.Errorf("%s is asked for by %v, want %v", test.name, got, test.next)
		}
	}
	if got, want := describeContainers(running), "container "+id[:12]+" is running"; got != want {
		t.Errorf("described as %q, want %q", got, want)
	}
}
