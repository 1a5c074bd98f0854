package lab

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Container is one process of a pod, or a container by itself, and what its
// runtime knows of it.
type Container struct {
	ID       string // 64 hexadecimal digits
	Name     string // the runtime's: "k8s_POD_web_shop_<uid>_0", or as given
	Image    string
	Hostname string
	Labels   map[string]string
	Created  time.Time

	// Paths as this process sees them, below [Lab.Dir]. ResolvConf and Hosts are
	// also the files etc/resolv.conf and etc/hosts below Root, unless
	// FileSpec.Prepare put others there.
	Root, ResolvConf, Hosts string

	Pod  *Pod       // nil for a container by itself
	Join *Container // whose network it shares; nil for its own or the node's
	Node *Node

	lab  *Lab
	dir  string
	spec ContainerSpec

	mu    sync.Mutex
	over  bool       // starts no more
	netns *Netns     // nil while it has none
	ip    netip.Addr // for the next network; not valid for any
	proc  *process   // nil before it was first started
	state Status
}

// Status is the part of a container that changes.
type Status struct {
	State      State
	PID        int // 0 unless running
	ExitCode   int
	StartedAt  time.Time // zero if it never was
	FinishedAt time.Time // of the last run that ended, also while another one is under way
	Restarts   int
}

// Status returns how the container is now.
func (c *Container) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status()
}

// status is [Container.Status] with c.mu held.
func (c *Container) status() Status {
	s := c.state
	if c.proc == nil {
		return s
	}
	select {
	case <-c.proc.done:
		s.State, s.PID = Exited, 0
		s.ExitCode, s.FinishedAt = c.proc.exitCode, c.proc.finished
	default:
	}
	return s
}

// PID is the container's process, 0 unless it runs.
func (c *Container) PID() int { return c.Status().PID }

// Netns is the container's network namespace, nil where it has none. It is
// another one after a restart of a container that has its own.
func (c *Container) Netns() *Netns {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.netns
}

// Container is [Lab.AddContainer] for a test.
func (l *Lab) Container(tb TB, spec ContainerSpec) *Container {
	tb.Helper()
	c, err := l.AddContainer(spec)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return c
}

// AddContainer makes a container without a pod, as "docker run" does.
func (l *Lab) AddContainer(spec ContainerSpec) (*Container, error) {
	if spec.Name == "" {
		spec.Name = l.nextName("container")
	}
	switch {
	case spec.Join != nil:
		spec.Node = spec.Join.Node
	case spec.Node == nil:
		spec.Node = l.Node
	}
	c := l.newContainer(spec, spec.Node)
	c.Name, c.Join = spec.Name, spec.Join
	if spec.Files.ResolvConf == "" {
		spec.Files.ResolvConf = "nameserver " + wireIP.String() + "\n"
	}
	if spec.Files.Hostname == "" && spec.Style == HostNetwork {
		spec.Files.Hostname = spec.Node.Name
	}
	if err := c.create(spec.Files, nil); err != nil {
		return nil, err
	}
	return c, nil
}

// addSandbox makes the pause container of p.
func (l *Lab) addSandbox(p *Pod, files FileSpec) (*Container, error) {
	c := l.newContainer(ContainerSpec{Name: "POD", Image: "registry.k8s.io/pause:3.10", Args: []string{"/pause"}}, p.Node)
	c.Pod, c.netns = p, p.Netns
	c.name("podsandbox", p.Attempt)
	if files.Hostname == "" {
		files.Hostname = p.Name
		if p.Style == HostNetwork {
			files.Hostname = p.Node.Name
		}
	}
	if files.ResolvConf == "" {
		files.ResolvConf = "search " + p.Namespace + ".svc.cluster.local svc.cluster.local cluster.local\n" +
			"nameserver 10.96.0.10\noptions ndots:5\n"
	}
	if err := c.create(files, nil); err != nil {
		return nil, err
	}
	return c, nil
}

