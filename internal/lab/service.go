package lab

import (
	"fmt"
	"net/netip"
	"slices"
)

// AddService makes a service address known to all nodes, also to those that
// are added later. It returns the spec with its defaults filled in.
func (l *Lab) AddService(spec ServiceSpec) (ServiceSpec, error) {
	if spec.Name == "" {
		spec.Name = l.nextName("service")
	}
	if spec.Namespace == "" {
		spec.Namespace = "default"
	}
	if spec.Protocol == "" {
		spec.Protocol = "tcp"
	}
	if spec.TargetPort == 0 {
		spec.TargetPort = spec.Port
	}
	if spec.Port == 0 || spec.Protocol != "tcp" && spec.Protocol != "udp" {
		return ServiceSpec{}, fmt.Errorf("service %s: no such port: %s %d", spec.Name, spec.Protocol, spec.Port)
	}
	l.topology.Lock()
	defer l.topology.Unlock()
	if !spec.IP.IsValid() {
		spec.IP = l.nextServiceIP()
	}
	for _, b := range spec.Backends {
		if b.Is4() != spec.IP.Is4() {
			return ServiceSpec{}, fmt.Errorf("service %s: %s and its backend %s are of different families", spec.Name, spec.IP, b)
		}
	}
	l.mu.Lock()
	l.services = append(l.services, spec)
	l.mu.Unlock()
	for _, n := range l.Nodes() {
		if err := n.setServices(l.allServices()); err != nil {
			return ServiceSpec{}, fmt.Errorf("service %s on %s: %w", spec.Name, n.Name, err)
		}
	}
	return spec, nil
}

// nextServiceIP counts from 10.96.0.100, above the addresses that clusters give
// to the API server and to their DNS.
func (l *Lab) nextServiceIP() netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	ip := netip.AddrFrom4([4]byte{10, 96, 0, 100})
	for slices.ContainsFunc(l.services, func(s ServiceSpec) bool { return s.IP == ip }) {
		ip = ip.Next()
	}
	return ip
}

func (l *Lab) allServices() []ServiceSpec {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.services)
}
