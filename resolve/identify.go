package resolve

import (
	"context"
	"slices"
	"sync"
	"time"
)

// identify tells whose process t.Process is, by its cgroup and then by asking
// for the container that this names. Failing that, the target just has fewer
// facts.
func (r *Resolver) identify(ctx context.Context, t *Target, describe bool) {
	began := time.Now()
	cgroup, err := t.Process.ReadFile("cgroup", maxCgroup)
	if err != nil {
		return
	}
	ref := parseCgroup(string(cgroup))
	if ref.ContainerID == "" {
		return
	}
	t.Steps = append(t.Steps, Step{
		Action: "read the cgroup of " + processLabel(t.Process), Outcome: outcomeOK,
		Reason: "container " + shortID(ref.ContainerID), MS: milliseconds(time.Since(began)),
	})
	if known, ok := r.known.get(ref.ContainerID); ok && !describe {
		t.Workload, t.Container = known.workload, known.container
		return
	}
	t.Workload = Workload{Source: "cgroup", UID: ref.PodUID, Containers: []Container{
		{ID: ref.ContainerID, State: StateRunning, PID: t.Process.PID()},
	}}
	q := Query{Container: ref.ContainerID, Describe: describe, brief: !describe}
	reply := r.ask(ctx, question{query: q, wait: r.limits.identify})
	t.Steps = append(t.Steps, reply.steps...)
	t.sayFailed(reply.failed)
	c, chosen := choose(q, reply.exact)
	if chosen != nil {
		return
	}
	t.Workload = *c.workload
	if c.container != whole {
		t.Container = c.workload.Containers[c.container].label()
	}
	r.known.put(ref.ContainerID, identity{workload: t.Workload.names(), container: t.Container})
}

// names is what never changes of a workload: who it is, not how it is.
func (w *Workload) names() Workload {
	n := Workload{
		Source: w.Source, Pod: w.Pod, Namespace: w.Namespace, UID: w.UID, Node: w.Node,
		HostNetwork: w.HostNetwork, DefaultContainer: w.DefaultContainer,
	}
	for _, c := range w.Containers {
		n.Containers = append(n.Containers, Container{ID: c.ID, Name: c.Name, RuntimeName: c.RuntimeName, Image: c.Image})
	}
	return n
}

// identity is what a container's ID stands for.
type identity struct {
	workload  Workload
	container string
}

// identities remembers what container IDs stand for, which never changes, so
// that a call that names a PID need not ask a runtime each time.
type identities struct {
	mu    sync.Mutex
	byID  map[string]identity
	order []string // oldest first
}

const maxIdentities = 1024

func (k *identities) get(id string) (identity, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found, ok := k.byID[id]
	// Callers may change what they get.
	found.workload.Containers = slices.Clone(found.workload.Containers)
	return found, ok
}

func (k *identities) put(id string, i identity) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byID == nil {
		k.byID = map[string]identity{}
	}
	if _, known := k.byID[id]; !known {
		if len(k.order) == maxIdentities {
			delete(k.byID, k.order[0])
			k.order = k.order[1:]
		}
		k.order = append(k.order, id)
	}
	k.byID[id] = i
}
