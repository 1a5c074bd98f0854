package resolve

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// The resources that are asked for.
const (
	kubePods     = "pods"
	kubeNodes    = "nodes"
	kubeServices = "services"
	kubeEvents   = "events"
)

// exact finds one pod by its name or its UID.
func (c *kubeConn) exact(ctx context.Context, q Query) ([]Workload, error) {
	pods, err := c.pods(ctx, q)
	if err != nil || len(pods) == 0 {
		return nil, err
	}
	ws := make([]Workload, 0, len(pods))
	for i := range pods {
		if w, ok := fromPod(&pods[i]); ok {
			ws = append(ws, w)
		}
	}
	if len(ws) == 1 && len(pods) == 1 {
		c.detail(ctx, q, &pods[0], &ws[0])
	}
	return ws, nil
}

// pods asks for the pods that q may mean.
func (c *kubeConn) pods(ctx context.Context, q Query) ([]kubePod, error) {
	switch {
	case isUUID(q.Pod):
		return c.podByUID(ctx, q)
	case q.Namespace != "":
		return c.podIn(ctx, q.Namespace, q.Pod)
	}
	pods, err := firstOf[kubePod](ctx, c, kubeRequest{group: kubeCore, resource: kubePods, fields: "metadata.name=" + q.Pod}, 100)
	if isForbidden(err) && c.namespace != "" {
		// Who may see one namespace only has it in the context, as a rule.
		if pods, e := c.podIn(ctx, c.namespace, q.Pod); e == nil && len(pods) > 0 {
			return pods, nil
		}
	}
	return pods, err
}

func (c *kubeConn) podIn(ctx context.Context, namespace, name string) ([]kubePod, error) {
	var p kubePod
	found, err := c.one(ctx, kubeRequest{group: kubeCore, resource: kubePods, namespace: namespace, name: name}, &p)
	if !found {
		return nil, err
	}
	return []kubePod{p}, nil
}

// podByUID looks through all pods, since the API selects by no UID.
func (c *kubeConn) podByUID(ctx context.Context, q Query) ([]kubePod, error) {
	var found []kubePod
	err := pages(ctx, c, kubeRequest{group: kubeCore, resource: kubePods, namespace: q.Namespace}, func(p *kubePod) bool {
		if p.Metadata.UID == q.Pod {
			found = append(found, *p)
		}
		return len(found) == 0
	})
	return found, err
}

// listPods is all pods of the cluster, each with how its node is. Who may not list
// nodes does not learn that.
func (c *kubeConn) listPods(ctx context.Context) ([]Workload, error) {
	nodes := map[string]*Condition{}
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = pages(ctx, c, kubeRequest{group: kubeCore, resource: kubeNodes}, func(n *kubeNode) bool {
			nodes[n.Metadata.Name] = n.notReady()
			return true
		})
	})
	ws, err := c.allPods(ctx)
	wg.Wait()
	for i := range ws {
		ws[i].Status.Node = nodes[ws[i].Node]
	}
	return ws, err
}

// allPods is all pods of the cluster, or of the namespace of the context where
// no more is allowed. With a [*cutError] it is the first of them.
func (c *kubeConn) allPods(ctx context.Context) ([]Workload, error) {
	var ws []Workload
	take := func(p *kubePod) bool {
		if w, ok := fromPod(p); ok {
			ws = append(ws, w)
		}
		return true
	}
	r := kubeRequest{group: kubeCore, resource: kubePods}
	err := pages(ctx, c, r, take)
	if isForbidden(err) && c.namespace != "" {
		r.namespace = c.namespace
		if e := pages(ctx, c, r, take); e == nil || isCut(e) {
			return ws, e
		}
	}
	if err != nil && !isCut(err) {
		return nil, err
	}
	return ws, err
}

// detail adds to a pod what stands in other objects: which services select it and
// how its node is, where it is to be described, and why it does not start or is not
// ready. All of it is welcome, not needed, so that a failure is none.
func (c *kubeConn) detail(ctx context.Context, q Query, p *kubePod, w *Workload) {
	var wg sync.WaitGroup
	defer wg.Wait()
	starting := p.Status.Phase == phasePending && p.Spec.NodeName != "" && w.Status.Message == ""
	if starting || q.Describe && w.unwell() {
		wg.Go(func() { c.trouble(ctx, p, w.Status) })
	}
	if !q.Describe {
		return
	}
	wg.Go(func() { w.Status.Services = c.servicesOf(ctx, p) })
	if p.Spec.NodeName != "" {
		wg.Go(func() {
			var n kubeNode
			if found, _ := c.one(ctx, kubeRequest{group: kubeCore, resource: kubeNodes, name: p.Spec.NodeName}, &n); found {
				w.Status.Node = n.notReady()
			}
		})
	}
}

// unwell reports whether a pod that runs is not ready, or was restarted lately.
func (w *Workload) unwell() bool {
	return w.Status.Phase == phaseRunning && w.Status.Message == "" &&
		(!w.Status.Ready || slices.ContainsFunc(w.Containers, func(c Container) bool { return c.CrashedLately(time.Now()) }))
}

// notReady is the condition of a node that is not ready; nil for one that is.
func (n *kubeNode) notReady() *Condition {
	for i := range n.Status.Conditions {
		if c := &n.Status.Conditions[i]; c.Type == "Ready" && c.Status != "True" {
			return &Condition{Type: "Ready", Status: reasonWord(c.Status), Reason: reasonWord(c.Reason), Since: c.LastTransitionTime}
		}
	}
	return nil
}

// servicesOf are the names of the services that select the pod; nil where that
// cannot be told.
func (c *kubeConn) servicesOf(ctx context.Context, p *kubePod) []string {
	names := []string{}
	err := pages(ctx, c, kubeRequest{group: kubeCore, resource: kubeServices, namespace: p.Metadata.Namespace}, func(s *kubeService) bool {
		if selects(s.Spec.Selector, p.Metadata.Labels) && checkName("", s.Metadata.Name, "") == nil {
			names = append(names, s.Metadata.Name)
		}
		return len(names) < maxServices
	})
	if err != nil {
		return nil
	}
	return names
}

// trouble takes the newest warning on a pod, failing probes before all else.
func (c *kubeConn) trouble(ctx context.Context, p *kubePod, s *PodStatus) {
	events, err := firstOf[kubeEvent](ctx, c, kubeRequest{
		group: kubeCore, resource: kubeEvents, namespace: p.Metadata.Namespace,
		fields: "involvedObject.uid=" + p.Metadata.UID + ",type=Warning",
	}, 100)
	if err != nil {
		return
	}
	var latest *kubeEvent
	for i := range events {
		e := &events[i]
		if s.Phase == phaseRunning && time.Since(e.lastSeen()) > eventLately {
			continue // events stay for an hour, and the pod has started since
		}
		if latest == nil || e.rank() > latest.rank() || e.rank() == latest.rank() && e.lastSeen().After(latest.lastSeen()) {
			latest = e
		}
	}
	if latest != nil {
		s.Reason, s.Message = cmp.Or(reasonWord(latest.Reason), s.Reason), textUpTo(latest.Message, maxPodText)
	}
}

// eventLately is how old a warning on a pod that runs may be: of probes that go on
// failing the kubelet writes one every 5 minutes at least (client-go, tools/record,
// events_cache.go).
const eventLately = 10 * time.Minute

// rank: a probe that fails is the cause of restarts, and so of a BackOff.
func (e *kubeEvent) rank() int { return boolInt(e.Reason == "Unhealthy") }
