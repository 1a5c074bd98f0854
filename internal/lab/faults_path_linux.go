package lab

import (
	"fmt"
	"net/http"

	"github.com/vishvananda/netlink"
)

// linkFaults are those of links and addresses.
func linkFaults() []Fault {
	return []Fault{
		{Name: "node's end of the veth down", Break: onHostLink((*netlink.Handle).LinkSetDown), Code: "link.no_carrier",
			Says: []Answer{curl("", "link.no_carrier"), ipAddr("link.no_carrier", "HOST, is administratively down")}},
		{Name: "the same, and the container crashes", Pod: crashing, Break: onHostLink((*netlink.Handle).LinkSetDown), Ask: "resolve_pod_pid", Code: "link.no_carrier"},
		{Name: "node's end of a routed pod's veth down", Pod: calico, Break: onHostLink((*netlink.Handle).LinkSetDown), Code: "link.no_carrier",
			Says: []Answer{curl("", "link.no_carrier"), ipAddr("link.no_carrier", "HOST, is administratively down")}},
		{Name: "veth on no bridge", Break: onHostLink((*netlink.Handle).LinkSetNoMaster), Code: "link.detached",
			Says: []Answer{curl("unreachable", "link.detached"), ipAddr("link.detached", "to bridge cni0, but HOST")}},
		{Name: "the same, seen by a name", Serve: byService, Break: onHostLink((*netlink.Handle).LinkSetNoMaster), Ask: "netns_dns_lookup", Code: "link.detached",
			Says: []Answer{lookup("", "link.detached")}},
		{Name: "bridge down", Break: onNode("link set cni0 down"), Code: "link.bridge_down",
			Says: []Answer{ipAddr("link.bridge_down", "cni0 on the host is administratively down, and so passes nothing to its port HOST, the other end of eth0")}},
		{Name: "eth0 down", Break: inPod("link set eth0 down"), Code: "link.down",
			Says: []Answer{curl("unreachable", "link.down"), lookup("unreachable", "link.down").with("name", "api"), ipAddr("link.down", "eth0 is administratively down; its address is 10.244.1.")}},
		{Name: "eth0 of a routed pod down", Pod: calico, Break: inPod("link set eth0 down"), Code: "link.down",
			Says: []Answer{curl("unreachable", "link.down"), ipAddr("link.down", "eth0 is")}},
		{Name: "eth0 gone", Break: inPod("link del eth0"), Code: "link.missing",
			Says: []Answer{curl("unreachable", "link.missing"), ipAddr("link.missing", "no interface but lo")}},
		{Name: "eth0 was never made", Pod: plain, Code: "link.missing",
			Says: []Answer{curl("unreachable", "link.missing"), ipAddr("link.missing", "no interface but lo")}},
		{Name: "eth0 without address", Break: inPod("addr del ADDRESS dev eth0"), Code: "addr.none",
			Says: []Answer{curl("unreachable", "addr.none"), lookup("unreachable", "addr.none").with("name", "api"), ipAddr("addr.none", "eth0 is up, but no interface has an address")}},
		{Name: "IPv6 address that the gateway has too", Pod: dualStack, Break: failDuplicateDetection, Ask: "netns_ip_addr", Code: "addr.duplicate",
			Says: []Answer{ipAddr("addr.duplicate", "another host on the link already has fd00:10:244:1::1")}},
		{Name: "IPv6 disabled beside others that have it", Pod: dualStack,
			Break: func(p *Pod) error { return p.SetSysctl("net/ipv6/conf/all/disable_ipv6", "1") }, Ask: "netns_ip_addr", Code: "addr.ipv6_disabled",
			Says: []Answer{ipAddr("addr.ipv6_disabled", "while cni0 on the host has fd00:10:244:1::1")}},
		{Name: "lo down", Serve: sidecar, Break: inPod("link set lo down"), Code: "link.lo_down",
			Says: []Answer{curl("timeout", "link.lo_down"), ipAddr("link.lo_down", "lo is down")}},
		{Name: "MTU of the veth's ends differs", Serve: func(s *Scene) string { return s.Speak(says(fullSegment())) },
			Break: onNode("link set HOST mtu 1400"), Code: "link.mtu_mismatch", Beside: []string{"tcp.timeout", "http.no_response", "http.body_stalled"},
			Says: []Answer{ipAddr("link.mtu_mismatch", "eth0 has mtu 1500, its other end on the host, HOST, has 1400: packets above 1400 bytes sent from inside may be dropped")}},
		{Name: "MTU of a routed pod's ends differs", Pod: calico, Break: onNode("link set HOST mtu 1380"), Ask: "netns_ip_addr", Code: "link.mtu_mismatch",
			Says: []Answer{ipAddr("link.mtu_mismatch", "has 1380")}},
	}
}

