package resolve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// CRIEnv is the variable in which crictl, and so this program, takes the
// endpoint of a container runtime.
const CRIEnv = "CONTAINER_RUNTIME_ENDPOINT"

// criPlaces are the usual sockets of runtimes that speak CRI, paths of the host,
// each with the name that a [CRI] has in messages. The socket of the dockershim
// is none of them: it speaks v1alpha2 only, and the Docker engine knows the
// same pods.
var criPlaces = [...]struct{ name, socket string }{
	{"containerd", "/run/containerd/containerd.sock"},
	{"cri-o", "/run/crio/crio.sock"},
	{"cri-dockerd", "/run/cri-dockerd.sock"},
	{"k3s", "/run/k3s/containerd/containerd.sock"}, // RKE2's too
	{"k3s-docker", "/run/k3s/cri-dockerd/cri-dockerd.sock"},
	{"k0s", "/run/k0s/containerd.sock"},
	{"microk8s", "/var/snap/microk8s/common/run/containerd.sock"},
}

// criFamily is what all sources of this file are called where none of them is
// there.
const criFamily = "cri"

// CRIOptions says where container runtimes are.
type CRIOptions struct {
	// Endpoint is the one runtime to ask: "unix:///path" or an absolute path, as
	// CONTAINER_RUNTIME_ENDPOINT has it. "" is all that are at the usual places.
	Endpoint string
	// Root is the directory below which the host's files lie; "" is "/".
	Root string
}

// CRI is a [Source] that asks one container runtime over the Container Runtime
// Interface: containerd, CRI-O, cri-dockerd. It knows pods and their containers,
// and nothing of containers without a pod.
//
// Each endpoint is a source of its own, so that the [Resolver] asks them side by
// side and one that hangs does not stop the others.
type CRI struct {
	name   string
	root   string
	socket string
	// named: an operator has named it, so that its absence is a failure.
	named bool
}

// NewCRI returns the sources for options, in the order in which their word
// counts. Nothing is connected to, or even looked for, before they are asked.
//
// It fails if the endpoint is of a form that cannot be used.
func NewCRI(options CRIOptions) ([]*CRI, error) {
	root := filepath.Join("/", options.Root)
	if options.Endpoint != "" {
		socket, err := parseCRIEndpoint(options.Endpoint)
		if err != nil {
			return nil, err
		}
		return []*CRI{{name: criFamily, root: root, socket: socket, named: true}}, nil
	}
	all := make([]*CRI, 0, len(criPlaces))
	for _, p := range criPlaces {
		all = append(all, &CRI{name: p.name, root: root, socket: p.socket})
	}
	return all, nil
}

// parseCRIEndpoint returns the path of a unix socket.
func parseCRIEndpoint(endpoint string) (string, error) {
	socket, isURL := strings.CutPrefix(endpoint, "unix://")
	bad := func(what string) error {
		return fmt.Errorf("runtime endpoint %s %s; give unix:///run/containerd/containerd.sock or the path alone", quote(endpoint), what)
	}
	switch scheme, _, other := strings.Cut(endpoint, "://"); {
	case other && !isURL:
		return "", bad("is of scheme " + quote(scheme) + ", and only sockets of this machine can be asked")
	case !printable(socket):
		return "", bad("holds control characters")
	case !strings.HasPrefix(socket, "/"):
		return "", bad("is no absolute path")
	}
	return socket, nil
}

// Name is that of the runtime or the distribution that has the socket:
// "containerd", "k3s"; "cri" for one that was named by its endpoint.
func (s *CRI) Name() string { return s.name }

func (*CRI) family() string { return criFamily }

// Exact asks for one pod or container. It takes at most seven requests, and one
// more for each container of the pod that is found.
func (s *CRI) Exact(ctx context.Context, q Query) ([]Workload, error) {
	var ws []Workload
	err := s.ask(ctx, func(c *criConn) (err error) {
		if q.Pod != "" {
			ws, err = c.pod(ctx, q)
		} else {
			ws, err = c.container(ctx, q)
		}
		return err
	})
	return ws, err
}

// List asks for all pods by two requests, and by one more for each container that
// has ended: a list has no exit codes.
func (s *CRI) List(ctx context.Context) ([]Workload, error) {
	var ws []Workload
	err := s.ask(ctx, func(c *criConn) error {
		all, err := c.list(ctx, nil, nil)
		if err == nil {
			c.lookAtEnded(ctx, &all)
		}
		ws = all.workloads()
		return err
	})
	return ws, err
}

// Version says who answers: "containerd 1.7.28".
func (s *CRI) Version(ctx context.Context) (string, error) {
	version := ""
	err := s.ask(ctx, func(c *criConn) error {
		v, err := c.api.Version(ctx, &runtimeapi.VersionRequest{})
		version = text(v.GetRuntimeName() + " " + strings.TrimPrefix(v.GetRuntimeVersion(), "v"))
		return err
	})
	return version, err
}

// ask runs one exchange with the runtime, over a connection of its own: a connection
// that is kept may be one to a runtime that was restarted since.
func (s *CRI) ask(ctx context.Context, exchange func(*criConn) error) error {
	path, err := s.find()
	if err != nil {
		return err
	}
	conn, err := newCRIConn(path)
	if err != nil {
		return err
	}
	defer func() { _ = conn.cc.Close() }() // nobody waits for anything on it
	if err = exchange(conn); err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return s.explain(ctx, conn, err)
}

// find returns the path of the socket, or [ErrAbsent].
func (s *CRI) find() (string, error) {
	places := []string{hostPath(s.root, s.socket)}
	if s.named {
		places = []string{s.socket, places[0]}
	}
	var denied error
	for _, p := range places {
		info, err := stat(p)
		switch {
		case err == nil && info.Mode()&os.ModeSocket != 0:
			return p, nil
		case errors.Is(err, fs.ErrPermission):
			denied = fmt.Errorf("no permission to look for the socket %s: run as root", p)
		}
	}
	switch {
	case denied != nil:
		return "", denied
	case s.named:
		return "", fmt.Errorf("runtime endpoint %s: no such socket", quote(s.socket))
	}
	return "", &absentError{what: "no container runtime has a socket at a usual place, such as " + places[0]}
}
