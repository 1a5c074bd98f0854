package resolve

import (
	"cmp"
	"slices"
)

// podSandbox is a sandbox as its runtime tells of it, with what that says of the pod.
type podSandbox struct {
	Sandbox
	hostNetwork      bool
	defaultContainer string
}

// podWorkload makes one workload of what a runtime has of a pod, past attempts
// included: the sandbox that runs counts, else the newest.
func podWorkload(pod k8sName, sandboxes []podSandbox, containers []Container) Workload {
	w := Workload{Pod: pod.Pod, Namespace: pod.Namespace, UID: pod.UID, Containers: latestOf(containers)}
	slices.SortStableFunc(sandboxes, func(a, b podSandbox) int {
		return cmp.Or(
			-cmp.Compare(boolInt(a.State.Alive()), boolInt(b.State.Alive())),
			-a.Created.Compare(b.Created),
		)
	})
	for i := range sandboxes {
		s := &sandboxes[i]
		if i > 0 {
			w.Attempts = append(w.Attempts, s.Sandbox)
			continue
		}
		w.Sandbox, w.HostNetwork, w.DefaultContainer = &s.Sandbox, s.hostNetwork, s.defaultContainer
	}
	return w
}

// latestOf keeps the newest container of each name: the kubelet makes a new one for
// every restart, and the old ones stay for their logs. The order is that of creation,
// which some runtimes tell in seconds only.
func latestOf(all []Container) []Container {
	slices.SortStableFunc(all, func(a, b Container) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Restarts, b.Restarts))
	})
	latest := make([]Container, 0, len(all))
	for _, c := range all {
		at := slices.IndexFunc(latest, func(l Container) bool { return l.Name == c.Name && c.Name != "" })
		if at < 0 {
			latest = append(latest, c)
			continue
		}
		c.follows(&latest[at])
		latest[at] = c
	}
	return latest
}

// onePod returns the newest of workloads that bear one name; nil where there are
// several names, or none: which pod is meant is still open then.
func onePod(ws []Workload) *Workload {
	if len(ws) == 0 || slices.ContainsFunc(ws, func(w Workload) bool { return w.podName() != ws[0].podName() }) {
		return nil
	}
	newest := slices.MinFunc(ws, func(a, b Workload) int { return newerFirst(&a, &b) })
	return &newest
}