// pathFaults are those of routes and neighbours.
func pathFaults() []Fault {
	return []Fault{
		{Name: "no default route", Far: true, Break: inPod("route del default"), Code: "route.no_default",
			Says: []Answer{curl("unreachable", "route.no_default"), lookup("unreachable", "route.no_default").with("name", "api"), ipAddr("route.no_default", "no routing table has a default route")}},
		{Name: "default route is a blackhole", Far: true, Break: inPod("route replace blackhole default"), Code: "route.blackhole",
			Says: []Answer{curl("unreachable", "route.blackhole")}},
		{Name: "route to the server is unreachable", Far: true, Break: inPod("route add unreachable 10.244.2.0/24"), Code: "route.unreachable",
			Says: []Answer{curl("unreachable", "route.unreachable")}},
		{Name: "policy rule prohibits", Far: true, Break: inPod("rule add to 10.244.2.0/24 priority 80 prohibit"), Code: "route.prohibit",
			Says: []Answer{curl("unreachable", "route.prohibit")}},
		{Name: "policy rule for the port leads nowhere", Break: inPod("rule add ipproto 6 dport 80 priority 90 lookup 100\nroute add unreachable default table 100"),
			Code: "route.unreachable", Says: []Answer{curl("unreachable", "route.unreachable")}},
		{Name: "gateway does not answer ARP", Far: true, Break: inPod("route replace default via NOBODY"), Code: "neigh.gateway_failed",
			Says: []Answer{curl("unreachable", "neigh.gateway_failed")}},
		{Name: "nobody has the address", Serve: func(*Scene) string { return "http://10.244.1.251/" }, Code: "neigh.failed",
			Says: []Answer{curl("unreachable", "neigh.failed")}},
		{Name: "ports of the bridge isolated", Serve: isolatedPorts, Code: "neigh.failed", Node: "ok", Missing: "the bridge's ports",
			Says: []Answer{curl("unreachable", "neigh.failed")}},
		{Name: "neighbour entry by hand is wrong", Serve: func(s *Scene) string { return s.wrongMAC(s.Pod, s.Server) }, Code: "neigh.wrong_mac",
			Says: []Answer{curl("timeout", "neigh.wrong_mac")}},
		{Name: "server's neighbour entry by hand is wrong", Serve: func(s *Scene) string { return s.wrongMAC(s.Server, s.Pod) }, Code: "neigh.wrong_mac",
			Says: []Answer{curl("timeout", "neigh.wrong_mac")}},
	}
}

