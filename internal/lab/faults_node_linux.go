package lab

import (
	"net/netip"
	"strings"
)

// nodeFaults are those of the node's forwarding, routes and neighbours, and of the way
// back.
func nodeFaults() []Fault {
	return []Fault{
		{Name: "node does not forward", Far: true, Break: onNodeSysctl("net/ipv4/ip_forward", "0"), Code: "sysctl.ip_forward", Journey: true,
			Says: []Answer{curl("timeout", "sysctl.ip_forward")}},
		{Name: "node does not forward IPv6", Pod: dualStack, Far: true, Serve: overIPv6, Break: onNodeSysctl("net/ipv6/conf/all/forwarding", "0"), Code: "sysctl.ip_forward", Journey: true,
			Says: []Answer{curl("timeout", "sysctl.ip_forward")}},
		{Name: "node does not forward from one interface", Far: true, Break: onNodeSysctl("net/ipv4/conf/cni0/forwarding", "0"), Code: "sysctl.ip_forward", Journey: true,
			Says: []Answer{curl("timeout", "sysctl.ip_forward")}},
		{Name: "blackhole on the node", Far: true, Break: onNode("route add blackhole 10.244.2.0/25\nroute add blackhole 10.244.2.128/25"), Code: "route.blackhole", Journey: true,
			Says: []Answer{curl("timeout", "route.blackhole")}},
		{Name: "blackhole on the node, IPv6", Pod: dualStack, Far: true, Serve: overIPv6, Break: onNode("-6 route add blackhole fd00:10:244:2::/80"), Code: "route.blackhole", Journey: true,
			Says: []Answer{curl("timeout", "route.blackhole")}},
		{Name: "unreachable route on the node", Far: true, Break: onNode("route add unreachable 10.244.2.0/25"), Code: "route.unreachable",
			Says: []Answer{curl("unreachable", "route.unreachable")}},
		{Name: "unreachable route on the node, IPv6", Pod: dualStack, Far: true, Serve: overIPv6, Break: onNode("-6 route add unreachable fd00:10:244:2::/80"), Code: "route.unreachable",
			Says: []Answer{curl("unreachable", "route.unreachable")}},
		{Name: "prohibiting rule on the node", Far: true, Break: onNode("rule add from 10.244.1.0/24 to 10.244.2.0/24 priority 80 prohibit"), Code: "route.prohibit",
			Says: []Answer{curl("unreachable", "route.prohibit")}},
		{Name: "node has no route", Far: true, Break: onNode("route del 10.244.2.0/24\nroute del default"), Code: "route.unreachable",
			Says: []Answer{curl("unreachable", "route.unreachable")}},
		{Name: "server's pod has no way back", Pod: calico, Serve: onServer("route del default"), Code: "route.no_return", Journey: true,
			Says: []Answer{curl("timeout", "route.no_return")}},
		{Name: "server's pod has no way back, IPv6", Pod: func(s *Scene, p *PodSpec) { calico(s, p); dualStack(s, p) }, Serve: func(s *Scene) string {
			s.Must(s.Server.ip("-6 route del default"))
			return overIPv6(s)
		}, Code: "route.no_return", Journey: true,
			Says: []Answer{curl("timeout", "route.no_return")}},
		{Name: "server's pod discards the answer", Pod: calico, Serve: onServer("route add blackhole 100.121.1.0/24"), Code: "route.no_return", Journey: true,
			Says: []Answer{curl("timeout", "route.no_return")}},
		{Name: "node has no way back to a routed pod", Pod: calico, Far: true, Break: onNode("route del ADDRESS\nroute add blackhole 100.121.1.0/26\nroute add blackhole 100.121.1.64/26"), Code: "route.no_return", Journey: true,
			Says: []Answer{curl("timeout", "route.no_return")}},
		{Name: "server's pod answers no ARP", Pod: calico, Serve: onServer("link set eth0 arp off"), Code: "neigh.failed", Journey: true,
			Says: []Answer{curl("unreachable", "neigh.failed")}},
	}
}

// onNodeSysctl sets a value of the pod's node.
func onNodeSysctl(name, value string) func(*Pod) error {
	return func(p *Pod) error { return p.Node.SetSysctl(name, value) }
}

// overIPv6 serves and asks for the server's IPv6 address.
func overIPv6(s *Scene) string {
	s.Serve(Hello)
	return "http://" + netip.AddrPortFrom(s.Server.IP6, 80).String() + "/"
}

// onServer serves in a pod that ip(8) commands have changed.
func onServer(commands string) func(*Scene) string {
	return func(s *Scene) string {
		s.Must(s.Server.ip(strings.TrimSpace(commands)))
		return s.Serve(Hello)
	}
}
