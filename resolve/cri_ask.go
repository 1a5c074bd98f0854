package resolve

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// list asks for the sandboxes and the containers that pass the filters, at the
// same time.
func (c *criConn) list(ctx context.Context, sandboxes *runtimeapi.PodSandboxFilter, containers *runtimeapi.ContainerFilter) (criPods, error) {
	var found criPods
	err := together(
		func() error {
			r, err := c.api.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{Filter: sandboxes})
			for _, p := range r.GetItems() {
				if len(p.GetId()) >= minIDPrefix {
					found.sandboxes = append(found.sandboxes, fromPodSandbox(p))
				}
			}
			return err
		},
		func() error {
			r, err := c.api.ListContainers(ctx, &runtimeapi.ListContainersRequest{Filter: containers})
			for _, k := range r.GetContainers() {
				if len(k.GetId()) >= minIDPrefix {
					found.containers = append(found.containers, fromCRIContainer(k))
				}
			}
			return err
		},
	)
	return found, err
}

// together runs requests side by side, at most [inspectParallel] at a time, and
// returns the first failure: a joined error has no code of gRPC.
func together(requests ...func() error) error {
	var g errgroup.Group
	g.SetLimit(inspectParallel)
	for _, r := range requests {
		g.Go(r)
	}
	return g.Wait()
}

// labeled asks for everything that has these labels.
func (c *criConn) labeled(ctx context.Context, labels map[string]string) (criPods, error) {
	return c.list(ctx, &runtimeapi.PodSandboxFilter{LabelSelector: labels}, &runtimeapi.ContainerFilter{LabelSelector: labels})
}

// pod finds a pod by the labels that the kubelet gives to what it makes. A
// sandbox that somebody else has made may lack them, and one that is named by
// its ID is not found by them; both are looked for among all.
func (c *criConn) pod(ctx context.Context, q Query) ([]Workload, error) {
	labels := map[string]string{labelPod: q.Pod}
	if isUUID(q.Pod) {
		labels = map[string]string{labelUID: q.Pod}
	}
	if q.Namespace != "" {
		labels[labelNamespace] = q.Namespace
	}
	found, err := c.labeled(ctx, labels)
	if err == nil && len(found.sandboxes) == 0 {
		found, err = c.list(ctx, nil, nil)
		found.keep(q)
	}
	if err != nil {
		return nil, err
	}
	return c.detail(ctx, found)
}

// keep leaves the pods that q may mean.
func (p *criPods) keep(q Query) {
	keys := map[string]bool{}
	ids := map[string]bool{}
	for _, w := range p.workloads() {
		if exactly(Query{Pod: q.Pod, Namespace: q.Namespace}, []Workload{w}) {
			keys[k8sName{Pod: w.Pod, Namespace: w.Namespace, UID: w.UID}.key()] = true
		}
	}
	p.sandboxes = slices.DeleteFunc(p.sandboxes, func(s criSandbox) bool {
		ids[s.ID] = keys[s.pod.key()]
		return !ids[s.ID]
	})
	p.containers = slices.DeleteFunc(p.containers, func(k criContainer) bool {
		return !ids[k.sandboxID] && !keys[k.pod.key()]
	})
}

// container finds a container by its full ID, or by its name within a pod. A
// sandbox's ID is one as well. For the start of an ID there is the list.
func (c *criConn) container(ctx context.Context, q Query) ([]Workload, error) {
	if len(q.Container) != idLength || !isHex(q.Container) {
		return c.innerContainer(ctx, q)
	}
	var found criPods
	err := together(
		func() error { return unlessGone(c.sandboxStatus(ctx, q.Container, &found)) },
		func() error { return unlessGone(c.containerStatus(ctx, q.Container, true, &found)) },
	)
	if err != nil {
		return nil, err
	}
	if len(found.sandboxes) > 0 {
		found.containers = nil // cri-dockerd takes a sandbox for a container, too
	}
	ws := found.workloads()
	switch {
	case len(ws) == 0 || q.brief:
		return ws, nil
	case len(found.sandboxes) > 0:
		return c.podOf(ctx, found.sandboxes[0].pod, q.Container)
	case q.Describe || found.containers[0].sandboxID == "":
		return c.podOf(ctx, found.containers[0].pod, found.containers[0].sandboxID)
	}
	if err := unlessAboutOne(c.sandboxStatus(ctx, found.containers[0].sandboxID, &found)); err != nil {
		return nil, err
	}
	return found.workloads(), nil
}

// innerContainer finds a container by its name within a pod.
func (c *criConn) innerContainer(ctx context.Context, q Query) ([]Workload, error) {
	r, err := c.api.ListContainers(ctx, &runtimeapi.ListContainersRequest{
		Filter: &runtimeapi.ContainerFilter{LabelSelector: map[string]string{labelContainer: q.Container}},
	})
	if err != nil {
		return nil, err
	}
	var found criPods
	for _, k := range r.GetContainers() {
		found.containers = append(found.containers, fromCRIContainer(k))
	}
	ws := found.workloads()
	if len(ws) != 1 {
		return ws, nil // several, or none: no more need be known of them
	}
	return c.podOf(ctx, found.containers[0].pod, found.containers[0].sandboxID)
}

