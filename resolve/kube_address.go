package resolve

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"sync"
)

type kubeEndpointSlice struct {
	kubeKind
	Ports []struct {
		Name string `json:"name"`
		Port uint16 `json:"port"`
	} `json:"ports"`
	Endpoints []struct {
		Addresses  []string `json:"addresses"`
		Conditions struct {
			// Ready is true where it is not said.
			Ready *bool `json:"ready"`
		} `json:"conditions"`
		NodeName  string `json:"nodeName"`
		TargetRef *struct {
			Kind      string `json:"kind"`
			Name      string `json:"name"`
			Namespace string `json:"namespace"`
		} `json:"targetRef"`
	} `json:"endpoints"`
}

// Address asks for the pod, the node and the service with the address at the
// same time. The API selects pods by their first address only, so that for
// another one all are looked through.
func (k *Kube) Address(ctx context.Context, ip netip.Addr) (Address, error) {
	return kubeAsk(ctx, k, func(c *kubeConn) (Address, error) {
		var a Address
		var failed [3]error
		var wg sync.WaitGroup
		wg.Go(func() { a.Service, failed[0] = c.serviceWith(ctx, ip) })
		wg.Go(func() { a.Node, failed[1] = c.nodeWith(ctx, ip) })
		wg.Go(func() { a.Pod, failed[2] = c.podWith(ctx, ip, kubeRequest{fields: "status.podIP=" + ip.String()}) })
		wg.Wait()
		if a == (Address{}) && failed[2] == nil && ip.Is6() {
			a.Pod, failed[2] = c.podWith(ctx, ip, kubeRequest{})
		}
		if a != (Address{}) {
			return a, nil
		}
		return a, errors.Join(failed[:]...)
	})
}

func (c *kubeConn) podWith(ctx context.Context, ip netip.Addr, r kubeRequest) (*Workload, error) {
	r.group, r.resource = kubeCore, kubePods
	var found *Workload
	err := pages(ctx, c, r, func(p *kubePod) bool {
		w, ok := fromPod(p)
		// Those in the host's network share a node's address; those that have ended
		// have given theirs back, and another one may have it by now.
		if ok && !w.HostNetwork && !w.Status.ended() && slices.Contains(w.Status.PodIPs, ip.String()) {
			found = &w
			found.remote = true
		}
		return found == nil
	})
	return found, err
}

func (c *kubeConn) nodeWith(ctx context.Context, ip netip.Addr) (string, error) {
	name := ""
	err := pages(ctx, c, kubeRequest{group: kubeCore, resource: kubeNodes}, func(n *kubeNode) bool {
		for _, a := range n.Status.Addresses {
			if isAddress(a.Address, ip) && checkName("", n.Metadata.Name, "") == nil {
				name = n.Metadata.Name
			}
		}
		return name == ""
	})
	return name, err
}

func isAddress(s string, ip netip.Addr) bool {
	other, err := netip.ParseAddr(s)
	return err == nil && other.Unmap() == ip
}

// serviceWith finds the service that has the address, and what is behind it.
func (c *kubeConn) serviceWith(ctx context.Context, ip netip.Addr) (*Service, error) {
	found, _, err := c.findService(ctx, ServiceQuery{IP: ip})
	if found == nil {
		return nil, err
	}
	s := found.service()
	_ = c.endpointsOf(ctx, s) // that it is a service is worth knowing also where nothing more can be
	return s, nil
}

// endpointsOf adds the endpoints of a service. Where it fails, s.Unknown says why.
func (c *kubeConn) endpointsOf(ctx context.Context, s *Service) error {
	slices := kubeRequest{
		group: kubeDiscovery, resource: "endpointslices", namespace: s.Namespace, labels: "kubernetes.io/service-name=" + s.Name,
	}
	err := pages(ctx, c, slices, func(e *kubeEndpointSlice) bool {
		e.addTo(s)
		return true
	})
	if err != nil {
		s.Unknown = err.Error()
	}
	s.readyFirst()
	return err
}

func (s *kubeService) has(ip netip.Addr) bool {
	is := func(a string) bool { return isAddress(a, ip) }
	return is(s.Spec.ClusterIP) || slices.ContainsFunc(s.Spec.ClusterIPs, is) || slices.ContainsFunc(s.Spec.ExternalIPs, is) ||
		slices.ContainsFunc(s.Status.LoadBalancer.Ingress, func(i kubeIP) bool { return is(i.IP) })
}

func (s *kubeService) service() *Service {
	const maxPorts = 20
	out := &Service{Name: s.Metadata.Name, Namespace: s.Metadata.Namespace, Type: reasonWord(s.Spec.Type), Ports: []ServicePort{}, Endpoints: []Endpoint{}}
	for _, p := range s.Spec.Ports[:min(len(s.Spec.Ports), maxPorts)] {
		out.Ports = append(out.Ports, ServicePort{
			Name: reasonWord(p.Name), Protocol: cmp.Or(reasonWord(p.Protocol), "TCP"), Port: p.Port, NodePort: p.NodePort, TargetPort: targetPort(p.TargetPort),
		})
	}
	return out
}

// targetPort reads a number or a name.
func targetPort(raw json.RawMessage) string {
	var name string
	var number int
	switch {
	case json.Unmarshal(raw, &name) == nil:
		return reasonWord(name)
	case json.Unmarshal(raw, &number) == nil:
		return strconv.Itoa(number)
	}
	return ""
}

func (e *kubeEndpointSlice) addTo(s *Service) {
	for i := range e.Endpoints {
		p := &e.Endpoints[i]
		ready := p.Conditions.Ready == nil || *p.Conditions.Ready
		s.Total++
		if ready {
			s.Ready++
			e.countPorts(s)
		}
		if len(p.Addresses) == 0 {
			continue
		}
		ip, err := netip.ParseAddr(p.Addresses[0])
		if err != nil {
			continue
		}
		out := Endpoint{Address: ip.String(), Ready: ready, Ports: e.ports()}
		if checkName("", p.NodeName, "") == nil {
			out.Node = p.NodeName
		}
		if t := p.TargetRef; t != nil && t.Kind == "Pod" && checkName("", t.Name, "") == nil && checkName("", t.Namespace, "") == nil {
			out.Pod, out.Namespace = t.Name, t.Namespace
		}
		s.Endpoints = append(s.Endpoints, out)
	}
}

// ports are the ports of its endpoints by the names of the service's.
func (e *kubeEndpointSlice) ports() map[string]uint16 {
	ports := map[string]uint16{}
	for _, p := range e.Ports {
		ports[reasonWord(p.Name)] = p.Port
	}
	return ports
}

// countPorts counts a ready endpoint for the ports that it has. A slice says by their
// names which those are, as kube-proxy reads it: a targetPort by a name that no
// container has is left out.
func (e *kubeEndpointSlice) countPorts(s *Service) {
	for i := range s.Ports {
		for _, p := range e.Ports {
			if reasonWord(p.Name) == s.Ports[i].Name {
				s.Ports[i].Ready++
				break
			}
		}
	}
}

// readyFirst sorts the endpoints and cuts them to those that are shown.
func (s *Service) readyFirst() {
	slices.SortStableFunc(s.Endpoints, func(a, b Endpoint) int {
		return cmp.Or(-cmp.Compare(boolInt(a.Ready), boolInt(b.Ready)), cmp.Compare(a.Address, b.Address))
	})
	s.Endpoints = s.Endpoints[:min(len(s.Endpoints), maxEndpoints)]
}