// firewallFaults are those of packet filters.
func firewallFaults() []Fault {
	return []Fault{
		{Name: "pod drops outgoing", Break: podRule(FirewallRule{Hook: Outgoing, Port: 80}), Code: "fw.pod_drop",
			Says: []Answer{curl("blocked_locally", "fw.pod_drop")}},
		{Name: "pod drops the answers", Break: podRule(FirewallRule{Hook: Incoming, Port: 80, Answers: true}), Code: "fw.pod_drop",
			Says: []Answer{curl("blocked_locally", "fw.pod_drop")}},
		{Name: "pod rejects outgoing", Break: podRule(FirewallRule{Hook: Outgoing, Port: 80, Verdict: Prohibit}), Code: "fw.pod_reject",
			Says: []Answer{curl("blocked_locally", "fw.pod_reject")}},
		{Name: "pod refuses outgoing", Break: podRule(FirewallRule{Hook: Outgoing, Port: 80, Verdict: Refuse}), Code: "fw.pod_reject",
			Says: []Answer{curl("blocked_locally", "fw.pod_reject")}},
		{Name: "pod resets outgoing", Break: podRule(FirewallRule{Hook: Outgoing, Port: 80, Verdict: Reset}), Code: "fw.pod_reject",
			Says: []Answer{curl("blocked_locally", "fw.pod_reject")}},
		{Name: "pod refuses what it gets from itself", Break: podRule(FirewallRule{Hook: Incoming, Port: 80, Verdict: Refuse}), Code: "fw.pod_reject",
			Serve: func(s *Scene) string { return s.itself(":80") }, Says: []Answer{curl("blocked_locally", "fw.pod_reject")}},
		{Name: "server's pod drops incoming", Serve: guarded(Drop), Code: "fw.peer_drop", Journey: true, Beside: []string{"tcp.timeout"},
			Says: []Answer{curl("timeout", "fw.peer_drop")}},
		{Name: "server's pod rejects incoming", Serve: guarded(Prohibit), Code: "fw.pod_reject", Beside: []string{"tcp.refused"},
			Says: []Answer{curl("unreachable", "tcp.refused")}},
		{Name: "server's pod resets incoming", Serve: guarded(Reset), Code: "fw.pod_reject", Beside: []string{"tcp.refused"},
			Says: []Answer{curl("refused", "tcp.refused")}},
		{Name: "node rejects what it forwards", Far: true, Break: nodeRule(FirewallRule{Hook: Forwarded, Port: 80, Verdict: Prohibit}), Code: "fw.host_reject",
			Says: []Answer{curl("unreachable", "fw.host_reject")}},
		{Name: "node drops what it forwards", Far: true, Break: nodeRule(FirewallRule{Hook: Forwarded, Port: 80}), Code: "fw.host_drop", Journey: true, Beside: []string{"tcp.timeout"},
			Says: []Answer{curl("timeout", "fw.host_drop")}},
		{Name: "node drops the answers", Far: true, Break: nodeRule(FirewallRule{Hook: Forwarded, Port: 80, Answers: true}), Code: "fw.host_drop", Journey: true, Beside: []string{"tcp.timeout"},
			Says: []Answer{curl("timeout", "fw.host_drop")}},
		{Name: "service without endpoints", Serve: func(s *Scene) string { return "http://" + s.Service() + "/" },
			Code: "fw.host_reject", Beside: []string{"tcp.refused"}, Node: "blocked_locally", Missing: "its endpoints: the Kubernetes API"},
		{Name: "pod drops its DNS queries", Serve: byService, Break: podRule(FirewallRule{Hook: Outgoing, Protocol: "udp", Port: 53}), Code: "dns.nameserver_unreachable"},
		// What a network policy that forgets DNS comes to.
		{Name: "node drops DNS from pods", Serve: byService, Break: nodeRule(FirewallRule{Hook: Forwarded, Protocol: "udp", Port: 53}), Code: "fw.host_drop", Journey: true,
			Beside: []string{"dns.nameserver_timeout"}},
	}
}

// guarded serves behind a firewall of the server's own.
func guarded(verdict FirewallVerdict) func(*Scene) string {
	return func(s *Scene) string {
		s.Must(s.Server.Firewall(FirewallRule{Hook: Incoming, Port: 80, Verdict: verdict}))
		return s.Serve(Hello)
	}
}

// isolatedPorts makes pods reach the node but not one another, as isolated ports reach
// only the others.
func isolatedPorts(s *Scene) string {
	for _, p := range []*Pod{s.Pod, s.Server} {
		s.Must(onNode("link set HOST type bridge_slave isolated on")(p))
	}
	return s.Serve(Hello)
}

// wrongMAC makes a pod reach another one by a link-layer address of nobody.
func (s *Scene) wrongMAC(from, to *Pod) string {
	s.Helper()
	s.Must(from.ip(fmt.Sprintf("neigh replace %s lladdr 02:00:00:00:00:99 nud permanent dev eth0", to.IP)))
	return s.Serve(Hello)
}

// itself serves in the pod, at the address, and asks for the pod's own.
func (s *Scene) itself(address string) string {
	s.Helper()
	_, err := s.Pod.Serve(address, http.HandlerFunc(Hello))
	s.Must(err)
	return "http://" + s.Pod.IP.String() + "/"
}

// sidecar serves in the pod itself, on loopback.
func sidecar(s *Scene) string {
	_, err := s.Pod.Serve("127.0.0.1:9000", http.HandlerFunc(Hello))
	s.Must(err)
	return "http://127.0.0.1:9000/"
}
