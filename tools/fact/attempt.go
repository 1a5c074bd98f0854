package fact

import "cmp"

// Outcome is how far a connection came. The same words are used by every tool
// that connects.
type Outcome string

// The outcomes of a connection.
const (
	OutcomeOK             Outcome = "ok"
	OutcomeHTTPError      Outcome = "http_error"      // a status of 400 or more, or HTTP/2's GOAWAY or RST_STREAM
	OutcomeDNSFailed      Outcome = "dns_failed"      // the name has no address
	OutcomeRefused        Outcome = "refused"         // ECONNREFUSED
	OutcomeTimeout        Outcome = "timeout"         // silence
	OutcomeReset          Outcome = "reset"           // the established connection was reset
	OutcomeUnreachable    Outcome = "unreachable"     // no way there, by this kernel or a router
	OutcomeBlockedLocally Outcome = "blocked_locally" // the target's own firewall or a BPF hook
	OutcomeNoPort         Outcome = "no_port"         // no local port or address to connect from
	OutcomeTLSFailed      Outcome = "tls_failed"
	OutcomeNotHTTP        Outcome = "not_http" // what came, if anything, is not HTTP
)

// The outcomes that only an [Attempt] has.
const (
	OutcomeDenied    Outcome = "destination_denied" // by the operator's policy, nothing was sent
	OutcomeAbandoned Outcome = "abandoned"          // another address answered first
)

// Cause says why an attempt ended as it did, as far as the evidence goes.
type Cause string

// The causes of an attempt that did not simply connect.
const (
	CauseNoRoute          Cause = "no_route"
	CauseBlackhole        Cause = "route_blackhole"
	CauseUnreachableRoute Cause = "route_unreachable"
	CauseProhibited       Cause = "route_prohibit"
	CauseLocalnet         Cause = "route_localnet"    // NAT leads from loopback out of the target, and route_localnet is off
	CauseNoAddress        Cause = "no_source_address" // no local address of that family
	CauseLinkDown         Cause = "link_down"         // the route's interface has no carrier
	CauseGatewaySilent    Cause = "gateway_no_arp"    // the gateway does not answer ARP or NDP
	CauseNeighbourSilent  Cause = "neighbour_no_arp"  // the destination, on the link, does not
	CauseWrongMAC         Cause = "wrong_mac"         // the next hop has another link-layer address than the permanent entry says
	CausePodDropOut       Cause = "local_drop_out"    // dropped on the way out of the target
	CausePodDropIn        Cause = "local_drop_in"     // arrived, and dropped in the target before TCP got it
	CausePodReject        Cause = "local_reject"      // the target's own firewall refused
	CauseNotSent          Cause = "not_sent"          // the kernel could not send, for no known reason
	CauseNotTaken         Cause = "answer_not_taken"  // the answer arrived, and TCP did not take it, for no known reason
	CauseOtherSource      Cause = "other_source"      // the answer came from another address than was asked
	CauseOtherMAC         Cause = "other_mac"         // the answer came in frames for another link-layer address
	CauseReturned         Cause = "returned"          // the SYN came back to the target, under the target's own address
	CauseHairpin          Cause = "hairpin"           // the node's bridge does not send the SYN back to the target
	CauseDeadBackend      Cause = "dead_backend"      // the backend that NAT leads to does not answer on its link
	CauseNodeDrop         Cause = "node_drop"         // dropped by a packet filter in the node's network
	CausePeerDrop         Cause = "peer_drop"         // dropped by a packet filter in another network of the node
	CauseReversePath      Cause = "rp_filter"         // came by an interface that rp_filter rejects
	CauseNotForwarding    Cause = "not_forwarding"    // a network on the way does not forward
	CauseNoReturn         Cause = "no_return"         // arrived, and the answer has no way
	CauseChecksum         Cause = "bad_checksum"      // the answer came damaged
	CauseNotPermitted     Cause = "not_permitted"     // connect(2) itself was refused
	CausePortsExhausted   Cause = "ports_exhausted"
	CauseNoListener       Cause = "no_listener"      // proven: the kernel of the destination is this one
	CauseRedirected       Cause = "local_redirect"   // the target's own NAT leads to a port of its own that is closed
	CauseListenElsewhere  Cause = "listener_address" // something listens on the port, on another address
	CauseLoopbackOnly     Cause = "loopback_only"    // the same, on loopback alone, in another network of this node
	CauseAcceptQueue      Cause = "accept_queue"     // the listener's accept queue is full
	CauseResetAnswer      Cause = "rst"              // a RST came in the destination's name
	CauseICMP             Cause = "icmp"             // somebody on the way answered with an ICMP error
	CauseLost             Cause = "lost"             // sent to a next hop that is there, no answer
	CauseLocalError       Cause = "local_error"      // the kernel itself said no, for no known reason
	CauseTooShort         Cause = "too_short"        // not waited long enough to tell
	CauseSlow             Cause = "slow"             // connected after SYNs had to be repeated
	CauseUnknown          Cause = "unknown"
)

