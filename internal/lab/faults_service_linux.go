package lab

import (
	"net/netip"
	"net/url"

	"github.com/vishvananda/netlink"
)

// nobody are addresses of the pods' network that nobody has.
var nobody, nobody6 = netip.AddrFrom4([4]byte{10, 244, 1, 251}), v6(0x10, 0x244, 1, 251)

// serviceIP6 is the IPv6 address of a scene's service.
var serviceIP6 = netip.MustParseAddr("fd00:10:96::64")

// serviceFaults are those behind a service's address: what becomes of a connection that
// the node's NAT sends on.
func serviceFaults() []Fault {
	return []Fault{
		{Name: "backend of a service gone", Serve: behind(ServiceSpec{Backends: []netip.Addr{nobody}}), Code: "svc.dead_backend", Journey: true,
			Says: []Answer{curl("unreachable", "svc.dead_backend")}},
		{Name: "backend of a service gone, by name", Serve: named(behind(ServiceSpec{Backends: []netip.Addr{nobody}})), Code: "svc.dead_backend", Journey: true},
		{Name: "backend of a service gone, IPv6", Pod: dualStack, Serve: behind(ServiceSpec{IP: serviceIP6, Backends: []netip.Addr{nobody6}}), Code: "svc.dead_backend", Journey: true,
			Says: []Answer{curl("unreachable", "svc.dead_backend")}},
		{Name: "accept queue of a service's backend full", Serve: func(s *Scene) string {
			s.Server.FillAcceptQueue(s, 80)
			return s.behind(ServiceSpec{})
		}, Code: "tcp.accept_queue_full", Journey: true, Says: []Answer{curl("timeout", "tcp.accept_queue_full")}},
		{Name: "own service, hairpin off", Serve: ownService(ServiceSpec{}), Code: "svc.hairpin", Journey: true,
			Break: onHostLink(func(h *netlink.Handle, l netlink.Link) error { return h.LinkSetHairpin(l, false) }),
			Says:  []Answer{curl("timeout", "svc.hairpin")}},
		{Name: "own service, not masqueraded", Serve: ownService(ServiceSpec{Unmasked: true}), Code: "svc.hairpin",
			Says: []Answer{curl("timeout", "svc.hairpin")}},
	}
}

// healthyServices look like faults of services.
func healthyServices() []Fault {
	return []Fault{
		{Name: "healthy: own service", Serve: ownService(ServiceSpec{}), Says: []Answer{curl("ok")}},
	}
}

// behind makes a service and returns its URL. Its backend is the server, where the spec
// names none.
func (s *Scene) behind(spec ServiceSpec) string {
	s.Helper()
	spec.Name, spec.Namespace, spec.Port = "api", "shop", 80
	if spec.Backends == nil {
		spec.Backends = []netip.Addr{s.Server.IP}
	}
	service, err := s.Lab.AddService(spec)
	s.Must(err)
	host := service.IP.String()
	if service.IP.Is6() {
		host = "[" + host + "]"
	}
	return "http://" + host + "/"
}

func behind(spec ServiceSpec) func(*Scene) string {
	return func(s *Scene) string { return s.behind(spec) }
}

// ownService makes the pod itself the backend.
func ownService(spec ServiceSpec) func(*Scene) string {
	return func(s *Scene) string {
		s.itself(":80")
		spec.Backends = []netip.Addr{s.Pod.IP}
		return s.behind(spec)
	}
}

// named makes the same known by the name "api".
func named(serve func(*Scene) string) func(*Scene) string {
	return func(s *Scene) string {
		u, err := url.Parse(serve(s))
		s.Must(err)
		s.DNS(true, Names(map[string]string{"api.shop.svc.cluster.local.": u.Hostname()}))
		return "http://api/"
	}
}
