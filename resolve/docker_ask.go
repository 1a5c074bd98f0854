package resolve

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"golang.org/x/sync/errgroup"
)

// list asks for containers, running or not, that pass all filters, each a key
// and a value.
func (c *dockerConn) list(ctx context.Context, pairs ...filters.KeyValuePair) ([]dockerContainer, error) {
	summaries, err := c.api.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(pairs...)})
	if err != nil {
		return nil, dockerError(err)
	}
	all := make([]dockerContainer, 0, len(summaries))
	for i := range summaries {
		all = append(all, fromSummary(&summaries[i]))
	}
	return all, c.joinPods(ctx, all)
}

func label(key, value string) filters.KeyValuePair { return filters.Arg("label", key+"="+value) }

// workloads groups containers, and marks those of another machine.
func (c *dockerConn) workloads(all []dockerContainer) []Workload {
	ws := groupDocker(all)
	for i := range ws {
		ws[i].elsewhere = c.elsewhere
	}
	return ws
}

// recentKey is what a pod was asked for by.
type recentKey struct{ pod, namespace string }

const (
	// recentFor bounds how long a further container, or a pod of the same name
	// in another namespace, may go unnoticed.
	recentFor = 10 * time.Second
	maxRecent = 256
)

// pod finds a pod by the names that the kubelet gives to containers, for which
// the engine takes a third of the time that it takes for labels, or where there
// are no such names, by the labels.
func (c *dockerConn) pod(ctx context.Context, q Query) ([]Workload, error) {
	key := recentKey{q.Pod, q.Namespace}
	if ids, ok := c.recent.Get(key); ok && !q.Describe {
		if ws, err := c.again(ctx, q, ids.([]string)); ws != nil || err != nil { //nolint:forcetypeassert // of no other type
			return ws, err
		}
	}
	all, err := c.list(ctx, filters.Arg("name", podPattern(q)))
	if err == nil && len(all) == 0 {
		pairs := []filters.KeyValuePair{label(labelPod, q.Pod)}
		if isUUID(q.Pod) {
			pairs[0] = label(labelUID, q.Pod)
		}
		if q.Namespace != "" {
			pairs = append(pairs, label(labelNamespace, q.Namespace))
		}
		all, err = c.list(ctx, pairs...)
	}
	if err != nil {
		return nil, err
	}
	ws, err := c.detail(ctx, all)
	if err == nil && len(all) == 0 {
		ws, err = c.podmanPod(ctx, q.Pod)
	}
	if len(ws) == 1 && ws[0].settled() {
		c.recent.Add(key, ws[0].ids(), recentFor)
	}
	return ws, err
}

// podPattern matches the names of a pod's containers, see [k8sName]. The engine
// holds it against each name with its slash and without.
func podPattern(q Query) string {
	const part = "[^_]+"
	pod, namespace, uid := regexp.QuoteMeta(q.Pod), part, part
	if q.Namespace != "" {
		namespace = regexp.QuoteMeta(q.Namespace)
	}
	if isUUID(q.Pod) {
		pod, uid = part, pod
	}
	return "^/?k8s_" + part + "_" + pod + "_" + namespace + "_" + uid + "_"
}

// again asks for the containers that a pod consisted of a moment ago. It returns
// nothing where they are not what they were, and so perhaps not the pod's any
// more.
func (c *dockerConn) again(ctx context.Context, q Query, ids []string) ([]Workload, error) {
	details, err := c.inspectAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	all := make([]dockerContainer, 0, len(ids))
	for _, id := range ids {
		if d, ok := details[id]; ok {
			all = append(all, d)
		}
	}
	if err := c.joinPods(ctx, all); err != nil {
		return nil, err
	}
	ws := c.workloads(all)
	if len(all) != len(ids) || len(ws) != 1 || !ws[0].settled() || !exactly(q, ws) {
		return nil, nil
	}
	return ws, nil
}

// settled reports whether the sandbox and all containers run, so that the
// kubelet has no reason to make others in their place.
func (w *Workload) settled() bool {
	return w.Sandbox != nil && w.Sandbox.State == StateRunning &&
		!slices.ContainsFunc(w.Containers, func(c Container) bool { return c.State != StateRunning })
}

// podOf returns the pod that a container belongs to: what is needed to enter it,
// or with describe all of it.
func (c *dockerConn) podOf(ctx context.Context, found dockerContainer, describe bool) ([]Workload, error) {
	if found.podman.UID != "" {
		return c.podmanPod(ctx, found.podman.UID)
	}
	if id := found.sandboxID(); id != "" && !describe {
		all, err := c.inspectAll(ctx, []string{id})
		if err != nil {
			return nil, err
		}
		if sandbox, ok := all[id]; ok {
			if ws := c.workloads([]dockerContainer{found, sandbox}); len(ws) == 1 {
				return ws, nil
			}
		}
	}
	pairs := []filters.KeyValuePair{}
	if named, ok := parseK8sName(found.Name); ok {
		pairs = append(pairs, filters.Arg("name", "^/?k8s_[^_]+_"+regexp.QuoteMeta(named.Pod+"_"+named.Namespace+"_"+named.UID)+"_"))
	} else {
		pod, _ := found.pod()
		pairs = append(pairs, label(labelPod, pod.Pod))
		if pod.UID != "" {
			pairs = append(pairs, label(labelUID, pod.UID))
		}
	}
	all, err := c.list(ctx, pairs...)
	if err != nil {
		return nil, err
	}
	return c.detail(ctx, all)
}

