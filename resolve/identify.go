package resolve

import (
	"context"
	"time"
)

// identify tells whose process t.Process is, by its cgroup and then by asking
// for the container that this names. Failing that, the target just has fewer
// facts.
func (r *Resolver) identify(ctx context.Context, t *Target, describe bool) {
	began := time.Now()
	cgroup, err := t.Process.ReadFile(ctx, "cgroup", maxCgroup)
	if err != nil {
		return
	}
	ref := parseCgroup(string(cgroup), r.around())
	if ref.ContainerID == "" {
		return
	}
	t.Steps = append(t.Steps, Step{
		Action: "read the cgroup of " + processLabel(t.Process), Outcome: outcomeOK,
		Reason: "container " + shortID(ref.ContainerID), MS: milliseconds(time.Since(began)),
	})
	if ref.Inner != "" {
		t.note("nested_container", "%s is in container %s, which container %s runs by itself: the inner container's network may differ from that of %s",
			processLabel(t.Process), shortID(ref.Inner), shortID(ref.ContainerID), shortID(ref.ContainerID))
	}
	if known, ok := r.known.Get(ref.ContainerID); ok && !describe {
		is := known.(identity)                                      //nolint:forcetypeassert // of no other type
		t.Workload, t.Container = is.workload.names(), is.container // a copy, as callers may change what they get
		return
	}
	t.Workload = Workload{Source: cgroupSource, UID: ref.PodUID, Containers: []Container{
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
	if len(reply.failed) > 0 {
		return // who failed may know more of it the next time
	}
	r.known.Add(ref.ContainerID, identity{workload: t.Workload.names(), container: t.Container}, forever)
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

// identity is what a container's ID stands for, which never changes, so that a call
// that names a PID need not ask a runtime each time.
type identity struct {
	workload  Workload
	container string
}

const (
	maxIdentities = 1024
	forever       = 365 * 24 * time.Hour
)