// podOf asks for the whole of a pod that a container or sandbox was found to be
// of.
func (c *criConn) podOf(ctx context.Context, pod k8sName, sandboxID string) ([]Workload, error) {
	var found criPods
	var err error
	if pod.UID != "" && pod.UID != sandboxID {
		found, err = c.labeled(ctx, map[string]string{labelUID: pod.UID})
	}
	if err == nil && len(found.sandboxes) == 0 && sandboxID != "" {
		found, err = c.list(ctx, &runtimeapi.PodSandboxFilter{Id: sandboxID}, &runtimeapi.ContainerFilter{PodSandboxId: sandboxID})
	}
	if err != nil {
		return nil, err
	}
	return c.detail(ctx, found)
}

// detail asks for the details of what should be one pod: of its newest sandbox
// and its containers. Where several pods were found, which one is meant is still
// open, and no detail needed.
func (c *criConn) detail(ctx context.Context, found criPods) ([]Workload, error) {
	ws := found.workloads()
	newest := onePod(ws)
	if newest == nil {
		return ws, nil
	}
	var ids []string
	for i := range newest.Containers[:min(len(newest.Containers), maxInspects)] {
		ids = append(ids, newest.Containers[i].ID)
	}
	var sandbox, containers criPods
	err := together(
		func() error {
			if newest.Sandbox == nil {
				return nil
			}
			return unlessAboutOne(c.sandboxStatus(ctx, newest.Sandbox.ID, &sandbox))
		},
		func() (err error) { containers, err = c.containerStatuses(ctx, ids, true); return err },
	)
	if err != nil {
		return nil, err
	}
	found.refine(sandbox)
	found.refine(containers)
	return found.workloads(), nil
}

// containerStatuses asks for the details of several containers side by side.
func (c *criConn) containerStatuses(ctx context.Context, ids []string, verbose bool) (criPods, error) {
	each := make([]criPods, len(ids)) // a place of its own for each request
	var g errgroup.Group
	g.SetLimit(inspectParallel)
	for i, id := range ids {
		g.Go(func() error { return unlessAboutOne(c.containerStatus(ctx, id, verbose, &each[i])) })
	}
	err := g.Wait()
	var all criPods
	for i := range each {
		all.containers = append(all.containers, each[i].containers...)
	}
	return all, err
}

const (
	// maxEnded bounds the containers of a list whose exit codes are asked for.
	maxEnded = 256
	// endedLimit is how long that may take.
	endedLimit = 500 * time.Millisecond
)

// lookAtEnded adds to a list how the latest container of each name has ended: one
// that crashes and an init container that has succeeded look alike in it. What could
// not be asked in time stays unknown.
func (c *criConn) lookAtEnded(ctx context.Context, all *criPods) {
	type slot struct{ pod, name string }
	latest := map[slot]*criContainer{}
	for i := range all.containers {
		k := &all.containers[i]
		at := slot{k.pod.key(), k.Name}
		if l := latest[at]; l == nil || k.Created.After(l.Created) {
			latest[at] = k
		}
	}
	var ended []*criContainer
	for _, k := range latest {
		if k.State == StateExited {
			ended = append(ended, k)
		}
	}
	// What was restarted first, then the newest: old ones are of pods that are over.
	slices.SortFunc(ended, func(a, b *criContainer) int {
		return cmp.Or(-cmp.Compare(a.Restarts, b.Restarts), -a.Created.Compare(b.Created))
	})
	var ids []string
	for _, k := range ended[:min(len(ended), maxEnded)] {
		ids = append(ids, k.ID)
	}
	ctx, cancel := shortly(ctx, endedLimit)
	defer cancel()
	details, _ := c.containerStatuses(ctx, ids, false)
	all.refine(details)
}

// refine puts details in place of what a list has said.
func (p *criPods) refine(details criPods) {
	for _, d := range details.sandboxes {
		for i := range p.sandboxes {
			if p.sandboxes[i].ID == d.ID {
				p.sandboxes[i] = d
			}
		}
	}
	for _, d := range details.containers {
		for i := range p.containers {
			if k := &p.containers[i]; k.ID == d.ID {
				d.sandboxID = k.sandboxID
				p.containers[i] = d
			}
		}
	}
}

// sandboxStatus adds the details of one sandbox.
func (c *criConn) sandboxStatus(ctx context.Context, id string, found *criPods) error {
	r, err := c.api.PodSandboxStatus(ctx, &runtimeapi.PodSandboxStatusRequest{PodSandboxId: id, Verbose: true})
	if s, ok := fromSandboxStatus(r); err == nil && ok {
		found.sandboxes = append(found.sandboxes, s)
	}
	return err
}

// containerStatus adds the details of one container. Its process is told of with
// verbose only.
func (c *criConn) containerStatus(ctx context.Context, id string, verbose bool, found *criPods) error {
	r, err := c.api.ContainerStatus(ctx, &runtimeapi.ContainerStatusRequest{ContainerId: id, Verbose: verbose})
	if k, ok := fromContainerStatus(r); err == nil && ok {
		found.containers = append(found.containers, k)
	}
	return err
}

// unlessGone forgives that a runtime does not know an ID.
func unlessGone(err error) error {
	if isGone(err) {
		return nil
	}
	return err
}

// unlessAboutOne forgives that a runtime cannot tell the details of something
// that it has listed: it is gone meanwhile, or half made. What the list said of
// it counts then.
func unlessAboutOne(err error) error {
	if isBroken(err) || status.Code(err) == codes.Unimplemented {
		return err
	}
	return nil
}
