package fact

import "slices"

// Link is one network interface as one netlink dump showed it. Names and types
// are those of `ip -json -details -statistics -statistics addr` of iproute2
// 6.1, which prints more of rare kinds; the exceptions are said at their fields.
// [Link.Compact] leaves the fields that fit into a short answer.
type Link struct {
	Index int    `json:"ifindex"`
	Name  string `json:"ifname" jsonschema:"what cannot be shown is escaped"`
	// Lower or LinkIndex is the interface below or the other end of a pair: its
	// name where it is in the same namespace, its index in the namespace
	// LinkNetnsID where it is in another. iproute2 prints null for an
	// interface that could have one and has none; here both are absent.
	Lower       string `json:"link,omitempty" jsonschema:"interface below or other end of the pair, in this namespace"`
	LinkIndex   *int   `json:"link_index,omitempty" jsonschema:"index of the other end, in namespace link_netnsid"`
	LinkNetnsID *int   `json:"link_netnsid,omitempty"`
	// Flags are iproute2's: IFF_RUNNING is not among them, an interface that is
	// up and not running has NO-CARRIER, and one whose lower interface is down
	// has M-DOWN.
	Flags  []string `json:"flags"`
	MTU    *int     `json:"mtu,omitempty"`
	Master string   `json:"master,omitempty" jsonschema:"bridge or bond that this is a port of"`
	// OperState is RFC 2863's state, OperStateIndex its number where iproute2
	// has no name for it.
	OperState      string `json:"operstate,omitempty"`
	OperStateIndex *int   `json:"operstate_index,omitempty"`
	// Carrier is not printed by iproute2 as a field of its own; the kernel
	// states false for every interface that is administratively down.
	Carrier  *bool     `json:"carrier,omitempty"`
	LinkType string    `json:"link_type" jsonschema:"hardware type"`
	Address  string    `json:"address,omitempty"`
	LinkInfo *LinkInfo `json:"linkinfo,omitempty"`
	// IPv6Disabled is the interface's sysctl disable_ipv6. It is absent where
	// the interface has no IPv6 at all: kernel without it, or MTU below 1280.
	IPv6Disabled *bool `json:"disable_ipv6,omitempty"`
	// AddrInfo is absent where addresses were not asked for.
	AddrInfo []Addr `json:"addr_info,omitzero"`

	// HostPeer is the other end of a veth or netkit pair where that end is in
	// the host's namespace.
	HostPeer *HostPeer `json:"host_peer,omitempty" jsonschema:"other end of the pair, on the host"`
	// PeerNetnsID is set instead where the other end is in a third namespace:
	// its number as this namespace knows it, -1 where it has none.
	PeerNetnsID *int `json:"peer_netnsid,omitempty" jsonschema:"the other end is neither here nor on the host, but in this namespace id"`

	LinkDetails
}

// LinkDetails are the fields of a [Link] that only a detailed answer shows.
type LinkDetails struct {
	// XDP is the program that sees packets before the network stack does. mode
	// is XDP_ATTACHED_* of linux/if_link.h; of the program only the id is told.
	XDP          Attrs  `json:"xdp,omitempty"`
	Qdisc        string `json:"qdisc,omitempty"`
	Group        string `json:"group,omitempty"`
	TxQLen       int    `json:"txqlen,omitempty"`
	PointToPoint bool   `json:"link_pointtopoint,omitempty"`
	Broadcast    string `json:"broadcast,omitempty"`
	PermAddr     string `json:"permaddr,omitempty"`
	ProtoDown    bool   `json:"proto_down,omitempty"`
	// ProtoDownReason are the numbers of the reasons (protodown_reasons of iproute2).
	ProtoDownReason []string  `json:"proto_down_reason,omitempty"`
	Promiscuity     *int      `json:"promiscuity,omitempty"`
	AllMulti        *int      `json:"allmulti,omitempty"`
	MinMTU          *int      `json:"min_mtu,omitempty"`
	MaxMTU          *int      `json:"max_mtu,omitempty"`
	AddrGenMode     string    `json:"inet6_addr_gen_mode,omitempty"`
	NumTxQueues     *int      `json:"num_tx_queues,omitempty"`
	NumRxQueues     *int      `json:"num_rx_queues,omitempty"`
	GSOMaxSize      *int      `json:"gso_max_size,omitempty"`
	GSOMaxSegs      *int      `json:"gso_max_segs,omitempty"`
	TSOMaxSize      *int      `json:"tso_max_size,omitempty"`
	TSOMaxSegs      *int      `json:"tso_max_segs,omitempty"`
	GROMaxSize      *int      `json:"gro_max_size,omitempty"`
	PhysPortName    string    `json:"phys_port_name,omitempty"`
	PhysPortID      string    `json:"phys_port_id,omitempty"`
	PhysSwitchID    string    `json:"phys_switch_id,omitempty"`
	ParentBus       string    `json:"parentbus,omitempty"`
	ParentDev       string    `json:"parentdev,omitempty"`
	VFs             []Attrs   `json:"vfinfo_list,omitempty" jsonschema:"SR-IOV virtual functions"`
	Stats64         *Stats64  `json:"stats64,omitempty"`
	Untrusted       *LinkText `json:"untrusted,omitempty" jsonschema:"text that the container may have chosen"`
}

