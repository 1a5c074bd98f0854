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

// nodeFaultsInDisguise are the same by name, and beside what might be blamed instead.
func nodeFaultsInDisguise() []Fault {
	hello := func(s *Scene) string { return s.Serve(Hello) }
	return []Fault{
		{Name: "node does not forward, by name", Serve: byService, Ask: "netns_dns_lookup", Break: onNodeSysctl("net/ipv4/ip_forward", "0"), Code: "sysctl.ip_forward", Journey: true,
			Says: []Answer{lookup("timeout", "sysctl.ip_forward")}},
		{Name: "blackhole on the node, by name", Far: true, Serve: named(hello), Break: onNode("route add blackhole 10.244.2.0/25"), Code: "route.blackhole", Journey: true,
			Says: []Answer{curl("timeout", "route.blackhole")}},
		{Name: "server's pod has no way back, by name", Pod: calico, Serve: named(onServer("route del default")), Code: "route.no_return", Journey: true,
			Says: []Answer{curl("timeout", "route.no_return")}},
		{Name: "server's pod drops, and the node does not forward", Serve: guarded(Drop), Break: onNodeSysctl("net/ipv4/ip_forward", "0"), Code: "fw.peer_drop", Journey: true,
			Says: []Answer{curl("timeout", "fw.peer_drop")}},
		{Name: "server's pod drops, and has no way to others", Serve: func(s *Scene) string {
			s.Must(s.Server.ip("route del default"))
			return guarded(Drop)(s)
		}, Code: "fw.peer_drop", Journey: true, Says: []Answer{curl("timeout", "fw.peer_drop")}},
		{Name: "bridge of the node without ports", Serve: func(*Scene) string { return "http://192.0.2.1/" },
			Break: onNode("link add out type bridge\nlink set out up\nroute add 192.0.2.0/24 dev out\nneigh add 192.0.2.1 lladdr 02:00:00:00:00:99 dev out"), Code: "tcp.timeout", Journey: true,
			Says: []Answer{{Tool: "netns_curl", Outcome: "timeout", Codes: []string{"tcp.timeout"}, Fact: "the SYN to 192.0.2.1:80 was dropped on the node, at out"}}},
	}
}

// healthyNodes look like faults of nodes.
func healthyNodes() []Fault {
	fine := []Answer{curl("ok")}
	return []Fault{
		{Name: "healthy: blackhole on the node for others", Far: true, Break: onNode("route add blackhole 10.244.3.0/24"), Says: fine},
		{Name: "healthy: rule on the node that prohibits others", Far: true, Break: onNode("rule add from 10.244.1.0/24 to 10.244.3.0/24 priority 80 prohibit"), Says: fine},
		{Name: "healthy: policy routing on the node", Far: true, Break: onNode("rule add from 10.244.1.0/24 priority 90 lookup 100\nroute add default via 172.18.0.3 table 100"), Says: fine},
		{Name: "healthy: node drops another port", Far: true, Break: nodeRule(FirewallRule{Hook: Forwarded, Port: 81}), Says: fine},
		{Name: "healthy: node with a strict rp_filter", Far: true, Break: onNodeSysctl("net/ipv4/conf/all/rp_filter", "1"), Says: fine},
		{Name: "healthy: two pods of a bridge, node does not forward", Break: onNodeSysctl("net/ipv4/ip_forward", "0"), Says: fine},
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