// addToPod makes a container of p.
func (l *Lab) addToPod(p *Pod, spec ContainerSpec) (*Container, error) {
	c := l.newContainer(spec, p.Node)
	c.Pod, c.netns, c.Join = p, p.Netns, p.Sandbox
	c.name("container", spec.Restarts)
	if spec.Files.Hostname == "" {
		spec.Files.Hostname = p.Sandbox.Hostname
	}
	if err := c.create(spec.Files, p.Sandbox); err != nil {
		return nil, err
	}
	return c, nil
}

func (l *Lab) newContainer(spec ContainerSpec, node *Node) *Container {
	c := newContainer(spec)
	c.lab, c.Node = l, node
	return c
}

func newContainer(spec ContainerSpec) *Container {
	if spec.Name == "" {
		spec.Name = "app"
	}
	if spec.Image == "" {
		spec.Image = "lab/" + spec.Name + ":1"
	}
	if spec.Args == nil {
		spec.Args = []string{"/" + spec.Name}
	}
	if spec.State == "" {
		spec.State = Running
	}
	return &Container{
		ID: randomHex(32), Image: spec.Image, Labels: maps.Clone(spec.Labels), Created: time.Now(),
		spec: spec, ip: spec.IP, state: Status{State: Created, Restarts: spec.Restarts},
	}
}

// name gives the container the name and the labels that the kubelet gives on a
// Docker node (pkg/kubelet/dockershim/naming.go, labels.go of Kubernetes 1.23;
// cri-dockerd does the same).
func (c *Container) name(kind string, attempt int) {
	p := c.Pod
	c.Name = fmt.Sprintf("k8s_%s_%s_%s_%s_%d", c.spec.Name, p.Name, p.Namespace, p.UID, attempt)
	labels := map[string]string{
		"io.kubernetes.docker.type":    kind,
		"io.kubernetes.pod.name":       p.Name,
		"io.kubernetes.pod.namespace":  p.Namespace,
		"io.kubernetes.pod.uid":        p.UID,
		"io.kubernetes.container.name": c.spec.Name,
	}
	if kind == "podsandbox" {
		maps.Copy(labels, p.Labels)
		for key, value := range p.Annotations {
			labels["annotation."+key] = value
		}
	} else {
		labels["io.kubernetes.sandbox.id"] = p.Sandbox.ID
		labels["annotation.io.kubernetes.container.restartCount"] = strconv.Itoa(attempt)
	}
	maps.Copy(labels, c.Labels)
	c.Labels = labels
}

// create writes the files, brings the container into the state that its spec
// asks for and makes it known to the lab.
func (c *Container) create(files FileSpec, sandbox *Container) error {
	c.Hostname = files.Hostname
	if c.Hostname == "" {
		c.Hostname = c.spec.Name
	}
	c.dir = filepath.Join(c.lab.Dir, "containers", c.ID)
	if c.spec.State != Created {
		if err := c.connect(); err != nil {
			return fmt.Errorf("container %s: %w", c.spec.Name, err)
		}
	}
	if err := c.writeFiles(files, sandbox); err != nil {
		return fmt.Errorf("container %s: files: %w", c.spec.Name, err)
	}
	if err := c.lab.adopt(c); err != nil {
		return err
	}
	if err := c.reach(c.spec.State); err != nil {
		return fmt.Errorf("container %s: %w", c.spec.Name, err)
	}
	return nil
}

// adopt makes the container known, so that the lab ends it.
func (l *Lab) adopt(c *Container) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	l.containers = append(l.containers, c)
	return nil
}

// forget removes a container that has ended.
func (l *Lab) forget(c *Container) error {
	l.mu.Lock()
	l.containers = slices.DeleteFunc(l.containers, func(o *Container) bool { return o == c })
	l.mu.Unlock()
	return os.RemoveAll(c.dir)
}

// containersOn returns the containers of a node in the order of their creation.
func (l *Lab) containersOn(n *Node) []*Container {
	l.mu.Lock()
	defer l.mu.Unlock()
	var on []*Container
	for _, c := range l.containers {
		if c.Node == n {
			on = append(on, c)
		}
	}
	return on
}
