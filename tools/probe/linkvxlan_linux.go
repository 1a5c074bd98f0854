package probe

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// vxlanFields are the settings of a VXLAN device that need no thought
// (ip/iplink_vxlan.c).
var vxlanFields = []field{
	{unix.IFLA_VXLAN_COLLECT_METADATA, "external", asTrue},
	{unix.IFLA_VXLAN_VNIFILTER, "vnifilter", asTrue},
	{unix.IFLA_VXLAN_ID, "id", asU32},
	{unix.IFLA_VXLAN_PORT, "port", asBE16},
	{unix.IFLA_VXLAN_LEARNING, "learning", asBool},
	{unix.IFLA_VXLAN_PROXY, "proxy", asTrue},
	{unix.IFLA_VXLAN_RSC, "rsc", asTrue},
	{unix.IFLA_VXLAN_L2MISS, "l2miss", asTrue},
	{unix.IFLA_VXLAN_L3MISS, "l3miss", asTrue},
	{unix.IFLA_VXLAN_AGEING, "ageing", asU32},
	{unix.IFLA_VXLAN_UDP_CSUM, "udp_csum", asBool},
	{unix.IFLA_VXLAN_UDP_ZERO_CSUM6_TX, "udp_zero_csum6_tx", asBool},
	{unix.IFLA_VXLAN_UDP_ZERO_CSUM6_RX, "udp_zero_csum6_rx", asBool},
	{unix.IFLA_VXLAN_REMCSUM_TX, "remcsum_tx", asTrue},
	{unix.IFLA_VXLAN_REMCSUM_RX, "remcsum_rx", asTrue},
}

func vxlanData(b []byte, names linkNames) fact.Attrs {
	tb := parseAttributes(b, unix.IFLA_VXLAN_VNIFILTER)
	out := fact.Attrs{}
	tb.decode(out, vxlanFields)
	vxlanRemote(out, tb)
	vxlanLocal(out, tb)
	if index, _ := tb.u32(unix.IFLA_VXLAN_LINK); index != 0 {
		out["link"] = names.name(int(index))
	}
	if r := tb.get(unix.IFLA_VXLAN_PORT_RANGE); len(r) >= 4 {
		out["port_range"] = fact.Attrs{"low": asBE16(r), "high": asBE16(r[2:])}
	}
	if tos, _ := tb.u8(unix.IFLA_VXLAN_TOS); tos != 0 {
		out["tos"] = hexNumber(uint64(tos))
	}
	if inherit, _ := tb.u8(unix.IFLA_VXLAN_TTL_INHERIT); inherit == 0 {
		tb.decode(out, []field{{unix.IFLA_VXLAN_TTL, "ttl", asU8}})
	}
	if df, ok := tb.u8(unix.IFLA_VXLAN_DF); ok {
		if modes := [...]string{"unset", "set", "inherit"}; int(df) < len(modes) {
			out["df"] = modes[df]
		}
	}
	if label := tb.get(unix.IFLA_VXLAN_LABEL); len(label) >= 4 {
		if flow := binary.BigEndian.Uint32(label); flow != 0 {
			out["label"] = hexNumber(uint64(flow))
		}
	}
	if limit, _ := tb.u32(unix.IFLA_VXLAN_LIMIT); limit != 0 {
		out["limit"] = uint64(limit)
	}
	// Flags: present without a payload.
	if tb.has(unix.IFLA_VXLAN_GBP) {
		out["gbp"] = true
	}
	if tb.has(unix.IFLA_VXLAN_GPE) {
		out["gpe"] = true
	}
	return out
}

// vxlanRemote sets the default destination, a multicast group or one host.
func vxlanRemote(out fact.Attrs, tb attributes) {
	group, remote, b := "group", "remote", tb.get(unix.IFLA_VXLAN_GROUP)
	if b == nil {
		group, remote, b = "group6", "remote6", tb.get(unix.IFLA_VXLAN_GROUP6)
	}
	ip, ok := netip.AddrFromSlice(b)
	switch {
	case !ok || ip.IsUnspecified():
	case ip.IsMulticast():
		out[group] = ip.String()
	default:
		out[remote] = ip.String()
	}
}

func vxlanLocal(out fact.Attrs, tb attributes) {
	name, b := "local", tb.get(unix.IFLA_VXLAN_LOCAL)
	if b == nil {
		name, b = "local6", tb.get(unix.IFLA_VXLAN_LOCAL6)
	}
	if ip, ok := netip.AddrFromSlice(b); ok && !ip.IsUnspecified() {
		out[name] = ip.String()
	}
}
