package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"

	"nsenter-mcp/nsexec"
)

// Cgroups is a [Source] that reads the cgroup of each process of the node. It
// needs no runtime and no API, and knows container IDs and pod UIDs, but no
// names.
type Cgroups struct{ procRoot string }

// NewCgroups returns the source for the host whose files lie below root ("/").
func NewCgroups(root string) *Cgroups {
	return &Cgroups{procRoot: filepath.Join("/", root, "proc")}
}

// Name is "cgroup".
func (*Cgroups) Name() string { return cgroupSource }

const cgroupSource = "cgroup"

// Exact finds a container by its full ID or a pod by its UID; for anything else
// it fails with [ErrCannotTell].
func (s *Cgroups) Exact(ctx context.Context, q Query) ([]Workload, error) {
	want := cgroupRef{ContainerID: q.Container}
	if q.Pod != "" {
		want = cgroupRef{PodUID: q.Pod}
	}
	switch {
	case want.PodUID != "" && (isUUID(want.PodUID) || len(want.PodUID) == 32 && isHex(want.PodUID)):
	case len(want.ContainerID) == idLength && isHex(want.ContainerID):
	default:
		return nil, ErrCannotTell
	}
	return s.scan(ctx, func(ref cgroupRef) bool {
		return want.PodUID != "" && ref.PodUID == want.PodUID || want.ContainerID != "" && ref.ContainerID == want.ContainerID
	})
}

// List returns every container that has a process, in its pod where it has one.
func (s *Cgroups) List(ctx context.Context) ([]Workload, error) {
	return s.scan(ctx, func(cgroupRef) bool { return true })
}

// scan groups the processes of the containers that keep picks.
func (s *Cgroups) scan(ctx context.Context, keep func(cgroupRef) bool) ([]Workload, error) {
	first, err := firstProcesses(ctx, s.procRoot, func(ref cgroupRef) bool { return ref.Inner == "" && keep(ref) })
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, nsexec.ErrUnsupported) {
		return nil, fmt.Errorf("%s: %w", s.procRoot, ErrAbsent)
	}
	if err != nil {
		return nil, err
	}
	pods := map[string]*Workload{} // by UID, or by container ID without one
	for ref, pid := range first {
		key := cmp.Or(ref.PodUID, ref.ContainerID)
		w := pods[key]
		if w == nil {
			w = &Workload{Source: s.Name(), UID: ref.PodUID}
			pods[key] = w
		}
		w.Containers = append(w.Containers, Container{ID: ref.ContainerID, State: StateRunning, PID: pid})
	}
	found := make([]Workload, 0, len(pods))
	for _, w := range pods {
		slices.SortFunc(w.Containers, func(a, b Container) int { return cmp.Compare(a.PID, b.PID) })
		found = append(found, *w)
	}
	slices.SortFunc(found, func(a, b Workload) int { return cmp.Compare(a.Containers[0].PID, b.Containers[0].PID) })
	return found, nil
}

// firstProcesses returns for each container that keep picks the lowest PID in
// it, which is that of its first process unless the numbers have wrapped round. One
// that is nested does not count where another one of its name is not.
func firstProcesses(ctx context.Context, procRoot string, keep func(cgroupRef) bool) (map[cgroupRef]int, error) {
	var mu sync.Mutex
	first := map[cgroupRef]int{}
	// Processes of one container share the text, and most of a node's share "/".
	parsed, around := map[string]cgroupRef{}, aroundNode(procRoot)
	err := scanProcesses(ctx, procRoot, scanFor{cgroup: true}, func(p process) bool {
		mu.Lock()
		defer mu.Unlock()
		ref, seen := parsed[p.cgroup]
		if !seen {
			ref = parseCgroup(p.cgroup, around)
			parsed[p.cgroup] = ref
		}
		if ref.ContainerID == "" || !keep(ref) {
			return true
		}
		if pid, seen := first[ref]; !seen || p.pid < pid {
			first[ref] = p.pid
		}
		return true
	})
	own := map[string]bool{}
	for ref := range first {
		if !ref.Nested {
			own[ref.ContainerID], own[ref.PodUID] = true, ref.PodUID != ""
		}
	}
	maps.DeleteFunc(first, func(ref cgroupRef, _ int) bool { return ref.Nested && (own[ref.ContainerID] || own[ref.PodUID]) })
	return first, err
}
