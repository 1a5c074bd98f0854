package resolve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
	"k8s.io/apimachinery/pkg/util/cache"
)

// DockerOptions says where the Docker engine is.
type DockerOptions struct {
	// Host is an address as DOCKER_HOST takes it; it wins over that variable.
	// Without both, the default socket is looked for below Root, then that of a
	// rootless engine in XDG_RUNTIME_DIR.
	Host string
	// Root is the directory below which the host's files lie; "" is "/".
	Root string
}

// Docker is a [Source] that asks the Docker engine: containers, and the pods
// that a kubelet has made of them. DOCKER_HOST, DOCKER_API_VERSION,
// DOCKER_CERT_PATH and DOCKER_TLS_VERIFY mean what they mean to docker.
type Docker struct {
	name    string
	env     string   // the variable that names the engine's address; "" for none
	places  []string // of its socket, below the root
	options DockerOptions

	mu   sync.Mutex
	conn *dockerConn // nil before the first use
}

// NewDocker returns the source. Nothing is connected to before it is asked. The
// caller closes it.
func NewDocker(options DockerOptions) *Docker {
	options.Root = filepath.Join("/", options.Root)
	// docker's own default, and the link that /var/run usually is.
	places := []string{"/var/run/docker.sock", "/run/docker.sock"}
	return &Docker{name: dockerFamily, env: client.EnvOverrideHost, places: places, options: options}
}

// dockerFamily is what those are called together that speak the Docker API.
const dockerFamily = "docker"

// Name is "docker" or "podman".
func (d *Docker) Name() string { return d.name }

func (*Docker) family() string { return dockerFamily }

// Close gives up idle connections. The source may be asked again.
func (d *Docker) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil {
		return nil
	}
	conn := d.conn
	d.conn = nil
	return conn.api.Close()
}

// Exact asks for one pod or container. It takes at most four requests, and at
// most two more for each container of the pod that is found.
func (d *Docker) Exact(ctx context.Context, q Query) ([]Workload, error) {
	return d.ask(ctx, func(c *dockerConn) ([]Workload, error) {
		if q.Pod != "" {
			return c.pod(ctx, q)
		}
		return c.container(ctx, q)
	})
}

// List asks for all containers by one request.
func (d *Docker) List(ctx context.Context) ([]Workload, error) {
	return d.ask(ctx, func(c *dockerConn) ([]Workload, error) {
		all, err := c.list(ctx)
		if err != nil {
			return nil, err
		}
		c.lookAtRestless(ctx, all)
		return c.workloads(all), nil
	})
}

// ask runs one exchange with the engine. An engine that was restarted may be of
// another version, so what was agreed on before is forgotten.
func (d *Docker) ask(ctx context.Context, exchange func(*dockerConn) ([]Workload, error)) ([]Workload, error) {
	var failed error
	for range 2 {
		conn, err := d.connect(ctx)
		if err != nil {
			return nil, err
		}
		ws, err := exchange(conn)
		if err == nil {
			return ws, nil
		}
		// "client version 1.43 is too new" or "too old" (moby,
		// daemon/server/middleware/version.go).
		otherVersion := cerrdefs.IsInvalidArgument(err) && strings.Contains(Said(err), "client version")
		if otherVersion || client.IsErrConnectionFailed(err) {
			d.forget(conn)
		}
		if failed = err; !otherVersion {
			break
		}
	}
	return nil, failed
}

func (d *Docker) forget(conn *dockerConn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == conn {
		d.conn = nil
		_ = conn.api.Close() // ends idle connections, nothing to report
	}
}

// dockerAPI is the part of the client that is used; what succeeds the client
// has the same.
type dockerAPI interface {
	ContainerList(ctx context.Context, options container.ListOptions) ([]container.Summary, error)
	ContainerInspect(ctx context.Context, id string) (container.InspectResponse, error)
	Close() error
}

// dockerConn is a client of one engine.
type dockerConn struct {
	host string
	api  dockerAPI
	// elsewhere: the engine may be another machine's.
	elsewhere bool
	// recent are the IDs that a pod consisted of a moment ago, by its [recentKey]. To
	// find a pod by its name the engine looks at all containers, 12 ms for two thousand;
	// of one whose ID is known it tells in 0.4 ms. What they are now is asked each time.
	recent *cache.LRUExpireCache
	// podman reaches podman's socket for what the client has no call; nil for
	// another engine. It is set before negotiated is.
	podman *http.Client

	negotiate  func(context.Context) error
	turn       chan struct{} // holds one token: who negotiates the version
	negotiated atomic.Bool
}

// connect returns the engine that the options and the environment name now: a
// socket may appear long after the server has started.
func (d *Docker) connect(ctx context.Context) (*dockerConn, error) {
	host, err := d.host()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	if d.conn == nil || d.conn.host != host {
		conn, err := newDockerConn(host)
		if err != nil {
			d.mu.Unlock()
			return nil, fmt.Errorf("docker host %s: %w", quote(host), err)
		}
		if d.conn != nil {
			_ = d.conn.api.Close() // ends idle connections, nothing to report
		}
		d.conn = conn
	}
	conn := d.conn
	d.mu.Unlock()
	if err := conn.ready(ctx); err != nil {
		return nil, dockerError(err)
	}
	return conn, nil
}

