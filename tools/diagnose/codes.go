package diagnose

import "nsenter-mcp/tools/fact"

// The codes of findings: layer.cause. Agents and documents refer to them, so a
// code is never renamed.
const (
	LinkMissing              fact.Code = "link.missing"
	LinkDown                 fact.Code = "link.down"
	LinkNoCarrier            fact.Code = "link.no_carrier"
	LinkLoDown               fact.Code = "link.lo_down"
	LinkDetached             fact.Code = "link.detached"
	LinkBridgeDown           fact.Code = "link.bridge_down"
	LinkErrors               fact.Code = "link.errors"
	LinkMTUMismatch          fact.Code = "link.mtu_mismatch"
	AddrNone                 fact.Code = "addr.none"
	AddrDuplicate            fact.Code = "addr.duplicate"
	AddrTentative            fact.Code = "addr.tentative"
	AddrIPv6Disabled         fact.Code = "addr.ipv6_disabled"
	AddrNoSource             fact.Code = "addr.no_source"
	RouteNoDefault           fact.Code = "route.no_default"
	RouteBlackhole           fact.Code = "route.blackhole"
	RouteUnreachable         fact.Code = "route.unreachable"
	RouteProhibit            fact.Code = "route.prohibit"
	RouteNoReturn            fact.Code = "route.no_return"
	RouteLoop                fact.Code = "route.loop"
	NeighGatewayFailed       fact.Code = "neigh.gateway_failed"
	NeighFailed              fact.Code = "neigh.failed"
	NeighWrongMAC            fact.Code = "neigh.wrong_mac"
	FirewallPodDrop          fact.Code = "fw.pod_drop"
	FirewallPodReject        fact.Code = "fw.pod_reject"
	FirewallPodRedirect      fact.Code = "fw.pod_redirect"
	FirewallHostDrop         fact.Code = "fw.host_drop"
	FirewallHostReject       fact.Code = "fw.host_reject"
	FirewallPeerDrop         fact.Code = "fw.peer_drop"
	FirewallConnectDenied    fact.Code = "fw.connect_denied"
	NetBridgeNFOff           fact.Code = "net.bridge_nf_off"
	NATNotReversed           fact.Code = "nat.not_reversed"
	ServiceHairpin           fact.Code = "svc.hairpin"
	ServiceDeadBackend       fact.Code = "svc.dead_backend"
	ServiceNoDNAT            fact.Code = "svc.no_dnat"
	ServiceNoEndpoints       fact.Code = "svc.no_endpoints"
	ServiceWrongTargetPort   fact.Code = "svc.wrong_target_port"
	ServiceHeadlessPort      fact.Code = "svc.headless_port"
	ServiceSomeBackendsDead  fact.Code = "svc.some_backends_dead"
	ServiceStaleEndpoint     fact.Code = "svc.stale_endpoint"
	K8sSelectorMismatch      fact.Code = "k8s.selector_mismatch"
	K8sNotReady              fact.Code = "k8s.not_ready"
	K8sCrash                 fact.Code = "k8s.crash"
	K8sNoSuchPort            fact.Code = "k8s.no_such_port"
	K8sOtherNamespace        fact.Code = "k8s.other_namespace"
	K8sExternalName          fact.Code = "k8s.external_name"
	DNSServiceDenied         fact.Code = "dns.service_denied"
	DNSNotClusterDNS         fact.Code = "dns.not_cluster_dns"
	SysctlIPForward          fact.Code = "sysctl.ip_forward"
	SysctlRPFilter           fact.Code = "sysctl.rp_filter"
	SysctlRouteLocalnet      fact.Code = "sysctl.route_localnet"
	TCPRefused               fact.Code = "tcp.refused"
	TCPNoListener            fact.Code = "tcp.no_listener"
	TCPListenerLoopback      fact.Code = "tcp.listener_loopback"
	TCPReset                 fact.Code = "tcp.reset"
	TCPTimeout               fact.Code = "tcp.timeout"
	TCPUnreachable           fact.Code = "tcp.unreachable"
	TCPLocalError            fact.Code = "tcp.local_error"
	TCPSynRetransmitted      fact.Code = "tcp.syn_retransmitted"
	TCPECNBlocked            fact.Code = "tcp.ecn_blocked"
	TCPBadChecksum           fact.Code = "tcp.bad_checksum"
	TCPAcceptQueueFull       fact.Code = "tcp.accept_queue_full"
	TCPPortExhaustion        fact.Code = "tcp.port_exhaustion"
	LossPackets              fact.Code = "loss.packets"
	DNSNoNameserver          fact.Code = "dns.no_nameserver"
	DNSNameserverTimeout     fact.Code = "dns.nameserver_timeout"
	DNSNameserverRefused     fact.Code = "dns.nameserver_refused"
	DNSNameserverUnreachable fact.Code = "dns.nameserver_unreachable"
	DNSNXDOMAIN              fact.Code = "dns.nxdomain"
	DNSBadResponse           fact.Code = "dns.bad_response"
	DNSUnexpectedSource      fact.Code = "dns.unexpected_source"
	DNSSearchDot             fact.Code = "dns.search_dot"
	DNSNODATA                fact.Code = "dns.nodata"
	DNSSERVFAIL              fact.Code = "dns.servfail"
	DNSRefused               fact.Code = "dns.refused"
	DNSSearchMissing         fact.Code = "dns.search_missing"
	DNSSearchShadows         fact.Code = "dns.search_shadows"
	DNSSlow                  fact.Code = "dns.slow"
	DNSAAAATimeout           fact.Code = "dns.aaaa_timeout"
	DNSAAAANXDOMAIN          fact.Code = "dns.aaaa_nxdomain"
	DNSTCPUnavailable        fact.Code = "dns.tcp_unavailable"
	DNSHostsOverride         fact.Code = "dns.hosts_override"
	DNSWrongAnswer           fact.Code = "dns.wrong_answer"
	TLSExpired               fact.Code = "tls.expired"
	TLSNotYetValid           fact.Code = "tls.not_yet_valid"
	TLSUnknownCA             fact.Code = "tls.unknown_ca"
	TLSNameMismatch          fact.Code = "tls.name_mismatch"
	TLSNotTLS                fact.Code = "tls.not_tls"
	TLSBadCertificate        fact.Code = "tls.bad_certificate"
	TLSClientCertRequired    fact.Code = "tls.client_cert_required"
	TLSHandshakeFailed       fact.Code = "tls.handshake_failed"
	HTTPServerError          fact.Code = "http.server_error"
	HTTPClientError          fact.Code = "http.client_error"
	HTTPNoResponse           fact.Code = "http.no_response"
	HTTPNotHTTP              fact.Code = "http.not_http"
	HTTPTLSExpected          fact.Code = "http.tls_expected"
	HTTPBodyCut              fact.Code = "http.body_cut"
	HTTPBodyStalled          fact.Code = "http.body_stalled"
	HTTPSlowFirstByte        fact.Code = "http.slow_first_byte"
	HTTPRedirectLoop         fact.Code = "http.redirect_loop"
	HTTPProxyEnv             fact.Code = "http.proxy_env"
)