// Attempt is one TCP connection attempt, or one question, to one literal address, and what
// explains how it ended. What explains is measured only where there is
// something to explain. A probe sets Outcome by the errno alone; the rules of
// diagnose refine Outcome and set Cause and Why.
type Attempt struct {
	// Packet names what was sent where that is no SYN: "the datagram".
	Packet  string  `json:"-"`
	Address string  `json:"address" jsonschema:"literal address and port that was connected to"`
	Outcome Outcome `json:"outcome" jsonschema:"as above, or destination_denied, abandoned"`
	// StartedMS counts from the start of the first attempt of the same race.
	StartedMS float64 `json:"started_ms,omitempty" jsonschema:"after the first attempt"`
	MS        float64 `json:"ms" jsonschema:"until connected or given up"`
	// AgainAfterMS is part of MS. The kernel fails at once whatever waits for a
	// link-layer address when a search ends that somebody else began earlier.
	AgainAfterMS float64 `json:"again_after_ms,omitempty" jsonschema:"tried twice: so soon an older ARP or NDP resolution failed"`
	Local        string  `json:"local,omitempty" jsonschema:"own address and port"`
	Errno        string  `json:"errno,omitempty"`
	Cause        Cause   `json:"cause,omitempty"`
	// Why is the cause in one sentence of our own words and validated values.
	Why string `json:"why,omitempty"`

	// SYNRetransmits is the socket's own count (TCP_INFO).
	SYNRetransmits int           `json:"syn_retransmits,omitempty"`
	RTTMS          float64       `json:"rtt_ms,omitempty" jsonschema:"round trip as the kernel measured it"`
	Route          *AttemptRoute `json:"route,omitempty"`
	Neigh          *AttemptNeigh `json:"neigh,omitempty" jsonschema:"next hop on the link"`
	Answer         *Answer       `json:"answer,omitempty" jsonschema:"packet that ended the attempt"`
	Wire           *Wire         `json:"wire,omitempty" jsonschema:"packets of this connection seen at the interfaces"`
	// SentTo is the destination after the target's own NAT. Route and Neigh are
	// then those of the way there.
	SentTo string `json:"sent_to,omitempty" jsonschema:"after the target's own NAT"`
	// SendErrno is what the kernel says to the same SYN sent once more by a raw
	// socket, measured where no SYN was seen to leave: EPERM is a packet filter's
	// drop, a route's error follows NAT or a mark (nf_hook_slow and
	// ip_route_me_harder in the kernel's net/). Route and Neigh are absent then.
	SendErrno string `json:"send_errno,omitempty" jsonschema:"of the same SYN by a raw socket"`
	// RouteLocalnet is route_localnet(ip-sysctl) of any interface, measured where it may matter.
	RouteLocalnet *bool        `json:"route_localnet,omitempty"`
	Node          *AttemptNode `json:"node,omitempty" jsonschema:"the connection as the node sees it"`
	// Journey is where the packets went on this node, recorded where no answer came. An
	// answer shows it beside the attempts, and here those of others.
	Journey *Journey `json:"journey,omitempty"`
	// Counters are those of the whole namespace that moved meanwhile, by the
	// names of /proc/net/snmp, netstat and snmp6 ("TcpExt.TCPSynRetrans").
	Counters map[string]uint64 `json:"counters,omitempty" jsonschema:"kernel counters of the whole namespace that moved"`
	// PortRange is ip_local_port_range, measured where no port was to be had.
	PortRange []int `json:"ip_local_port_range,omitempty"`
	// Listeners are the addresses and ports on which something in the namespace
	// listens, those on the port first and at most 20, measured where the destination
	// is in the namespace itself.
	Listeners []string `json:"listeners,omitzero" jsonschema:"address:port of what listens in the namespace, at most 20"`
}

// Stuck reports whether the attempt ended at the target's own route, interface or next
// hop.
func (a *Attempt) Stuck() bool {
	return a.Route != nil && (a.Route.Type == RouteNone || a.Route.OperState != "") || a.Neigh.Failed() ||
		a.Neigh != nil && a.Wire != nil && a.Wire.Asked > 0 && a.Wire.Answered == 0 || a.Errno == "EADDRNOTAVAIL"
}

// Destination is where the attempt led to, after the NAT that is known.
func (a *Attempt) Destination() string {
	if a.Node != nil && a.Node.SentTo != "" {
		return a.Node.SentTo
	}
	return cmp.Or(a.SentTo, a.Address)
}

// The types of an [AttemptRoute] by which an attempt is judged.
const (
	RouteNone        = "none"
	RouteLocal       = "local"
	RouteBlackhole   = "blackhole"
	RouteUnreachable = "unreachable"
	RouteProhibit    = "prohibit"
)

