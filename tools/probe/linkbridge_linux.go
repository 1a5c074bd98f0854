package probe

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// bridgeFields are the settings of a bridge in iproute2's order
// (ip/iplink_bridge.c). Times are in 1/100 s, but the timers, which are in
// seconds.
var bridgeFields = []field{
	{unix.IFLA_BR_FORWARD_DELAY, "forward_delay", asU32},
	{unix.IFLA_BR_HELLO_TIME, "hello_time", asU32},
	{unix.IFLA_BR_MAX_AGE, "max_age", asU32},
	{unix.IFLA_BR_AGEING_TIME, "ageing_time", asU32},
	{unix.IFLA_BR_STP_STATE, "stp_state", asU32},
	{unix.IFLA_BR_PRIORITY, "priority", asU16},
	{unix.IFLA_BR_VLAN_FILTERING, "vlan_filtering", asU8},
	{unix.IFLA_BR_VLAN_PROTOCOL, "vlan_protocol", asEtherType},
	{unix.IFLA_BR_BRIDGE_ID, "bridge_id", asBridgeID},
	// iproute2 6.1 prints the bridge's own id here; this is the root's.
	{unix.IFLA_BR_ROOT_ID, "root_id", asBridgeID},
	{unix.IFLA_BR_ROOT_PORT, "root_port", asU16},
	{unix.IFLA_BR_ROOT_PATH_COST, "root_path_cost", asU32},
	{unix.IFLA_BR_TOPOLOGY_CHANGE, "topology_change", asU8},
	{unix.IFLA_BR_TOPOLOGY_CHANGE_DETECTED, "topology_change_detected", asU8},
	{unix.IFLA_BR_HELLO_TIMER, "hello_timer", asTimer},
	{unix.IFLA_BR_TCN_TIMER, "tcn_timer", asTimer},
	{unix.IFLA_BR_TOPOLOGY_CHANGE_TIMER, "topology_change_timer", asTimer},
	{unix.IFLA_BR_GC_TIMER, "gc_timer", asTimer},
	{unix.IFLA_BR_VLAN_DEFAULT_PVID, "vlan_default_pvid", asU16},
	{unix.IFLA_BR_VLAN_STATS_ENABLED, "vlan_stats_enabled", asU8},
	{unix.IFLA_BR_VLAN_STATS_PER_PORT, "vlan_stats_per_port", asU8},
	{unix.IFLA_BR_GROUP_FWD_MASK, "group_fwd_mask", asHex16},
	{unix.IFLA_BR_GROUP_ADDR, "group_addr", asMAC},
	{unix.IFLA_BR_MCAST_SNOOPING, "mcast_snooping", asU8},
	{unix.IFLA_BR_MCAST_ROUTER, "mcast_router", asU8},
	{unix.IFLA_BR_MCAST_QUERY_USE_IFADDR, "mcast_query_use_ifaddr", asU8},
	{unix.IFLA_BR_MCAST_QUERIER, "mcast_querier", asU8},
	{unix.IFLA_BR_MCAST_HASH_ELASTICITY, "mcast_hash_elasticity", asU32},
	{unix.IFLA_BR_MCAST_HASH_MAX, "mcast_hash_max", asU32},
	{unix.IFLA_BR_MCAST_LAST_MEMBER_CNT, "mcast_last_member_cnt", asU32},
	{unix.IFLA_BR_MCAST_STARTUP_QUERY_CNT, "mcast_startup_query_cnt", asU32},
	{unix.IFLA_BR_MCAST_LAST_MEMBER_INTVL, "mcast_last_member_intvl", asU64},
	{unix.IFLA_BR_MCAST_MEMBERSHIP_INTVL, "mcast_membership_intvl", asU64},
	{unix.IFLA_BR_MCAST_QUERIER_INTVL, "mcast_querier_intvl", asU64},
	{unix.IFLA_BR_MCAST_QUERY_INTVL, "mcast_query_intvl", asU64},
	{unix.IFLA_BR_MCAST_QUERY_RESPONSE_INTVL, "mcast_query_response_intvl", asU64},
	{unix.IFLA_BR_MCAST_STARTUP_QUERY_INTVL, "mcast_startup_query_intvl", asU64},
	{unix.IFLA_BR_MCAST_STATS_ENABLED, "mcast_stats_enabled", asU8},
	{unix.IFLA_BR_MCAST_IGMP_VERSION, "mcast_igmp_version", asU8},
	{unix.IFLA_BR_MCAST_MLD_VERSION, "mcast_mld_version", asU8},
	{unix.IFLA_BR_NF_CALL_IPTABLES, "nf_call_iptables", asU8},
	{unix.IFLA_BR_NF_CALL_IP6TABLES, "nf_call_ip6tables", asU8},
	{unix.IFLA_BR_NF_CALL_ARPTABLES, "nf_call_arptables", asU8},
}

func bridgeData(b []byte, _ linkNames) fact.Attrs {
	tb := parseAttributes(b, unix.IFLA_BR_MULTI_BOOLOPT)
	out := fact.Attrs{}
	tb.decode(out, bridgeFields)
	// struct br_boolopt_multi: values, then which of them this kernel knows.
	if options := tb.get(unix.IFLA_BR_MULTI_BOOLOPT); len(options) >= 8 {
		values, known := binary.NativeEndian.Uint32(options), binary.NativeEndian.Uint32(options[4:])
		for bit, name := range [...]string{"no_linklocal_learn", "mcast_vlan_snooping"} {
			if known>>bit&1 != 0 {
				out[name] = uint64(values >> bit & 1)
			}
		}
	}
	return out
}