// Severity is how much a fault breaks.
type Severity string

// The severities. A critical fault breaks the connection or the lookup; with a
// warning something works, or the cause is still to be found.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
)

// The values of [CodeInfo.Settled].
const (
	settled = true
	open    = false
)

// CodeInfo is what is known of a code before anything is measured.
type CodeInfo struct {
	Code     fact.Code
	Severity Severity
	// Settled: no comparison with another place would tell more about the cause.
	Settled bool
	Title   string // the fault in one sentence
	Fix     string // what to do about it
	// Explains are the codes of the symptoms that this fault may cause.
	Explains []fact.Code
}

// Codes returns every code that a finding may have, from the link upwards.
func Codes() []CodeInfo {
	unanswered := []fact.Code{TCPTimeout, TCPSynRetransmitted, HTTPNoResponse, HTTPBodyStalled}
	unresolved := []fact.Code{DNSNameserverTimeout, DNSNameserverUnreachable, DNSSlow}
	both := append(unanswered[:len(unanswered):len(unanswered)], unresolved...)
	// What the node does with a packet to a service that leads nowhere.
	unserved := append(both[:len(both):len(both)], TCPRefused, TCPReset, TCPUnreachable, RouteUnreachable, RouteLoop, FirewallHostReject,
		DNSNameserverRefused, DNSNXDOMAIN, DNSNODATA, DNSSERVFAIL, DNSRefused, HTTPProxyEnv)
	// kube-proxy rejects what goes to a service without endpoints; where the node's limit of
	// ICMP errors (icmp_ratelimit) keeps its answer back, that is a drop by netfilter.
	rejected := append(unserved[:len(unserved):len(unserved)], FirewallHostDrop)
	untranslated := append(unserved[:len(unserved):len(unserved)], NeighFailed, SysctlIPForward, RouteBlackhole, RouteProhibit) // met by the service's address
	noWayOut := append(both[:len(both):len(both)], AddrNoSource, RouteNoDefault, NeighGatewayFailed, NeighFailed)
	return []CodeInfo{
		{LinkMissing, Critical, settled, "The network has no interface besides the loopback", "Read the network plugin's log and the pod's events: the plugin did not attach the pod.", noWayOut},
		{LinkDown, Critical, settled, "An interface is administratively down", "Set the interface up (ip link set DEV up), and find out who set the interface down.", noWayOut},
		{LinkNoCarrier, Critical, open, "An interface has no carrier", "Set the interface's other end on the node up; if that end is gone, recreate the pod.", noWayOut},
		{LinkLoDown, Critical, settled, "The loopback interface is down", "Set lo up: every connection to 127.0.0.1 and ::1 fails.", both},
		{LinkDetached, Critical, settled, "The node's end of the pair is not attached to the bridge of its neighbours", "Attach the node's end (ip link set DEV master BRIDGE) or recreate the pod.", noWayOut},
		{LinkBridgeDown, Critical, settled, "The bridge on the node is down", "Set the bridge up; every pod attached to it is cut off.", noWayOut},
		{LinkErrors, Warning, open, "An interface counts transmission errors", "Look at the driver's statistics and the cable or virtual switch.", nil},
		{LinkMTUMismatch, Warning, open, "The two ends of a pair differ in MTU", "Give both ends the same MTU; packets longer than the smaller MTU are dropped.", unanswered},
		{AddrNone, Critical, settled, "An interface has no address", "See why the network plugin gave no address; recreate the pod.", noWayOut},
		{AddrDuplicate, Critical, open, "Another machine uses the same address", "Find the other owner and give one of the two another address.", both},
		{AddrTentative, Warning, open, "An IPv6 address is not usable yet", "Wait for duplicate address detection; if the detection never ends, the link does not carry.", nil},
		{AddrIPv6Disabled, Warning, open, "IPv6 is disabled on an interface that has IPv6 neighbours or addresses", "Set net.ipv6.conf.DEV.disable_ipv6 to 0 if IPv6 is meant to work.", unanswered},
		{AddrNoSource, Critical, open, "The route has no source address", "Give the interface an address of the family of the destination.", both},
		{RouteNoDefault, Critical, settled, "The target has no default route", "Add a default route (ip route add default via GATEWAY), or see why the network plugin added none.", both},
		{RouteBlackhole, Critical, settled, "The route to the destination is a blackhole", "Remove the blackhole route, or restore the more specific route above it.", both},
		{RouteUnreachable, Critical, open, "The route to the destination is unreachable", "Correct the route; the kernel refuses every packet.", both},
		{RouteProhibit, Critical, settled, "The route to the destination is prohibited", "Correct the prohibiting route or routing rule.", both},
		{RouteNoReturn, Critical, settled, "The packet arrives, and the answer has no way back", "Give the network where the answer ends a route to the address that asked.", both},
		{RouteLoop, Critical, open, "Packets to the destination go round in circles", "Correct the routes of the two routers that send packets back to each other.", both},
		{NeighGatewayFailed, Critical, open, "The gateway answers no ARP or neighbour solicitation", "Check that the gateway has this address, and that the link to the gateway carries.", both},
		{NeighFailed, Critical, open, "The destination answers no ARP or neighbour solicitation", "Check that the destination is up and on this link.", both},
		{NeighWrongMAC, Critical, settled, "A neighbour entry has the MAC address of somebody else", "Delete the permanent entry (ip neigh del), or correct the entry's MAC address.", both},
		{FirewallPodDrop, Critical, settled, "A firewall in the pod drops packets", "Look at the pod's own rules (a service mesh, an init container).", both},
		{FirewallPodReject, Critical, settled, "A firewall in the pod rejects the connection", "Look at the pod's own rules (a service mesh, an init container).", []fact.Code{TCPRefused}},
		{FirewallPodRedirect, Critical, settled, "The pod redirects the connection to a port where nothing listens", "Start the sidecar, or remove the sidecar's redirection.", append(unresolved[:len(unresolved):len(unresolved)], TCPRefused)},
		{FirewallHostDrop, Critical, settled, "A firewall of the node drops packets", "Look at the node's rules and at network policies.", both},
		{FirewallHostReject, Critical, open, "A firewall of the node rejects the connection", "Look at the node's rules and at network policies.", []fact.Code{TCPRefused}},
		{FirewallPeerDrop, Critical, settled, "A firewall in another network on this node drops packets", "Look at the rules inside the network of the destination (a service mesh, a sidecar).", both},
		{FirewallConnectDenied, Critical, settled, "The kernel forbids the connection (a cgroup program or a security module)", "Look at the BPF programs of the pod's cgroup and at its security profile.", nil},
		{NetBridgeNFOff, Critical, settled, "The answer comes from the backend's own address, as bridged packets bypass the node's NAT", "Load br_netfilter and set net.bridge.bridge-nf-call-iptables to 1 on the node.", both},
		{NATNotReversed, Critical, open, "The answer comes from another address than the one asked", "Find out where answers bypass NAT.", both},
		{ServiceHairpin, Critical, settled, "A pod that calls its own service gets its own packets back", "Masquerade such connections, or enable hairpin mode of the network plugin.", []fact.Code{TCPTimeout}},
		{ServiceNoDNAT, Critical, settled, "The node does not translate the service's address", "Find out why the node's NAT lacks the service: whether kube-proxy runs and reaches the API, and who deletes its rules.", untranslated},
		{ServiceDeadBackend, Critical, settled, "NAT leads to a backend that is not there", "Look at the service's endpoints: that address is of no running pod, or the pod's network does not answer.", both},
		{ServiceNoEndpoints, Critical, settled, "The service has no endpoint", "Start the pods that the service selects, or give the service its endpoints.", rejected},
		{ServiceWrongTargetPort, Critical, settled, "The service leads to a port of its pods where nothing listens", "Correct the targetPort of the service, or the port of the application.", unserved},
		{ServiceHeadlessPort, Critical, settled, "A headless service translates no ports", "Ask the port on which the pods listen, or give the service a cluster IP.", unserved},
		{ServiceSomeBackendsDead, Critical, open, "Some endpoints of the service fail, others answer", "Look into the pods whose endpoints fail; a readiness probe would take them out of the service.", unserved},
		{ServiceStaleEndpoint, Critical, settled, "The node's NAT leads to an address that is no endpoint of the service", "Find out why kube-proxy does not update its rules: whether it runs, and reaches the API.", append(unserved[:len(unserved):len(unserved)], ServiceDeadBackend, NeighFailed)},
		{K8sSelectorMismatch, Critical, settled, "The service selects no pod", "Correct the selector of the service, or the labels of the pods.", rejected},
		{K8sNotReady, Critical, settled, "No pod behind the service is ready", "Look at the pods: their readiness probes, and whether they start.", rejected},
		{K8sCrash, Critical, settled, "The pods behind the service crash", "Read the log of the container's last run (kubectl logs --previous).", rejected},
		{K8sNoSuchPort, Critical, settled, "The service, or the pods behind it, have no such port", "Ask a port that the service has, or correct its ports; a targetPort by name must be the name of a container port.", append(untranslated[:len(untranslated):len(untranslated)], FirewallHostDrop)},
		{K8sOtherNamespace, Critical, settled, "The service is in another namespace", "Name the service with its namespace: NAME.NAMESPACE.", unserved},
		{K8sExternalName, Critical, settled, "The service is an alias of a name that has no address", "Correct the externalName of the service.", unserved},
		{DNSServiceDenied, Critical, settled, "The cluster's DNS denies a service that the Kubernetes API has", "Look at the cluster DNS: its Corefile's zones, its log, and whether it reaches the Kubernetes API.", unserved},
		{DNSNotClusterDNS, Critical, settled, "The pod asks the node's nameservers, which do not know the cluster's names", "Set dnsPolicy to ClusterFirst, or in the host's network to ClusterFirstWithHostNet.", append(unserved[:len(unserved):len(unserved)], DNSSearchMissing)},
		{SysctlIPForward, Critical, settled, "A network on the way does not forward packets", "Set net.ipv4.ip_forward (or net.ipv6.conf.all.forwarding) to 1 there.", both},
		{SysctlRPFilter, Critical, settled, "The reverse path filter drops packets", "Correct the route back to the source, or set rp_filter to 2.", both},
		{SysctlRouteLocalnet, Critical, settled, "NAT leads a connection from 127.0.0.1 out of the target, and route_localnet forbids that", "Use the node's address, or set route_localnet to 1.", unanswered},
		{TCPRefused, Warning, open, "The destination refuses the connection", "See whether the application listens on that port.", nil},
		{TCPNoListener, Critical, settled, "Nothing listens on that port", "Start the application, or correct the port.", []fact.Code{TCPRefused}},
		{TCPListenerLoopback, Critical, settled, "The application listens on the loopback address alone", "Let the application listen on 0.0.0.0 or ::.", []fact.Code{TCPRefused}},
		{TCPReset, Warning, open, "The connection was reset", "See the log of the destination.", nil},
		{TCPTimeout, Warning, open, "Nobody answers the connection attempt", "Follow next: the same from the node, and from inside the destination.", nil},
		{TCPUnreachable, Warning, open, "The kernel or a router says that the destination is unreachable", "Look at the router that sent the error.", nil},
		{TCPLocalError, Warning, open, "The target's own kernel refuses the connection", "Look at the error and the route.", nil},
		{TCPSynRetransmitted, Warning, open, "Connection attempts have to be repeated", "Packets are lost on the way; look at the counters of the path.", nil},
		{TCPECNBlocked, Warning, open, "Connection attempts with ECN are dropped, attempts without ECN are not", "Set net.ipv4.tcp_ecn to 0, or mend the device that drops ECN.", []fact.Code{TCPTimeout}},
		{TCPBadChecksum, Critical, open, "Packets arrive with a wrong checksum", "Switch checksum offloading off on the device that sends wrong checksums.", both},
		{TCPAcceptQueueFull, Critical, settled, "The application does not accept connections fast enough", "Find out why the application does not accept, or raise the listener's backlog and net.core.somaxconn.", []fact.Code{TCPTimeout}},
		{TCPPortExhaustion, Critical, settled, "No local port is left for another connection", "Reuse connections, or widen net.ipv4.ip_local_port_range.", nil},
		{LossPackets, Warning, open, "Packets are lost on the way", "Follow next: the same from the node and from inside the destination; look at the counters of the interfaces between.", []fact.Code{TCPSynRetransmitted}},
		{DNSNoNameserver, Critical, open, "resolv.conf names no usable nameserver", "Correct the pod's dnsPolicy or dnsConfig.", nil},
		{DNSNameserverTimeout, Critical, open, "A nameserver does not answer", "Follow next: whether the nameserver's address can be reached.", []fact.Code{DNSSlow}},
		{DNSNameserverRefused, Critical, open, "Nothing listens at a nameserver's address", "See whether the DNS service has ready endpoints.", []fact.Code{DNSSlow}},
		{DNSNameserverUnreachable, Critical, open, "A nameserver cannot be reached", "Look at the route and the firewall to the nameserver.", []fact.Code{DNSSlow}},
		{DNSNXDOMAIN, Warning, open, "The name does not exist", "Check the name, the namespace and the search list.", nil},
		{DNSBadResponse, Critical, open, "The nameserver sends no valid answer", "Read the nameserver's log: the nameserver's answers are malformed or cut off.", []fact.Code{DNSSlow}},
		{DNSUnexpectedSource, Critical, open, "The answer comes from another address than the one asked", "Find out where answers bypass NAT: see bridge-nf-call-iptables on the node.", []fact.Code{DNSNameserverTimeout}},
		{DNSSearchDot, Warning, open, "The search list holds a dot, which this version of musl cannot use", "Take the dot out of the search list, or use musl 1.2.4 or later.", []fact.Code{DNSNXDOMAIN}},
		{DNSNODATA, Warning, open, "The name exists without a record of that type", "Ask for another type, or add the record.", nil},
		{DNSSERVFAIL, Critical, open, "The nameserver could not answer", "See the nameserver's log and its upstream servers.", nil},
		{DNSRefused, Critical, open, "The nameserver refuses the question", "Ask a server that serves the name, or allow this client.", nil},
		{DNSSearchMissing, Warning, open, "A name fails for want of a search list", "Use the full name, or dnsPolicy ClusterFirst.", []fact.Code{DNSNXDOMAIN}},
		{DNSSearchShadows, Warning, open, "A domain of the search list answers in place of the name itself", "End the name with a dot, or lower ndots.", []fact.Code{DNSWrongAnswer}},
		{DNSSlow, Warning, open, "The lookup takes long", "See which server or which question of the search list costs the time.", nil},
		{DNSAAAATimeout, Critical, open, "Questions for IPv6 addresses are not answered", "Mend the nameserver; some libraries wait for both answers.", []fact.Code{DNSSlow}},
		{DNSAAAANXDOMAIN, Critical, open, "The nameserver denies the name for IPv6, and has an IPv4 address for the same name", "Mend the nameserver: NXDOMAIN is for the name, not for a type (RFC 8020).", []fact.Code{DNSNXDOMAIN}},
		{DNSTCPUnavailable, Warning, open, "The nameserver does not serve DNS over TCP", "Allow TCP port 53; long answers need TCP.", nil},
		{DNSHostsOverride, Warning, open, "The hosts file gives another address than DNS", "Correct the hosts file (hostAliases) or the record.", nil},
		{DNSWrongAnswer, Warning, open, "Two nameservers give different answers", "Compare the zones of the two servers.", nil},
		{TLSExpired, Critical, open, "The certificate has expired", "Renew the certificate.", nil},
		{TLSNotYetValid, Critical, open, "The certificate is not valid yet", "Compare the clocks.", nil},
		{TLSUnknownCA, Critical, open, "The certificate is signed by an unknown authority", "Add the authority to the container's CA bundle.", nil},
		{TLSNameMismatch, Critical, open, "The certificate is for another name", "Use a name that the certificate holds, or reissue the certificate.", nil},
		{TLSNotTLS, Critical, open, "The server does not speak TLS on this port", "Use http, or the port that speaks TLS.", nil},
		{TLSBadCertificate, Critical, open, "The certificate is malformed or too weak", "Reissue the certificate.", nil},
		{TLSClientCertRequired, Critical, open, "The server wants a certificate of the client", "Give the application its client certificate.", nil},
		{TLSHandshakeFailed, Critical, open, "The TLS handshake failed", "Compare versions and ciphers of both ends.", nil},
		{HTTPServerError, Warning, open, "The server answers with a server error (5xx)", "See the server's log.", nil},
		{HTTPClientError, Warning, open, "The server answers that the request is wrong", "Correct the request.", nil},
		{HTTPNoResponse, Critical, open, "The server accepts the request and does not answer", "Find out what blocks the application.", nil},
		{HTTPNotHTTP, Warning, open, "The answer is not HTTP", "Ask the port that speaks HTTP.", nil},
		{HTTPTLSExpected, Warning, open, "The server wants TLS on this port", "Use https.", nil},
		{HTTPBodyCut, Warning, open, "The connection ended before the whole answer came", "See the server's log.", nil},
		{HTTPBodyStalled, Warning, open, "The answer stopped half-way", "Large packets may be lost, or the application hangs.", nil},
		{HTTPSlowFirstByte, Warning, open, "The server takes long to answer", "Find out what the application waits for.", nil},
		{HTTPRedirectLoop, Warning, open, "Redirects lead in a circle", "Correct the server's redirects.", nil},
		{HTTPProxyEnv, Warning, open, "The request went through the proxy of the container's environment, and failed there", "Correct the proxy, or name the destination in NO_PROXY.", nil},
	}
}
