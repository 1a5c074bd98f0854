package fact

import (
	"net/netip"
	"slices"
)

// Service is what the Kubernetes API knows of a service that a probe was sent to, and
// failed. All text is validated, but for what stands under untrusted.
type Service struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Type      string `json:"type,omitempty"`
	ClusterIP string `json:"cluster_ip,omitempty"`
	Headless  bool   `json:"headless,omitempty"`
	// ExternalName is the name that one of that type is an alias of.
	ExternalName string `json:"external_name,omitempty"`
	Selector     string `json:"selector,omitempty"`
	// Missing: the namespace has no service of the name. Elsewhere are the namespaces
	// that have one, at most 5.
	Missing   bool          `json:"missing,omitempty"`
	Elsewhere []string      `json:"elsewhere,omitempty" jsonschema:"namespaces that have a service of that name"`
	Ports     []ServicePort `json:"ports,omitempty"`
	// Ready counts the endpoints that are, Total all.
	Ready int `json:"ready"`
	Total int `json:"total"`
	// Backends are at most 5: those with an endpoint, ready ones first, then selected pods.
	Backends []Backend `json:"backends,omitempty"`
	// PodLabels are values that pods of the namespace have for the keys of the selector,
	// where no pod is selected. Workload says what makes such pods.
	PodLabels []string `json:"pod_labels,omitempty" jsonschema:"labels that pods of the namespace have instead"`
	Workload  string   `json:"why,omitempty" jsonschema:"what makes such pods"`
	// PodPorts are those that containers of the pods declare.
	PodPorts []string `json:"pod_ports,omitempty" jsonschema:"ports that the pods' containers declare"`
	// Denied says what could not be asked.
	Denied string `json:"error,omitempty" jsonschema:"what the API did not tell, and why"`

	// Asked is the port that the probe was sent to, over Protocol (TCP, UDP); ByNodePort:
	// at an address of the node.
	Asked      int    `json:"-"`
	Protocol   string `json:"-"`
	ByNodePort bool   `json:"-"`
	// EndpointsUnknown: they could not be listed.
	EndpointsUnknown bool `json:"-"`
	// Endpoints are the addresses of all endpoints that are known, ready or not.
	Endpoints []string `json:"-"`
}

// ServicePort is one port of a [Service].
type ServicePort struct {
	Name       string `json:"name,omitempty"`
	Protocol   string `json:"protocol"`
	Port       int    `json:"port"`
	TargetPort string `json:"target_port,omitempty" jsonschema:"a number, or the name of a container's port"`
	NodePort   int    `json:"node_port,omitempty"`
	Ready      int    `json:"ready" jsonschema:"ready endpoints that have this port"`
}

// Backend is a pod or an address behind a [Service].
type Backend struct {
	Pod     string `json:"pod,omitempty"`
	Node    string `json:"node,omitempty"`
	Address string `json:"address,omitempty" jsonschema:"with the port that the service leads to"`
	Ready   bool   `json:"ready"`
	// Cause is why it is not: crash, probe, starting, deleted, ended.
	Cause BackendCause `json:"cause,omitempty"`
	Why   string       `json:"why,omitempty"`
	// Outcome is what came of the same request sent to it alone; "" where none was sent.
	Outcome Outcome `json:"outcome,omitempty" jsonschema:"of the same, sent to this address alone"`
	// Listeners are where something listens in its network, measured where it refused.
	Listeners []string     `json:"listeners,omitzero" jsonschema:"address:port of what listens in its network"`
	Untrusted *BackendText `json:"untrusted,omitempty"`
}

// BackendText is what the kubelet says of a pod. It may quote the pod's own words.
type BackendText struct {
	Message string `json:"message"`
}

// BackendCause is why a pod is not ready.
type BackendCause string

// The causes.
const (
	BackendCrash    BackendCause = "crash"
	BackendProbe    BackendCause = "probe"
	BackendStarting BackendCause = "starting"
	BackendDeleted  BackendCause = "deleted"
	BackendEnded    BackendCause = "ended"
)

// Port is the service's port that was asked; nil where the service has none like it.
func (s *Service) Port() *ServicePort {
	i := slices.IndexFunc(s.Ports, func(p ServicePort) bool {
		at := p.Port
		if s.ByNodePort {
			at = p.NodePort
		}
		return at == s.Asked && p.Protocol == s.Protocol
	})
	if i < 0 {
		return nil
	}
	return &s.Ports[i]
}

// Addresses are those of the backends, first of those that failed by themselves, then of
// the other ready ones.
func (s *Service) Addresses() []string {
	rank := func(b Backend) int {
		switch {
		case b.Outcome != "" && b.Outcome != OutcomeOK && b.Outcome != OutcomeHTTPError:
			return 0
		case b.Ready:
			return 1
		}
		return 2
	}
	sorted := slices.SortedStableFunc(slices.Values(s.Backends), func(a, b Backend) int { return rank(a) - rank(b) })
	addresses := make([]string, 0, len(sorted))
	for _, b := range sorted {
		if b.Address != "" {
			addresses = append(addresses, b.Address)
		}
	}
	return addresses
}

// Has reports whether an address is that of one of the endpoints.
func (s *Service) Has(address string) bool {
	to, err := netip.ParseAddrPort(address)
	return err == nil && slices.Contains(s.Endpoints, to.Addr().Unmap().String())
}