// container finds a container by its name, its ID, or the start of its ID, which
// is what the engine itself accepts, and else by its name within a pod.
func (c *dockerConn) container(ctx context.Context, q Query) ([]Workload, error) {
	found, err := c.inspect(ctx, q.Container)
	switch {
	case err == nil:
	case cerrdefs.IsNotFound(err), strings.Contains(err.Error(), "ultiple IDs found"):
		return c.innerContainer(ctx, q)
	default:
		return nil, err
	}
	all := []dockerContainer{found}
	if err := c.joinPods(ctx, all); err != nil {
		return nil, err
	}
	ws := c.workloads(all)
	if q.brief {
		return ws, nil
	}
	if _, ok := all[0].pod(); ok {
		return c.podOf(ctx, all[0], q.Describe)
	}
	owner, err := c.networkOwner(ctx, found)
	if err != nil {
		return nil, err
	}
	if owner != nil {
		ws[0].Sandbox = owner.sandbox()
		ws[0].HostNetwork = owner.network == "host"
	}
	return ws, nil
}

// innerContainer finds a container by its name within a pod.
func (c *dockerConn) innerContainer(ctx context.Context, q Query) ([]Workload, error) {
	all, err := c.list(ctx, label(labelContainer, q.Container))
	if err != nil {
		return nil, err
	}
	ws := c.workloads(all)
	if len(ws) != 1 || len(ws[0].Containers) == 0 {
		return ws, nil // several, or none: no more need be known of them
	}
	found, err := c.inspect(ctx, ws[0].Containers[0].ID)
	if err != nil {
		return nil, err
	}
	return c.podOf(ctx, found, q.Describe)
}

// maxJoins bounds how far --network container:ID is followed.
const maxJoins = 4

// networkOwner follows --network container:ID to the container whose network it
// is; nil where it is its own.
func (c *dockerConn) networkOwner(ctx context.Context, from dockerContainer) (*dockerContainer, error) {
	owner := from
	for range maxJoins {
		id, joined := strings.CutPrefix(owner.network, "container:")
		if !joined {
			break
		}
		next, err := c.inspect(ctx, id)
		if cerrdefs.IsNotFound(err) {
			break // removed, while what had joined it runs on
		}
		if err != nil {
			return nil, err
		}
		owner = next
	}
	if owner.ID == from.ID {
		return nil, nil
	}
	return &owner, nil
}

func (c *dockerConn) inspect(ctx context.Context, name string) (dockerContainer, error) {
	response, err := c.api.ContainerInspect(ctx, name)
	if err != nil {
		return dockerContainer{}, dockerError(err)
	}
	found, ok := fromInspect(&response)
	if !ok {
		return dockerContainer{}, errors.New("the answer on a container is not that of a Docker engine")
	}
	return found, nil
}

const (
	// maxInspects bounds the containers of one pod that are looked at closely.
	maxInspects = 64
	// inspectParallel is how many are asked for at the same time.
	inspectParallel = 4
)

// detail groups the containers of what should be one pod, and asks for the
// details of its newest sandbox and containers. Where the containers are of
// several pods, which one is meant is still open, and no detail needed.
func (c *dockerConn) detail(ctx context.Context, all []dockerContainer) ([]Workload, error) {
	ws := c.workloads(all)
	newest := onePod(ws)
	if newest == nil {
		return ws, nil
	}
	wanted := newest.ids()
	wanted = wanted[:min(len(wanted), maxInspects)]
	details, err := c.inspectAll(ctx, wanted)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if d, ok := details[all[i].ID]; ok {
			all[i] = d
		}
	}
	return c.workloads(all), nil
}

const (
	// maxRestless bounds the containers of a list that are looked at closely.
	maxRestless = 16
	// restlessLimit is how long that may take: one that is stuck holds its lock, and
	// is inspected by nobody.
	restlessLimit = 300 * time.Millisecond
)

// lookAtRestless finds out, of containers without a pod that may crash again and
// again, how often they were restarted and when they last ended. Between two
// crashes they look healthy. The kubelet counts for those of pods.
func (c *dockerConn) lookAtRestless(ctx context.Context, all []dockerContainer) {
	at := map[string]int{}
	var ids []string
	for i := range all {
		if _, ofPod := all[i].pod(); all[i].restless && !ofPod && len(ids) < maxRestless {
			at[all[i].ID] = i
			ids = append(ids, all[i].ID)
		}
	}
	ctx, cancel := shortly(ctx, restlessLimit)
	defer cancel()
	// What can be told is welcome, not needed.
	details, _ := c.inspectAll(ctx, ids)
	for id, d := range details {
		all[at[id]] = d
	}
}

// shortly bounds what adds to a list by limit and by a third of the time that is
// left: what was listed already must not be lost for it.
func shortly(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)/3)
	}
	return context.WithTimeout(ctx, limit)
}

// inspectAll asks for several containers at the same time. Those that are gone
// meanwhile are left out.
func (c *dockerConn) inspectAll(ctx context.Context, ids []string) (map[string]dockerContainer, error) {
	var mu sync.Mutex
	details := make(map[string]dockerContainer, len(ids))
	var g errgroup.Group
	g.SetLimit(inspectParallel)
	for _, id := range ids {
		g.Go(func() error {
			d, err := c.inspect(ctx, id)
			if cerrdefs.IsNotFound(err) {
				return nil
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				details[id] = d
			}
			return err
		})
	}
	return details, g.Wait()
}