// LinkText is free text on an interface, which iproute2 prints beside the
// other fields.
type LinkText struct {
	IfAlias  string   `json:"ifalias,omitempty"`
	AltNames []string `json:"altnames,omitempty"`
}

// LinkInfo is what kind of virtual interface it is. Physical ones have none.
type LinkInfo struct {
	Kind      string `json:"info_kind,omitempty" jsonschema:"veth, bridge, vlan, macvlan, ipvlan, vxlan, tun, ipip, dummy ..."`
	Data      Attrs  `json:"info_data,omitzero" jsonschema:"settings of this kind, named as in iproute2"`
	SlaveKind string `json:"info_slave_kind,omitempty"`
	SlaveData Attrs  `json:"info_slave_data,omitzero" jsonschema:"settings as a port of master"`
}

// Attrs are the settings of one kind of link under iproute2's names. Values
// are string, bool, uint64, float64, []string, Attrs or []Attrs.
type Attrs map[string]any

// Stats64 are the counters of struct rtnl_link_stats64, since the interface
// was made, under iproute2's names: bytes, packets, errors, dropped ... iproute2
// and so we leave out compressed, nohandler and otherhost where they are 0.
type Stats64 struct {
	RX Counters `json:"rx"`
	TX Counters `json:"tx"`
}

// Counters only ever grow.
type Counters map[string]uint64

// HostPeer is the host's end of a pair.
type HostPeer struct {
	Name  string `json:"name"`
	Index int    `json:"index"`
	// Up is the administrative state, State the operational one (RFC 2863).
	Up    bool   `json:"up"`
	State string `json:"state" jsonschema:"operstate"`
	MTU   int    `json:"mtu"`
	// Bridge is the master of the interface: a bridge, or another kind named by
	// BridgeKind (openvswitch, vrf). Absent under CNIs that route to the pod.
	Bridge     string `json:"bridge,omitempty" jsonschema:"master of the host's end; absent where the CNI routes to the pod"`
	BridgeKind string `json:"bridge_kind,omitempty"`
	// BridgeUp is the administrative state of Bridge.
	BridgeUp *bool `json:"bridge_up,omitempty"`
	// BridgePort are the settings of the port.
	BridgePort Attrs `json:"bridge_port,omitempty"`
	// Route is how the host reaches the first address of the pod's end. It is
	// measured only where the host's end has no master.
	Route *HostRoute `json:"route,omitempty" jsonschema:"how the host routes to this interface's address"`
	// IPv6 are global IPv6 addresses of Bridge, else of the host's end itself.
	// They are measured only where the pod's end has IPv6 disabled.
	IPv6 []string `json:"ipv6,omitempty" jsonschema:"global IPv6 addresses on the host's side"`
}

// HostRoute is the host's answer to a route lookup.
type HostRoute struct {
	To   string `json:"to"`
	Dev  string `json:"dev,omitempty"`
	Kind string `json:"dev_kind,omitempty"`
	Via  string `json:"via,omitempty"`
}

// Has reports whether the link carries flag, written as iproute2 writes it.
func (l *Link) Has(flag string) bool { return slices.Contains(l.Flags, flag) }

// Up reports whether the link is administratively up.
func (l *Link) Up() bool { return l.Has("UP") }

// Kind is the kind of a virtual link and empty for a physical one.
func (l *Link) Kind() string {
	if l.LinkInfo == nil {
		return ""
	}
	return l.LinkInfo.Kind
}

// Compact returns the link without the fields that only a detailed answer
// shows. It shares memory with l.
func (l Link) Compact() Link {
	l.LinkDetails = LinkDetails{}
	if l.LinkInfo != nil {
		if l.LinkInfo.Kind == "" {
			l.LinkInfo = nil
		} else {
			l.LinkInfo = &LinkInfo{Kind: l.LinkInfo.Kind}
		}
	}
	if l.HostPeer != nil {
		peer := *l.HostPeer
		peer.BridgePort = nil
		l.HostPeer = &peer
	}
	if l.AddrInfo != nil {
		addresses := make([]Addr, len(l.AddrInfo))
		for i := range l.AddrInfo {
			addresses[i] = l.AddrInfo[i].Compact()
		}
		l.AddrInfo = addresses
	}
	return l
}

// LinkEvidence is what the rules for links and addresses judge.
type LinkEvidence struct {
	// Links are all interfaces of one namespace, with the host's ends of pairs
	// filled in where they are known.
	Links []Link
	// Host: the namespace is the host's own. A node has spare network cards,
	// bridges without ports and tunnels at rest; what would be a fault in a pod
	// is normal there.
	Host bool
	// Pod: the namespace is that of a Kubernetes pod. Other containers may be without
	// a way out on purpose (docker network create --internal).
	Pod bool
	// Routes are those of all tables but local; AllRoutes: none is missing; AllDefaults: no
	// default route is missing, nor a part of one.
	Routes                 []Route
	AllRoutes, AllDefaults bool
}
