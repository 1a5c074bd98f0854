package resolve

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Source knows workloads: a container runtime, the node's own files, the
// Kubernetes API. It is asked from many goroutines at once. It opens no
// namespace and owns no policy.
//
// A Source need not bound itself: the [Resolver] gives each call a deadline,
// leaves a source alone for a while that missed it, and survives its panics.
type Source interface {
	// Name is one lower-case word for messages: "docker".
	Name() string
	// Exact returns the workloads that q (a pod or a container) may mean, in full
	// detail, in a number of requests that does not grow with the number of
	// workloads: the filtering is done by whoever is asked. It may return more
	// than what fits; the Resolver matches again. None is not an error.
	Exact(ctx context.Context, q Query) ([]Workload, error)
	// List returns all workloads, cheaply: names, IDs and states suffice, PIDs
	// may be missing. It serves prefixes, near misses and [Resolver.Discover].
	// The slice is the caller's from then on.
	List(ctx context.Context) ([]Workload, error)
}

// ClusterSource is a [Source] of [Config.Cluster] that knows more than pods. It
// is asked, and bounded, like any other.
type ClusterSource interface {
	Source
	// Owned returns the pods of the workload resource that q names (a Deployment,
	// a Job), told by their owner references.
	Owned(ctx context.Context, q Query) ([]Workload, error)
	// Address tells what in the cluster has an address.
	Address(ctx context.Context, ip netip.Addr) (Address, error)
	// Service tells what is known of a service; nil where there is none like that.
	Service(ctx context.Context, q ServiceQuery) (*ServiceState, error)
	// Kinship tells what the node of that name is to this machine, in a constant
	// number of requests.
	Kinship(ctx context.Context, node string) (Kinship, error)
	// HasNode tells whether the cluster has a node of that name.
	HasNode(ctx context.Context, node string) (bool, error)
	// ThisNode finds the name of the node that this machine is; "" where the
	// cluster has none like it.
	ThisNode(ctx context.Context) (string, error)
}

var (
	// ErrAbsent is what a Source returns when what it asks is not installed
	// here: no socket, no directory. It is no failure.
	ErrAbsent = errors.New("not present on this node")
	// ErrCannotTell is what a Source returns for a query of a sort that it knows
	// nothing of: a name, where it sees IDs only.
	ErrCannotTell = errors.New("does not know such names")
)

// stateOK is the State of a source that has answered, stateAbsent that of one
// that is not here.
const (
	stateOK     = "ok"
	stateAbsent = "absent"
)

// SourceState is how a source did when it was last asked.
type SourceState struct {
	Name string `json:"name"`
	// State is "ok", "absent", "failed", "hung" or "skipped" (hung a short while
	// ago, so not asked again yet).
	State string `json:"state"`
	// Error says why it did not answer, or with state "ok" that it knows more than it
	// has listed.
	Error string `json:"error,omitempty"`
	// Untrusted is what others said of the cause.
	Untrusted string  `json:"untrusted,omitempty"`
	MS        float64 `json:"ms"`
	Workloads int     `json:"workloads"`
	// Version is what the source calls itself: "containerd 1.7.28".
	Version string `json:"version,omitempty"`

	of membership
}

// versioned is a [Source] that can say who answers.
type versioned interface {
	Version(ctx context.Context) (string, error)
}

// milliseconds rounds d for people.
func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
