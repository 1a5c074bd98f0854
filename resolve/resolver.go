package resolve

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/util/cache"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/nsexec"
)

// Config is what a [Resolver] works with. Home and Host are required.
type Config struct {
	Home *nsexec.Home
	// Host is the host's network namespace: Home.Self(), or another that the
	// operator has named. The Resolver never closes it.
	Host *nsexec.Handle
	// Root is the directory below which the host's files lie, its /proc
	// included; "" is "/".
	Root string
	// Node is this node's name in Kubernetes; "" lets a source of Cluster find it
	// when it is needed.
	Node string
	// Sources know this node's workloads and are asked side by side. Where two
	// know the same one, the earlier one's word counts.
	Sources []Source
	// Cluster are sources that know other nodes too. They are asked where no
	// local source knows a pod, and for [Query.Describe].
	Cluster []Source
	// AllowHostNetwork permits targets whose network is the host's.
	AllowHostNetwork bool
	// Logger gets what a caller cannot be told; nil is slog.Default.
	Logger *slog.Logger
	// Now is the clock of the pause that a hung source gets; nil is time.Now.
	Now func() time.Time
}

// Resolver finds and opens targets. It is safe for concurrent use.
type Resolver struct {
	cfg     Config
	limits  limits
	local   []*guard
	cluster []*guard
	known   *cache.LRUExpireCache // [identity] by a container's ID
	nodes   nodes
	around  func() string // see aroundNode
	// hasCluster: a source of the cluster has answered before, so there is one.
	hasCluster atomic.Bool

	closeOnce sync.Once
	closed    chan struct{}
}

// limits are the times that a Resolver gives to sources. They are fields only
// for tests.
type limits struct {
	// source is for one source's whole answer. With what comes after it, a
	// caller has an answer within 2 s.
	source time.Duration
	// cluster is for a list of all pods of a cluster, which has thousands.
	cluster time.Duration
	// grace is for the other sources, once one knows the target.
	grace time.Duration
	// patience is how long all are waited for before the lists of those that
	// have answered are fetched, which is of use only if nobody knows the name.
	patience time.Duration
	// pause is how long a source is left alone that did not answer.
	pause time.Duration
	// identify is for asking whose process this is, which is welcome but not
	// needed.
	identify time.Duration
}

func defaultLimits() limits {
	return limits{
		source:   1700 * time.Millisecond,
		cluster:  8 * time.Second,
		grace:    50 * time.Millisecond,
		patience: 250 * time.Millisecond,
		pause:    10 * time.Second,
		identify: 500 * time.Millisecond,
	}
}

// New returns a Resolver. The caller closes it, and after it what is in cfg.
func New(cfg Config) *Resolver {
	if cfg.Root == "" {
		cfg.Root = "/"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Resolver{cfg: cfg, limits: defaultLimits(), known: cache.NewLRUExpireCache(maxIdentities), closed: make(chan struct{})}
	r.around = sync.OnceValue(func() string { return aroundNode(r.procRoot()) })
	r.nodes.put(cfg.Node)
	for _, s := range cfg.Sources {
		r.local = append(r.local, newGuard(s))
	}
	for _, s := range cfg.Cluster {
		r.cluster = append(r.cluster, newGuard(s))
	}
	return r
}

// Close ends requests to sources that are still under way. Targets stay open.
func (r *Resolver) Close() { r.closeOnce.Do(func() { close(r.closed) }) }

// detached returns a context for a request to a source. It does not end with its
// caller's: a request that outlives its caller still shows whether the source is
// alive, and its guard bounds it.
func (r *Resolver) detached(caller context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(caller))
	go func() {
		select {
		case <-r.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Resolve finds what q names and opens it. Every error is an [*Error]. The
// caller closes the target.
func (r *Resolver) Resolve(ctx context.Context, q Query) (*Target, error) {
	q, err := q.parse(true)
	if err != nil {
		return nil, err
	}
	var t *Target
	switch {
	case q.PID != nil:
		t, err = r.resolvePID(ctx, q)
	case q.Netns != "":
		t, err = r.resolveNetns(ctx, q.Netns, q.Describe)
	case q.IP != "":
		t, err = r.resolveIP(ctx, q)
	default:
		t, err = r.resolveNamed(ctx, q)
	}
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			e.Message = words.OneLine(e.Message)
		}
		return nil, err
	}
	if q.Describe && q.Pod == "" {
		r.describe(ctx, t)
	}
	t.noteStatus()
	return t, nil
}

// describe adds what the cluster says of the pod to which a process, a container
// or a network belongs. Nothing is amiss where nobody can say.
func (r *Resolver) describe(ctx context.Context, t *Target) {
	w := &t.Workload
	if w.Pod == "" || w.Status != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, r.limits.identify)
	defer cancel()
	for _, g := range r.cluster {
		began := time.Now()
		ws, err := r.call(ctx, g, lookUp, func(ctx context.Context) ([]Workload, error) {
			return g.source.Exact(ctx, Query{Pod: w.Pod, Namespace: w.Namespace, Describe: true})
		})
		t.Steps = append(t.Steps, stepOf(g, event{what: lookUp, workloads: ws, err: err, took: time.Since(began)}))
		for i := range ws {
			if ws[i].UID == w.UID {
				w.absorb(&ws[i])
			}
		}
	}
}

// call asks a source within the time that one has.
func (r *Resolver) call(ctx context.Context, g *guard, what request, ask func(context.Context) ([]Workload, error)) ([]Workload, error) {
	return g.call(ctx, what, r.limits.source, r.cfg.Now, r.limits.pause, ask)
}

func (r *Resolver) procRoot() string { return filepath.Join(r.cfg.Root, "proc") }
