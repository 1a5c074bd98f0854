package probe

import (
	"encoding/binary"
	"math"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// linkInfo reads IFLA_LINKINFO.
func linkInfo(b []byte, names linkNames, options LinkOptions) *fact.LinkInfo {
	tb := parseAttributes(b, unix.IFLA_INFO_SLAVE_DATA)
	info := &fact.LinkInfo{
		Kind:      tb.text(unix.IFLA_INFO_KIND),
		SlaveKind: tb.text(unix.IFLA_INFO_SLAVE_KIND),
	}
	if !options.Details {
		return info
	}
	if fields := kindFields[info.Kind]; fields != nil {
		info.Data = decode(tb[unix.IFLA_INFO_DATA], fields, names)
	}
	if info.SlaveKind == "bridge" {
		info.SlaveData = decode(tb[unix.IFLA_INFO_SLAVE_DATA], bridgePortFields, names)
	}
	return info
}

// field is one attribute of a kind of link as iproute2 prints it.
type field struct {
	attr int
	name string
	// value is nil where the field is to be left out. A linkIndex is printed as the
	// name of that link.
	value func(payload []byte) any
}

type linkIndex int

// kindFields are the settings that matter to traffic, by kind of link, with the
// names and types of iproute2's ip/iplink_*.c, ip/link_*.c and ip/iptuntap.c.
// iproute2 prints more of most kinds.
//
// The library decodes these kinds too (netlink.LinkDeserialize), but into types of
// its own for each: to give them iproute2's names takes more code than this table.
var kindFields = map[string][]field{
	"bond": {
		{nl.IFLA_BOND_MODE, "mode", oneOf("balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb")},
		{nl.IFLA_BOND_ACTIVE_SLAVE, "active_slave", asLink},
		{nl.IFLA_BOND_MIIMON, "miimon", asNumber},
	},
	"bridge": {
		{unix.IFLA_BR_FORWARD_DELAY, "forward_delay", asNumber}, // times in 1/100 s
		{unix.IFLA_BR_AGEING_TIME, "ageing_time", asNumber},
		{unix.IFLA_BR_HELLO_TIME, "hello_time", asNumber},
		{unix.IFLA_BR_MAX_AGE, "max_age", asNumber},
		{unix.IFLA_BR_STP_STATE, "stp_state", asNumber},
		{unix.IFLA_BR_PRIORITY, "priority", asNumber},
		{unix.IFLA_BR_ROOT_PORT, "root_port", asNumber},
		{unix.IFLA_BR_TOPOLOGY_CHANGE, "topology_change", asNumber},
		{unix.IFLA_BR_VLAN_FILTERING, "vlan_filtering", asNumber},
		{unix.IFLA_BR_VLAN_PROTOCOL, "vlan_protocol", asEtherType},
		{unix.IFLA_BR_VLAN_DEFAULT_PVID, "vlan_default_pvid", asNumber},
		{unix.IFLA_BR_MCAST_SNOOPING, "mcast_snooping", asNumber},
		{unix.IFLA_BR_MCAST_ROUTER, "mcast_router", asNumber},
		{unix.IFLA_BR_MCAST_QUERIER, "mcast_querier", asNumber},
		{unix.IFLA_BR_NF_CALL_IPTABLES, "nf_call_iptables", asNumber},
		{unix.IFLA_BR_NF_CALL_IP6TABLES, "nf_call_ip6tables", asNumber},
		{unix.IFLA_BR_NF_CALL_ARPTABLES, "nf_call_arptables", asNumber},
	},
	"gre": greFields, "gretap": greFields,
	"ipip": iptunFields, "sit": iptunFields,
	"ipvlan": ipvlanFields, "ipvtap": ipvlanFields,
	"macvlan": macvlanFields, "macvtap": macvlanFields,
	"netkit": { // linux/if_link.h, enum netkit_*
		{5, "mode", oneOf("l2", "l3")},
		{2, "type", oneOf("peer", "primary")},
		{3, "policy", oneOf("forward", "", "blackhole")},
		{4, "peer_policy", oneOf("forward", "", "blackhole")},
	},
	"tun": {
		{unix.IFLA_TUN_TYPE, "type", oneOf("", "tun", "tap")},
		{unix.IFLA_TUN_PI, "pi", asBool},
		{unix.IFLA_TUN_VNET_HDR, "vnet_hdr", asBool},
		{unix.IFLA_TUN_PERSIST, "persist", asBool},
		{unix.IFLA_TUN_MULTI_QUEUE, "multi_queue", asBool},
		// Numbers: a name from the host's /etc/passwd would say nothing about a container.
		{unix.IFLA_TUN_OWNER, "user", asNumber},
		{unix.IFLA_TUN_GROUP, "group", asNumber},
	},
	"vlan": {
		{unix.IFLA_VLAN_PROTOCOL, "protocol", asEtherType},
		{unix.IFLA_VLAN_ID, "id", asNumber},
	},
	"vxlan": {
		{unix.IFLA_VXLAN_COLLECT_METADATA, "external", asTrue},
		{unix.IFLA_VXLAN_ID, "id", asNumber},
		{unix.IFLA_VXLAN_GROUP, "group", asAddress(true)},
		{unix.IFLA_VXLAN_GROUP, "remote", asAddress(false)},
		{unix.IFLA_VXLAN_GROUP6, "group6", asAddress(true)},
		{unix.IFLA_VXLAN_GROUP6, "remote6", asAddress(false)},
		{unix.IFLA_VXLAN_LOCAL, "local", asAddress(false)},
		{unix.IFLA_VXLAN_LOCAL6, "local6", asAddress(false)},
		{unix.IFLA_VXLAN_LINK, "link", asLink},
		{unix.IFLA_VXLAN_PORT, "port", asBE16},
		{unix.IFLA_VXLAN_LEARNING, "learning", asBool},
		{unix.IFLA_VXLAN_AGEING, "ageing", asNumber},
		{unix.IFLA_VXLAN_UDP_CSUM, "udp_csum", asBool},
		{unix.IFLA_VXLAN_UDP_ZERO_CSUM6_TX, "udp_zero_csum6_tx", asBool},
		{unix.IFLA_VXLAN_UDP_ZERO_CSUM6_RX, "udp_zero_csum6_rx", asBool},
		{unix.IFLA_VXLAN_PROXY, "proxy", asTrue},
		{unix.IFLA_VXLAN_L2MISS, "l2miss", asTrue},
		{unix.IFLA_VXLAN_L3MISS, "l3miss", asTrue},
		{unix.IFLA_VXLAN_GBP, "gbp", asPresent},
		{unix.IFLA_VXLAN_DF, "df", oneOf("unset", "set", "inherit")},
	},
}

var (
	greFields = []field{
		{nl.IFLA_GRE_REMOTE, "remote", asTunnelEnd},
		{nl.IFLA_GRE_LOCAL, "local", asTunnelEnd},
		{nl.IFLA_GRE_LINK, "link", asLink},
		{nl.IFLA_GRE_IKEY, "ikey", asKey},
		{nl.IFLA_GRE_OKEY, "okey", asKey},
		{nl.IFLA_GRE_TTL, "ttl", asNumber},
		{nl.IFLA_GRE_PMTUDISC, "pmtudisc", asBool},
	}
	iptunFields = []field{
		{nl.IFLA_IPTUN_COLLECT_METADATA, "external", asPresent}, // without payload
		{nl.IFLA_IPTUN_REMOTE, "remote", asTunnelEnd},
		{nl.IFLA_IPTUN_LOCAL, "local", asTunnelEnd},
		{nl.IFLA_IPTUN_LINK, "link", asLink},
		{nl.IFLA_IPTUN_TTL, "ttl", asNumber},
		{nl.IFLA_IPTUN_PMTUDISC, "pmtudisc", asBool},
	}
	ipvlanFields = []field{
		{unix.IFLA_IPVLAN_MODE, "mode", oneOf("l2", "l3", "l3s")},
		{unix.IFLA_IPVLAN_FLAGS, "bridge", flag(0)},
		{unix.IFLA_IPVLAN_FLAGS, "private", flag(1)},
		{unix.IFLA_IPVLAN_FLAGS, "vepa", flag(2)},
	}
	macvlanFields = []field{
		{unix.IFLA_MACVLAN_MODE, "mode", oneOf(macvlanModes[:]...)},
	}
)

// macvlanModes are the bits of enum macvlan_mode (linux/if_link.h).
var macvlanModes = [...]string{1: "private", 2: "vepa", 4: "bridge", 8: "passthru", 16: "source"}

// bridgePortFields are settings of a port (ip/iplink_bridge_slave.c).
var bridgePortFields = []field{
	{unix.IFLA_BRPORT_STATE, "state", oneOf("disabled", "listening", "learning", "forwarding", "blocking")},
	{unix.IFLA_BRPORT_PRIORITY, "priority", asNumber},
	{unix.IFLA_BRPORT_COST, "cost", asNumber},
	{unix.IFLA_BRPORT_MODE, "hairpin", asBool},
	{unix.IFLA_BRPORT_GUARD, "guard", asBool},
	{unix.IFLA_BRPORT_PROTECT, "root_block", asBool},
	{unix.IFLA_BRPORT_FAST_LEAVE, "fastleave", asBool},
	{unix.IFLA_BRPORT_LEARNING, "learning", asBool},
	{unix.IFLA_BRPORT_UNICAST_FLOOD, "flood", asBool},
	{unix.IFLA_BRPORT_MCAST_FLOOD, "mcast_flood", asBool},
	{unix.IFLA_BRPORT_BCAST_FLOOD, "bcast_flood", asBool},
	{unix.IFLA_BRPORT_PROXYARP, "proxy_arp", asBool},
	{unix.IFLA_BRPORT_NEIGH_SUPPRESS, "neigh_suppress", asBool},
	{unix.IFLA_BRPORT_ISOLATED, "isolated", asBool},
	{unix.IFLA_BRPORT_LOCKED, "locked", asBool},
	{unix.IFLA_BRPORT_MCAST_TO_UCAST, "mcast_to_unicast", asBool},
	{unix.IFLA_BRPORT_VLAN_TUNNEL, "vlan_tunnel", asBool},
	{unix.IFLA_BRPORT_BACKUP_PORT, "backup_port", asLink},
}

// vfFields are settings of a virtual function of SR-IOV hardware: structs of words, of
// which the first is the number of the function (linux/if_link.h).
var vfFields = []field{
	{unix.IFLA_VF_MAC, "vf", word(0, asNumber)},
	{unix.IFLA_VF_MAC, "address", func(b []byte) any {
		if len(b) < 4+6 {
			return nil
		}
		return hardwareAddress(b[4:4+6], unix.ARPHRD_ETHER)
	}},
	{unix.IFLA_VF_VLAN, "vlan", word(1, asNumber)},
	{unix.IFLA_VF_VLAN, "qos", word(2, asNumber)},
	{unix.IFLA_VF_RATE, "min_tx_rate", word(1, asNumber)}, // Mbit/s; 0: no limit
	{unix.IFLA_VF_RATE, "max_tx_rate", word(2, asNumber)},
	{unix.IFLA_VF_SPOOFCHK, "spoofchk", word(1, asKnown)},
	{unix.IFLA_VF_TRUST, "trust", word(1, asKnown)},
	{unix.IFLA_VF_LINK_STATE, "link_state", word(1, oneOf("auto", "enable", "disable"))},
}

// word reads one word of a struct.
func word(n int, read func([]byte) any) func([]byte) any {
	return func(b []byte) any {
		if len(b) < 4*(n+1) {
			return nil
		}
		return read(b[4*n : 4*(n+1)])
	}
}

// decode reads the attributes in b that are among fields. It is empty where there
// are none, as with iproute2.
func decode(b []byte, fields []field, names linkNames) fact.Attrs {
	const highest = 63 // above all in the tables
	tb := parseAttributes(b, highest)
	out := fact.Attrs{}
	for _, f := range fields {
		if !tb.has(f.attr) {
			continue
		}
		switch v := f.value(tb[f.attr]).(type) {
		case nil:
		case linkIndex:
			out[f.name] = names.name(int(v))
		default:
			out[f.name] = v
		}
	}
	return out
}

func asNumber(b []byte) any {
	n, ok := attributes{b}.uint(0)
	if !ok {
		return nil
	}
	return n
}

func asBool(b []byte) any {
	n, ok := attributes{b}.uint(0)
	if !ok {
		return nil
	}
	return n != 0
}

// asTrue is for settings that iproute2 prints only where they are on.
func asTrue(b []byte) any {
	if on, _ := (attributes{b}).uint(0); on == 0 {
		return nil
	}
	return true
}

// asKnown is asBool, where the driver knows: all ones say that it does not.
func asKnown(b []byte) any {
	if n, _ := (attributes{b}).uint(0); n == math.MaxUint32 {
		return nil
	}
	return asBool(b)
}

// asPresent is for settings without payload.
func asPresent([]byte) any { return true }

// asKey writes the key of a tunnel as iproute2 does, like an address.
func asKey(b []byte) any {
	if ip, ok := netip.AddrFromSlice(b); ok && ip.Is4() {
		return ip.String()
	}
	return nil
}

// flag is true where the number is want.
func flag(want uint64) func([]byte) any {
	return func(b []byte) any {
		if n, ok := (attributes{b}).uint(0); !ok || n != want {
			return nil
		}
		return true
	}
}

// oneOf names the number by its position, and others "unknown".
func oneOf(names ...string) func([]byte) any {
	return func(b []byte) any {
		n, ok := attributes{b}.uint(0)
		if !ok {
			return nil
		}
		if n < uint64(len(names)) && names[n] != "" {
			return names[n]
		}
		return "unknown"
	}
}

func asLink(b []byte) any {
	if index, _ := (attributes{b}).signed(0); index != 0 {
		return linkIndex(index)
	}
	return nil
}

func asBE16(b []byte) any {
	if len(b) < 2 {
		return nil
	}
	return uint64(binary.BigEndian.Uint16(b))
}

// asEtherType names a protocol in network byte order.
func asEtherType(b []byte) any {
	if len(b) < 2 {
		return nil
	}
	switch proto := binary.BigEndian.Uint16(b); proto {
	case unix.ETH_P_8021Q:
		return "802.1Q"
	case unix.ETH_P_8021AD:
		return "802.1ad"
	default:
		return "[" + strconv.Itoa(int(proto)) + "]"
	}
}

// asAddress is an address that is set, of a group or of one host.
func asAddress(multicast bool) func([]byte) any {
	return func(b []byte) any {
		ip, ok := netip.AddrFromSlice(b)
		if !ok || ip.IsUnspecified() || ip.IsMulticast() != multicast {
			return nil
		}
		return ip.String()
	}
}

// asTunnelEnd is "any" where the tunnel takes every address.
func asTunnelEnd(b []byte) any {
	ip, ok := netip.AddrFromSlice(b)
	switch {
	case !ok:
		return nil
	case ip.IsUnspecified():
		return "any"
	}
	return ip.String()
}
