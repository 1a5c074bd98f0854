package resolve

import (
	"context"
	"sync"
)

// Kinship is what a node of a cluster is to this machine.
type Kinship int

// The kinships.
const (
	Stranger   Kinship = iota // another machine
	SameKernel                // a node in a container, beside us or around us
	ThisNode
)

// nodes remembers what is known of this machine's place in the cluster. Only
// what was found is kept: a cluster that did not know this machine may do so
// later.
type nodes struct {
	mu   sync.Mutex
	name string // this node's; "" is not known
}

func (n *nodes) get() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.name
}

func (n *nodes) put(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.name = name
}

// Node is this node's name in Kubernetes as far as it is known without asking
// anybody; "" is not known.
func (r *Resolver) Node() string { return r.nodes.get() }

// FindNode is this node's name in Kubernetes. Where the operator has given none,
// it is found by the kernel's boot ID, once. It is "" where the API has no node
// like this machine, so that it describes another cluster; an error says why
// that could not be found out, and is [ErrAbsent] where there is no API.
func (r *Resolver) FindNode(ctx context.Context) (string, error) {
	if name := r.nodes.get(); name != "" {
		return name, nil
	}
	failed := error(ErrAbsent)
	for _, g := range r.cluster {
		source, ok := g.source.(ClusterSource)
		if !ok {
			continue
		}
		name, err := guarded(ctx, r, g, source.ThisNode)
		if err == nil && name != "" {
			r.nodes.put(name)
			return name, nil
		}
		failed = err
	}
	return "", failed
}

// HasNode tells whether the cluster has a node of that name. The error is
// [ErrAbsent] where there is no API to ask.
func (r *Resolver) HasNode(ctx context.Context, node string) (bool, error) {
	failed := error(ErrAbsent)
	for _, g := range r.cluster {
		source, ok := g.source.(ClusterSource)
		if !ok {
			continue
		}
		has, err := guarded(ctx, r, g, func(ctx context.Context) (bool, error) { return source.HasNode(ctx, node) })
		if err == nil {
			return has, nil
		}
		failed = err
	}
	return false, failed
}

// kinship tells what a node is to this machine; known is false where nobody can
// say.
func (r *Resolver) kinship(ctx context.Context, node string) (kin Kinship, known bool) {
	if name := r.nodes.get(); name != "" {
		if name == node {
			return ThisNode, true
		}
		return Stranger, true
	}
	for _, g := range r.cluster {
		source, ok := g.source.(ClusterSource)
		if !ok {
			continue
		}
		kin, err := guarded(ctx, r, g, func(ctx context.Context) (Kinship, error) { return source.Kinship(ctx, node) })
		if err != nil {
			continue
		}
		if kin == ThisNode {
			r.nodes.put(node)
		}
		return kin, true
	}
	return Stranger, false
}

// guarded asks a source for something that is no list of workloads.
func guarded[T any](ctx context.Context, r *Resolver, g *guard, ask func(context.Context) (T, error)) (T, error) {
	var answer T
	answers := make(chan T, 1)
	_, err := g.call(ctx, lookUp, r.limits.source, r.cfg.Now, r.limits.pause, func(ctx context.Context) ([]Workload, error) {
		a, err := ask(ctx)
		if err == nil {
			answers <- a
		}
		return nil, err
	})
	if err != nil {
		return answer, err
	}
	r.hasCluster.Store(true) // no other source is asked so
	return <-answers, nil
}
