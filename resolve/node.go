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
	name, err := askCluster(ctx, r, func(ctx context.Context, c ClusterSource) (string, error) { return c.ThisNode(ctx) })
	if name != "" {
		r.nodes.put(name)
	}
	return name, err
}

// HasNode tells whether the cluster has a node of that name. The error is
// [ErrAbsent] where there is no API to ask.
func (r *Resolver) HasNode(ctx context.Context, node string) (bool, error) {
	return askCluster(ctx, r, func(ctx context.Context, c ClusterSource) (bool, error) { return c.HasNode(ctx, node) })
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
	kin, err := askCluster(ctx, r, func(ctx context.Context, c ClusterSource) (Kinship, error) { return c.Kinship(ctx, node) })
	if kin == ThisNode {
		r.nodes.put(node)
	}
	return kin, err == nil
}

// askCluster asks the cluster for something that is no list of workloads. The error
// is [ErrAbsent] where there is none to ask.
func askCluster[T any](ctx context.Context, r *Resolver, ask func(context.Context, ClusterSource) (T, error)) (answer T, err error) {
	g, source := r.clusterSource()
	if g == nil {
		return answer, ErrAbsent
	}
	answers := make(chan T, 1)
	_, err = r.call(ctx, g, lookUp, func(ctx context.Context) ([]Workload, error) {
		a, err := ask(ctx, source)
		if err == nil {
			answers <- a
		}
		return nil, err
	})
	if err != nil {
		return answer, err
	}
	r.hasCluster.Store(true)
	return <-answers, nil
}

// clusterSource is the source that knows more of the cluster than pods; nil where
// there is none.
func (r *Resolver) clusterSource() (*guard, ClusterSource) {
	for _, g := range r.cluster {
		if source, ok := g.source.(ClusterSource); ok {
			return g, source
		}
	}
	return nil, nil
}