// bridgePortFields are the settings of a port in iproute2's order
// (ip/iplink_bridge_slave.c).
var bridgePortFields = []field{
	{unix.IFLA_BRPORT_PRIORITY, "priority", asU16},
	{unix.IFLA_BRPORT_COST, "cost", asU32},
	{unix.IFLA_BRPORT_MODE, "hairpin", asBool},
	{unix.IFLA_BRPORT_GUARD, "guard", asBool},
	{unix.IFLA_BRPORT_PROTECT, "root_block", asBool},
	{unix.IFLA_BRPORT_FAST_LEAVE, "fastleave", asBool},
	{unix.IFLA_BRPORT_LEARNING, "learning", asBool},
	{unix.IFLA_BRPORT_UNICAST_FLOOD, "flood", asBool},
	{unix.IFLA_BRPORT_ID, "id", asHex16},
	{unix.IFLA_BRPORT_NO, "no", asHex16},
	{unix.IFLA_BRPORT_DESIGNATED_PORT, "designated_port", asU16},
	{unix.IFLA_BRPORT_DESIGNATED_COST, "designated_cost", asU16},
	{unix.IFLA_BRPORT_BRIDGE_ID, "bridge_id", asBridgeID},
	{unix.IFLA_BRPORT_ROOT_ID, "root_id", asBridgeID},
	{unix.IFLA_BRPORT_HOLD_TIMER, "hold_timer", asTimer},
	{unix.IFLA_BRPORT_MESSAGE_AGE_TIMER, "message_age_timer", asTimer},
	{unix.IFLA_BRPORT_FORWARD_DELAY_TIMER, "forward_delay_timer", asTimer},
	{unix.IFLA_BRPORT_TOPOLOGY_CHANGE_ACK, "topology_change_ack", asU8},
	{unix.IFLA_BRPORT_CONFIG_PENDING, "config_pending", asU8},
	{unix.IFLA_BRPORT_PROXYARP, "proxy_arp", asBool},
	{unix.IFLA_BRPORT_PROXYARP_WIFI, "proxy_arp_wifi", asBool},
	{unix.IFLA_BRPORT_MULTICAST_ROUTER, "multicast_router", asU8},
	{unix.IFLA_BRPORT_MCAST_FLOOD, "mcast_flood", asBool},
	{unix.IFLA_BRPORT_BCAST_FLOOD, "bcast_flood", asBool},
	{unix.IFLA_BRPORT_MCAST_TO_UCAST, "mcast_to_unicast", asBool},
	{unix.IFLA_BRPORT_NEIGH_SUPPRESS, "neigh_suppress", asBool},
	{unix.IFLA_BRPORT_GROUP_FWD_MASK, "group_fwd_mask", asHex16},
	{unix.IFLA_BRPORT_GROUP_FWD_MASK, "group_fwd_mask_str", asForwardMask},
	{unix.IFLA_BRPORT_VLAN_TUNNEL, "vlan_tunnel", asBool},
	{unix.IFLA_BRPORT_ISOLATED, "isolated", asBool},
	{unix.IFLA_BRPORT_LOCKED, "locked", asBool},
}

// portStates are BR_STATE_* of linux/if_bridge.h.
var portStates = [...]string{"disabled", "listening", "learning", "forwarding", "blocking"}

func bridgePortData(b []byte, names linkNames) fact.Attrs {
	out := fact.Attrs{}
	if b == nil {
		return out
	}
	tb := parseAttributes(b, unix.IFLA_BRPORT_LOCKED)
	tb.decode(out, bridgePortFields)
	if state, ok := tb.u8(unix.IFLA_BRPORT_STATE); ok {
		if int(state) < len(portStates) {
			out["state"] = portStates[state]
		} else {
			out["state_index"] = uint64(state)
		}
	}
	if index, ok := tb.u32(unix.IFLA_BRPORT_BACKUP_PORT); ok {
		out["backup_port"] = names.name(int(index))
	}
	return out
}

// asBridgeID writes struct ifla_bridge_id: priority and address, the latter as
// ether_ntoa(3) does, without leading zeros.
func asBridgeID(b []byte) any {
	if len(b) < 8 {
		return nil
	}
	return fmt.Sprintf("%02x%02x.%x:%x:%x:%x:%x:%x", b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7])
}

func asMAC(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return hardwareAddress(b, unix.ARPHRD_ETHER)
}

// asForwardMask names the link-local groups that a port forwards.
func asForwardMask(b []byte) any {
	if len(b) < 2 {
		return nil
	}
	mask := binary.NativeEndian.Uint16(b)
	var groups []string
	for bit := range 16 {
		switch {
		case mask&(1<<bit) == 0:
		case bit == 0:
			groups = append(groups, "stp")
		case bit == 2:
			groups = append(groups, "lacp")
		case bit == 14:
			groups = append(groups, "lldp")
		default:
			groups = append(groups, "0x"+strconv.FormatUint(1<<bit, 16))
		}
	}
	if groups == nil {
		return "0x0"
	}
	return strings.Join(groups, ",")
}
