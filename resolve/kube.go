package resolve

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
)

// KubeOptions says which cluster is asked, and as whom.
type KubeOptions struct {
	// Config is the path of a kubeconfig; it wins over KUBECONFIG. Without both,
	// ~/.kube/config counts, then the service account of the pod that this runs in.
	Config string
	// Operator: Config is the operator's word, or nobody's. KUBECONFIG and the home
	// directory are not looked at, and the user whose process this is need not be able
	// to read Config and the files that it names. Otherwise they are read with no more
	// rights than he has.
	Operator bool
	// Context is one of the kubeconfig's; "" is its current one.
	Context string
	// AllowPlugin lets a kubeconfig start its credential plugin (a program of its
	// choice) although this process is root.
	AllowPlugin bool
	// Root is the directory below which the host's files lie; "" is "/".
	Root string
}

// Kube is a [ClusterSource] that asks the Kubernetes API. It knows all nodes'
// pods, and why one does not run, but no process of any.
type Kube struct {
	options KubeOptions

	mu   sync.Mutex
	conn *kubeConn // nil before the first use
}

// NewKube returns the source. No file is read and nothing is connected to before
// it is asked. The caller closes it.
func NewKube(options KubeOptions) *Kube {
	options.Root = filepath.Join("/", options.Root)
	return &Kube{options: options}
}

// Name is "kubernetes".
func (*Kube) Name() string { return "kubernetes" }

// Close gives up idle connections, and ends a credential plugin that runs. The
// source may be asked again.
func (k *Kube) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop()
	return nil
}

// drop forgets the connection. The caller holds the lock.
func (k *Kube) drop() {
	if k.conn != nil {
		k.conn.close()
		k.conn = nil
	}
}

// Exact asks for one pod by one request, or by at most four where it is to be
// described or does not start.
func (k *Kube) Exact(ctx context.Context, q Query) ([]Workload, error) {
	if q.Pod == "" {
		return nil, ErrCannotTell
	}
	return kubeAsk(ctx, k, func(c *kubeConn) ([]Workload, error) { return c.exact(ctx, q) })
}

// List asks for the pods of all nodes, in pages.
func (k *Kube) List(ctx context.Context) ([]Workload, error) {
	return kubeAsk(ctx, k, func(c *kubeConn) ([]Workload, error) { return c.listPods(ctx) })
}

// kubeAsk runs one exchange with the API. After a failure of the connection or
// of the credentials both are made anew the next time, from the files of then.
func kubeAsk[T any](ctx context.Context, k *Kube, exchange func(*kubeConn) (T, error)) (T, error) {
	conn, err := k.connect()
	if err != nil {
		var none T
		return none, err
	}
	answer, err := exchange(conn)
	if err != nil && !isAnswer(err) && !errors.Is(ctx.Err(), context.Canceled) {
		k.forget(conn)
	}
	return answer, err
}

func (k *Kube) forget(conn *kubeConn) {
	if conn.plugin.running() {
		return // it may yet succeed, and then all is well
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn == conn {
		k.drop()
	}
}

// connect returns the cluster that the options and the environment name now: a
// kubeconfig may appear, or change, long after the server has started. Files are
// read without the lock, as they may lie where nobody answers (NFS, FUSE).
func (k *Kube) connect() (*kubeConn, error) {
	from, err := k.options.origin()
	if err != nil {
		return nil, err
	}
	if conn := k.current(from); conn != nil {
		return conn, nil
	}
	conn, err := newKubeConn(k.options, from)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil:
		k.drop()
		return nil, err
	case k.conn != nil && k.conn.from == conn.from: // somebody was faster
		conn.close()
		return k.conn, nil
	}
	k.drop()
	k.conn = conn
	return conn, nil
}

// current is the connection that was made of the same files, nil for none.
func (k *Kube) current(from *kubeOrigin) *kubeConn {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.conn != nil && k.conn.from == from.key() {
		return k.conn
	}
	return nil
}
