package resolve

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"nsenter-mcp/internal/words"
)

// Address is what in a cluster has an address; zero where nothing has.
type Address struct {
	// Pod has it as its own, and has not ended. It is nil for a node's address,
	// which pods in the host's network share.
	Pod *Workload
	// Node has it as one of its addresses.
	Node string
	// Service has it as a virtual one, which no interface owns.
	Service *Service
}

// Service is a service of Kubernetes, seen as an address.
type Service struct {
	Name      string        `json:"name"`
	Namespace string        `json:"namespace"`
	Type      string        `json:"type,omitempty"` // ClusterIP, NodePort, LoadBalancer
	Ports     []ServicePort `json:"ports"`
	// Endpoints are at most 10, the ready ones first.
	Endpoints []Endpoint `json:"endpoints"`
	Ready     int        `json:"ready"` // of all endpoints
	Total     int        `json:"total"`
	// Unknown says why there may be more endpoints; "" where all are known.
	Unknown string `json:"endpoints_unknown,omitempty"`
}

// ServicePort is one port of a service.
type ServicePort struct {
	Name     string `json:"name,omitempty"`
	Protocol string `json:"protocol"`
	Port     int    `json:"port"`
	// TargetPort is a number, or the name of a container's port.
	TargetPort string `json:"target_port,omitempty"`
	NodePort   int    `json:"node_port,omitempty"`
	Ready      int    `json:"ready"` // ready endpoints that have this port
}

// Endpoint is one address behind a service.
type Endpoint struct {
	Address   string `json:"address"`
	Ready     bool   `json:"ready"`
	Pod       string `json:"pod,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Node      string `json:"node,omitempty"`
	// Ports are those behind the service's ports, by the names of these.
	Ports map[string]uint16 `json:"-"`
}

// maxEndpoints bounds those that an answer lists.
const maxEndpoints = 10

// inCluster asks what an address is that no namespace of this node owns. It
// returns nil where the cluster does not know it either, with what it said.
func (r *Resolver) inCluster(ctx context.Context, ip netip.Addr) (e *Error, said string) {
	a, err := askCluster(ctx, r, func(ctx context.Context, c ClusterSource) (Address, error) { return c.Address(ctx, ip) })
	switch {
	case isFailure(err):
		return nil, "kubernetes: " + err.Error()
	case err != nil:
		return nil, ""
	case a.Service != nil:
		return a.Service.refuse(ip), ""
	case a.Node != "":
		return r.addressOfNode(ctx, ip, a.Node), ""
	case a.Pod != nil:
		return r.addressOfPod(ctx, ip, a.Pod), ""
	}
	return nil, "the Kubernetes API knows no pod, node or service with that address"
}

func (r *Resolver) addressOfPod(ctx context.Context, ip netip.Addr, w *Workload) *Error {
	if kin, known := r.kinship(ctx, w.Node); known && kin == Stranger {
		e := w.onOtherNode("its address is " + ip.String())
		e.Candidates = []Candidate{selection{workload: w, container: whole}.candidate()}
		return e
	}
	return &Error{
		Kind:       KindNotFound,
		Message:    fmt.Sprintf("%s is the address of pod %s on node %s, but no network namespace that is seen here owns it", ip, w.podName(), w.Node),
		Hint:       "Name the pod instead of the address. If the pod runs here, the pod's interface has lost the address, or the server does not see the node's processes.",
		Candidates: []Candidate{selection{workload: w, container: whole}.candidate()},
	}
}

func (r *Resolver) addressOfNode(ctx context.Context, ip netip.Addr, node string) *Error {
	if kin, known := r.kinship(ctx, node); known && kin != Stranger {
		return &Error{
			Kind:    KindNotFound,
			Message: fmt.Sprintf("%s is an address of this node (%s), but not of the network namespace that the server takes for the node's", ip, node),
			Hint:    "Check --host-netns; nsenter-mcp doctor says which namespace that is.",
		}
	}
	return &Error{
		Kind: KindOtherNode, Node: node,
		Message: fmt.Sprintf("%s is an address of node %s, which is another one", ip, node),
		Hint:    "Run nsenter-mcp on that node and ask there for netns host.",
	}
}

// refuse says that a service has no network of its own, and what stands behind
// it.
func (s *Service) refuse(ip netip.Addr) *Error {
	var ports, without []string
	for _, p := range s.Ports {
		port := fmt.Sprintf("%d/%s", p.Port, words.Printable(p.Protocol))
		ports = append(ports, port)
		if p.Ready == 0 && s.Ready > 0 {
			without = append(without, fmt.Sprintf("%s (targetPort %s)", port, words.Printable(p.TargetPort)))
		}
	}
	e := &Error{
		Kind: KindService, Service: s,
		Message: fmt.Sprintf("%s is the address of service %s/%s (%s), which no interface owns", ip, words.Printable(s.Namespace), words.Printable(s.Name), strings.Join(ports, ", ")),
		Hint:    "Look at one of the pods behind the service: details.service.endpoints. From a client's pod, netns_curl shows how the service is reached.",
	}
	switch {
	case s.Unknown != "":
		e.Message += "; its endpoints are not known: " + s.Unknown
	case s.Ready == 0:
		e.Message += fmt.Sprintf("; none of its %s ready", areOf(s.Total, "endpoint"))
		e.Hint = "No endpoint is ready, so nothing answers there: look at the pods that the service selects, and at the pods' readiness probes."
	default:
		e.Message += fmt.Sprintf("; %d of its %s ready", s.Ready, areOf(s.Total, "endpoint"))
	}
	if len(without) > 0 && s.Unknown == "" {
		e.Message += ", but none has a port for " + strings.Join(without, ", ")
		e.Hint = "Nothing answers on such a port. A named targetPort must be the name of a container port: correct the service or the pods."
	}
	return e
}

func areOf(n int, thing string) string {
	if n == 1 {
		return words.Plural(n, thing) + " is"
	}
	return words.Plural(n, thing) + " are"
}
