package resolve

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"nsenter-mcp/nsexec"
)

// PodList is what [Resolver.Pods] found: pods, and the containers of this node
// that belong to none.
type PodList struct {
	Node string // this node's name, "" if it is not known
	// Pods are all of them, trouble first.
	Pods  []Listed
	Total int
	// Everywhere: the cluster was asked, so pods of other nodes are among them.
	Everywhere bool
	// Sources are all that were asked.
	Sources []SourceState
	// NoRuntime: nobody who knows names is here, no runtime and no kubelet.
	NoRuntime bool
	// NoNames: nobody who knows names has answered, not even a cluster.
	NoNames bool
	// NoCluster: the cluster was to be asked, and no API is configured.
	NoCluster bool
}

// Listed is one pod or container.
type Listed struct {
	Workload
	// Here: it is on this node, so that it can be entered.
	Here bool
}

// Pods lists the pods that the local sources know, and with everywhere those of
// the whole cluster. Where no local source answers, as on a machine that is no
// node, the cluster is asked in any case. Like [Resolver.Discover] it opens
// nothing and fails only when ctx ends, by an [*Error].
func (r *Resolver) Pods(ctx context.Context, everywhere bool) (PodList, error) {
	list := PodList{Node: r.Node()}
	lists, states, err := r.lists(ctx, r.local, r.limits.source)
	if err != nil {
		return PodList{}, err
	}
	list.Sources, list.NoNames = states, !r.named(states, answered)
	list.NoRuntime = !r.named(states, func(s *SourceState) bool { return s.State != stateAbsent })
	// The local ones come first, also when others are merged into them.
	local := len(merge(lists...))
	if everywhere || !slices.ContainsFunc(states, func(s SourceState) bool { return s.State == stateOK }) {
		more, states, err := r.lists(ctx, r.cluster, r.limits.cluster)
		if err != nil {
			return PodList{}, err
		}
		lists, list.Sources = append(lists, more...), append(list.Sources, states...)
		list.Everywhere = slices.ContainsFunc(states, func(s SourceState) bool { return s.State == stateOK })
		list.NoNames = list.NoNames && !list.Everywhere
		list.NoCluster = !slices.ContainsFunc(states, func(s SourceState) bool { return s.State != stateAbsent })
		if list.Everywhere && list.Node == "" {
			// Where that cannot be told, what the local sources know is here, and no more.
			list.Node, _ = r.FindNode(ctx)
		}
	}
	list.Sources = foldStates(list.Sources)
	for i, w := range merge(lists...) {
		here := i < local || w.Node != "" && w.Node == list.Node
		list.Pods = append(list.Pods, Listed{Workload: w, Here: here})
	}
	list.Total = len(list.Pods)
	slices.SortStableFunc(list.Pods, func(a, b Listed) int {
		return cmp.Or(troubleFirst(a.Workload, b.Workload), cmp.Compare(a.UID, b.UID))
	})
	return list, nil
}

// Network is what a look into the network of a pod shows.
type Network struct {
	// Addresses are those that others reach it by; none where it could not be
	// looked into.
	Addresses []netip.Addr
	// Host is nil where that is not known.
	Host *bool
	// Started is when its sandbox or the oldest of its containers was started;
	// zero where that is not known.
	Started time.Time
}

// networksTime bounds the look into all of them; each takes less than a
// millisecond.
const networksTime = time.Second

// Networks looks into the networks of pods of this node whose processes are
// known, in the order of pods. What cannot be seen, or not in time, stays
// unknown: it is welcome in a list, no more.
func (r *Resolver) Networks(ctx context.Context, pods []Listed) []Network {
	found := make([]Network, len(pods))
	ctx, cancel := context.WithTimeout(ctx, networksTime)
	defer cancel()
	var wg sync.WaitGroup
	for i := range pods {
		if !pods[i].Here {
			continue
		}
		wg.Go(func() {
			_ = r.cfg.Host.Look(ctx, func() error { found[i] = r.network(ctx, &pods[i].Workload); return nil })
		})
	}
	wg.Wait()
	return found
}

// network looks into one, by the first process that proves to be of it.
func (r *Resolver) network(ctx context.Context, w *Workload) Network {
	for _, c := range w.processes() {
		p, err := r.openClaimed(ctx, c)
		if err != nil {
			continue
		}
		found, ok := r.networkOf(ctx, w, p)
		_ = p.Close() // was only looked at
		if ok {
			return found
		}
	}
	return Network{}
}

// networkOf looks into the network of a process of w; not ok where the process is
// not in that of w.
func (r *Resolver) networkOf(ctx context.Context, w *Workload, p *nsexec.Process) (found Network, ok bool) {
	found.Started = p.Started()
	handle, err := p.Net()
	if err != nil {
		return found, true
	}
	defer func() { _ = handle.Close() }() // was only looked at
	if r.notInside(w, p, handle) != nil {
		return Network{}, false
	}
	host := handle.Identity().Same(r.cfg.Host.Identity())
	found.Host = &host
	if !host { // the node's addresses are no pod's
		// What cannot be read is not known.
		found.Addresses, _ = globalAddresses(ctx, handle)
	}
	return found, true
}

// processes are the claims of what runs of w, the sandbox's first. A list may be
// older than the processes, so only their cgroups count as proof.
func (w *Workload) processes() []claim {
	var claims []claim
	if s := w.Sandbox; s != nil && s.PID > 0 {
		claims = append(claims, claim{pid: s.PID, id: s.ID, elsewhere: true})
	}
	for i := range w.Containers {
		if c := &w.Containers[i]; c.PID > 0 && c.State.Alive() {
			claims = append(claims, claim{pid: c.PID, id: c.ID, elsewhere: true})
		}
	}
	return claims
}
