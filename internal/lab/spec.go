package lab

import "net/netip"

// Style is how a pod is joined to its node.
type Style int

// The styles; the package documentation shows what each looks like.
const (
	Bridge      Style = iota // eth0 with a /24 on the node's bridge cni0
	Calico                   // eth0 with a /32, gateway 169.254.1.1, no bridge
	Plain                    // no interface but lo
	HostNetwork              // no namespace of its own
)

// String names the style, for test names and logs.
func (s Style) String() string {
	switch s {
	case Bridge:
		return "bridge"
	case Calico:
		return "calico"
	case Plain:
		return "plain"
	case HostNetwork:
		return "host"
	}
	return "unknown"
}

// State is what the container engine says of a container.
type State string

// The engine's states that the lab makes. An exited container really ran and
// ended with its exit code; a created one never started, so it has no process.
const (
	Running State = "running"
	Exited  State = "exited"
	Created State = "created"
)

// PodSpec describes a pod. The zero value is a pod named "pod-<number>" of the
// Kubernetes namespace "default" on the first node's bridge, which has its
// pause process and no other container.
type PodSpec struct {
	Name      string
	Namespace string
	UID       string // default: a random one
	Attempt   int    // how many sandboxes the pod had before this one
	Labels    map[string]string
	// Annotations as the kubelet keeps them with the sandbox.
	Annotations map[string]string
	Node        *Node // default: the lab's first

	Style Style
	IP    netip.Addr // default: the next free one of the node
	IPv6  bool       // a second address
	MTU   int        // of eth0 and its peer; default 1500, 1480 for Calico

	Containers []ContainerSpec
	// Files of the pause process, and of containers that do not say otherwise.
	Files FileSpec
}

// ContainerSpec describes a container, of a pod or by itself
// ([Lab.AddContainer]). The zero value is running.
type ContainerSpec struct {
	Name     string // default: "app", or "container-<number>" without a pod
	Image    string // default: "lab/<name>:1"
	Labels   map[string]string
	Args     []string // what /proc/PID/cmdline shows; default "/<name>"
	Env      []string // what /proc/PID/environ shows beside the lab's own variable
	State    State    // default [Running]
	ExitCode int      // with [Exited]
	Restarts int      // how often it was restarted before
	Error    string   // what the engine says of its last start

	// Without a pod only; a container of a pod has the pod's node and network.
	Node  *Node
	Style Style
	IP    netip.Addr
	IPv6  bool
	MTU   int
	Join  *Container // share its network: docker run --network container:ID

	Files FileSpec
}

// FileSpec describes the root directory of a container. It always holds etc,
// proc, dev and tmp.
type FileSpec struct {
	Hostname   string // default: the pod's or the container's name
	ResolvConf string // content; default: the cluster's for pods, the node's otherwise
	Hosts      string // content; default: localhost and the pod's own name
	// Extra files: path below the root ("etc/ssl/ca.pem") to content.
	Extra map[string]string
	// Prepare may change the finished tree before the process starts: make
	// etc/resolv.conf a symbolic link, put a FIFO or a huge sparse file, remove
	// things.
	Prepare func(root string) error
}

// ServiceSpec describes a service address, a port on it and what serves it.
type ServiceSpec struct {
	Name, Namespace string
	IP              netip.Addr // default: the next free one of 10.96.0.0/16
	Protocol        string     // "tcp" (default) or "udp"
	Port            uint16
	TargetPort      uint16 // default: Port
	// Backends are taken at random, connection by connection. With none of them
	// connections are refused, as kube-proxy does for a service without
	// endpoints.
	Backends []netip.Addr
	// Unmasked leaves a pod that reaches itself its own address as the source.
	Unmasked bool
}