// AttemptRoute is the route that the kernel picks (ip route get).
type AttemptRoute struct {
	// Type is unicast or local; blackhole, unreachable, prohibit; none.
	Type string `json:"type"`
	// Dst is the prefix that matched, "default" for /0. Rule is the policy rule that
	// led to its table, where that is not one of the kernel's own.
	Dst     string `json:"dst,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Gateway string `json:"gateway,omitempty"`
	Dev     string `json:"dev,omitempty"`
	PrefSrc string `json:"prefsrc,omitempty"`
	// Table is present where it is neither main nor local.
	Table int `json:"table,omitempty"`
	// OperState is that of Dev, where it is not UP.
	OperState string `json:"operstate,omitempty" jsonschema:"of dev, where it is not UP"`
}

// AttemptNeigh is the next hop's entry in the neighbour table (ip neigh).
type AttemptNeigh struct {
	Dst    string `json:"dst"`
	Lladdr string `json:"lladdr,omitempty"`
	// State is the NUD state: REACHABLE, STALE, DELAY, PROBE, INCOMPLETE, FAILED,
	// PERMANENT, NOARP; NONE where there is no entry.
	State string `json:"state"`
}

// Failed reports whether the next hop's link-layer address was asked for in vain.
func (n *AttemptNeigh) Failed() bool {
	return n != nil && (n.State == "FAILED" || n.State == "INCOMPLETE")
}

// Resolved reports whether the next hop has a link-layer address.
func (n *AttemptNeigh) Resolved() bool {
	switch n.State {
	case "REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT", "NOARP":
		return true
	}
	return false
}

// Answer is the packet that ended an attempt: a RST, or an ICMP error about it.
type Answer struct {
	// Kind is rst or icmp.
	Kind string `json:"kind"`
	From string `json:"from"`
	// ICMP names type and code, "port unreachable".
	ICMP string `json:"icmp,omitempty"`
	// Dev is the interface it came in by. On lo it was made in the namespace
	// itself.
	Dev string `json:"dev,omitempty"`
	TTL int    `json:"ttl,omitempty"`
	// Own: the packet was made in the namespace itself.
	Own bool `json:"own,omitempty" jsonschema:"made in this namespace itself"`
}

// Wire counts the packets of one connection at the interfaces of the
// namespace. Watching starts only when the first SYN has gone unanswered for a
// while, so Wire shows repetitions. Wire is absent where packets left from the same
// port that cannot be told to be this connection's or another's.
type Wire struct {
	SYNOut   int `json:"syn_out" jsonschema:"SYNs that left while watched"`
	SYNACKIn int `json:"syn_ack_in" jsonschema:"answers that arrived"`
	// SYNPassed and SYNACKPassed count how many of them came past the namespace's
	// own packet filter, up to TCP; absent is not measured.
	SYNPassed    *int    `json:"syn_passed,omitempty"`
	SYNACKPassed *int    `json:"syn_ack_passed,omitempty" jsonschema:"past the target's own filters"`
	Dev          string  `json:"dev,omitempty"`
	WatchedMS    float64 `json:"watched_ms"`
	// AnswerFrom is the source of the answers, where it is not where the SYN went.
	AnswerFrom string `json:"answer_from,omitempty" jsonschema:"where it is not the address asked"`
	OtherMAC   bool   `json:"other_mac,omitempty" jsonschema:"answers in frames for another MAC address"`
	// Returned is to which address of the target its own SYN came back.
	Returned string `json:"returned,omitempty" jsonschema:"the SYN came back, to this address"`
	// Asked and Answered count our own requests for the next hop's link-layer
	// address (ARP or neighbour discovery), for the kernel may go on using one
	// that it learnt long ago. AnsweredBy is the address, where all answers agree.
	Asked      int    `json:"arp_asked,omitempty" jsonschema:"own ARP or NDP requests for the next hop"`
	Answered   int    `json:"arp_answered,omitempty"`
	AnsweredBy string `json:"arp_lladdr,omitempty"`
}

// AttemptNode is what the node knows of a connection of a pod.
type AttemptNode struct {
	// Tracked: the connection is in the node's conntrack table, which a SYN enters
	// when it has passed the node's filters (nf_conntrack_confirm). False says
	// nothing: the node may not track, or forget at once, as after a RST.
	Tracked bool   `json:"tracked,omitempty" jsonschema:"in the node's conntrack table: the SYN passed its filters"`
	SentTo  string `json:"sent_to,omitempty" jsonschema:"after the node's NAT"`
	Replied bool   `json:"replied,omitempty" jsonschema:"the node saw an answer"`
	// IsGateway and IsAnswerer: the next hop, or who answered, is an address of the node.
	IsGateway  bool `json:"is_gateway,omitempty"`
	IsAnswerer bool `json:"is_answerer,omitempty"`
	// Route is by which the node that answered passes the connection on. Its mark is not
	// known.
	Route *AttemptRoute `json:"route,omitempty" jsonschema:"of the node that answered, there"`
	// Bridge is the node's bridge on which both the target and who answered are;
	// BridgeNF is net.bridge.bridge-nf-call-iptables (or -ip6tables) there.
	Bridge   string `json:"bridge,omitempty"`
	BridgeNF *bool  `json:"bridge_nf_call,omitempty"`
}