// ready finds out which version of the API to speak, once. The client could do
// that by itself, but makes callers wait for each other without end.
func (c *dockerConn) ready(ctx context.Context) error {
	if c.negotiated.Load() {
		return nil
	}
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.negotiated.Load() {
		return nil
	}
	if err := c.negotiate(ctx); err != nil {
		return err
	}
	c.negotiated.Store(true)
	return nil
}

// host picks the engine's address.
func (d *Docker) host() (string, error) {
	if named := cmp.Or(d.options.Host, os.Getenv(d.env)); named != "" {
		return d.namedHost(named)
	}
	var places []string
	for _, p := range d.places {
		places = append(places, hostPath(d.options.Root, p))
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		own := filepath.Join(dir, strings.TrimPrefix(d.places[len(d.places)-1], "/run"))
		places = append(places, own, hostPath(d.options.Root, own))
	}
	for _, p := range places {
		if isSocket(p) {
			return "unix://" + p, nil
		}
	}
	return "", &absentError{what: "no socket " + places[0]}
}

// CheckDockerHost reports an address of the engine whose scheme nobody knows: the
// client would take it for tcp. An engine behind ssh is refused with more words
// when it is asked.
func CheckDockerHost(host string) error {
	scheme, _, ok := strings.Cut(host, "://")
	known := [...]string{"unix", "tcp", "http", "https", "npipe", "ssh"}
	if !ok || slices.Contains(known[:], scheme) {
		return nil
	}
	return fmt.Errorf("docker host %s: the scheme is none of unix, tcp, http, https, npipe", quote(host))
}

// namedHost takes an address as it is, except that a socket that is only below
// the host's root is found there.
func (d *Docker) namedHost(host string) (string, error) {
	scheme, address, ok := strings.Cut(host, "://")
	switch {
	case !ok || address == "":
		return "", fmt.Errorf("docker host %s is not of the form unix:///path or tcp://host:port", quote(host))
	case scheme == "ssh":
		return "", fmt.Errorf("docker host %s: an engine behind ssh has its processes on that machine: run nsenter-mcp there", quote(host))
	case scheme == "unix" && !isSocket(address):
		if below := hostPath(d.options.Root, address); isSocket(below) {
			return "unix://" + below, nil
		}
		return "", fmt.Errorf("docker host %s: no such socket", quote(host))
	}
	return host, nil
}

func isSocket(path string) bool {
	info, err := stat(path)
	return err == nil && info.Mode()&os.ModeSocket != 0
}

func newDockerConn(host string) (*dockerConn, error) {
	options := []client.Opt{client.WithHost(host), client.WithVersionFromEnv(), boundTransport}
	if !strings.HasPrefix(host, "unix://") {
		// It replaces the HTTP client, so it comes before the host.
		options = append([]client.Opt{client.WithTLSClientConfigFromEnv()}, options...)
	}
	c, err := client.NewClientWithOpts(options...)
	if err != nil {
		return nil, err
	}
	conn := &dockerConn{host: host, api: c, elsewhere: isElsewhere(host), recent: cache.NewLRUExpireCache(maxRecent), turn: make(chan struct{}, 1)}
	conn.negotiate = func(ctx context.Context) error {
		ping, err := c.Ping(ctx)
		if err != nil {
			return err
		}
		c.NegotiateAPIVersionPing(ping)
		if socket := c.HTTPClient(); strings.HasPrefix(host, "unix://") {
			podman, err := servesPodman(ctx, socket)
			if err == nil && podman {
				conn.podman = socket
			}
			return err
		}
		return nil
	}
	return conn, nil
}

// isElsewhere reports whether the engine may be on another machine, whose
// process numbers mean nothing here.
func isElsewhere(host string) bool {
	u, err := url.Parse(host)
	if err != nil {
		return true
	}
	if u.Scheme == "unix" || u.Scheme == "npipe" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback())
}

// maxDockerAnswer bounds one answer of the engine. A thousand containers with
// many labels take about two megabytes.
const maxDockerAnswer = 16 << 20

// boundTransport keeps connections few and answers finite.
func boundTransport(c *client.Client) error {
	transport, ok := c.HTTPClient().Transport.(*http.Transport)
	if !ok {
		return fmt.Errorf("unexpected transport %T", c.HTTPClient().Transport)
	}
	transport.MaxIdleConns, transport.IdleConnTimeout = 4, 30*time.Second
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &boundConn{Conn: conn}, nil
	}
	return nil
}

// boundConn fails when the engine sends more than maxDockerAnswer between two
// requests, which HTTP/1.1 without pipelining takes to be one answer.
type boundConn struct {
	net.Conn
	read atomic.Int64
}

func (c *boundConn) Write(p []byte) (int, error) {
	c.read.Store(0)
	return c.Conn.Write(p)
}

func (c *boundConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.read.Add(int64(n)) > maxDockerAnswer {
		return 0, fmt.Errorf("answer is longer than %d bytes", maxDockerAnswer)
	}
	return n, err
}

// dockerError words what went wrong in one line.
func dockerError(err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &syntax), errors.As(err, &kind), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return because("the answer is not that of a Docker engine", err)
	case client.IsErrConnectionFailed(err) &&
		(strings.HasPrefix(err.Error(), "Cannot connect") || strings.HasPrefix(err.Error(), "permission denied")):
		return &SaidError{Words: text(err.Error()), Err: err} // the library's own words
	}
	if own := wordsOf(err); own != "" {
		return &SaidError{Words: text(own), Err: err}
	}
	return because("the engine answers with an error", err)
}
