package probe

import (
	"encoding/binary"
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
	info.Data = kindData(info.Kind, tb.get(unix.IFLA_INFO_DATA), names)
	if info.SlaveKind == "bridge" {
		info.SlaveData = bridgePortData(tb.get(unix.IFLA_INFO_SLAVE_DATA), names)
	}
	return info
}

// kindData reads the settings of a link of the given kind, with the names and
// types of iproute2's ip/iplink_*.c, ip/link_*.c and ip/iptuntap.c. It is nil
// for kinds that have none or that are not known here, and empty for one whose
// settings the kernel did not send.
func kindData(kind string, b []byte, names linkNames) fact.Attrs {
	var read func([]byte, linkNames) fact.Attrs
	switch kind {
	case "bridge":
		read = bridgeData
	case "vlan":
		read = vlanData
	case "macvlan", "macvtap":
		read = macvlanData
	case "ipvlan", "ipvtap":
		read = ipvlanData
	case "vxlan":
		read = vxlanData
	case "tun":
		read = tunData
	case "ipip", "sit":
		read = iptunData
	default:
		return nil
	}
	if b == nil {
		return fact.Attrs{}
	}
	return read(b, names)
}

func vlanData(b []byte, _ linkNames) fact.Attrs {
	tb := parseAttributes(b, unix.IFLA_VLAN_PROTOCOL)
	id, ok := tb.u16(unix.IFLA_VLAN_ID)
	if !ok {
		return fact.Attrs{}
	}
	out := fact.Attrs{"protocol": "802.1q", "id": uint64(id)}
	if protocol := asEtherType(tb.get(unix.IFLA_VLAN_PROTOCOL)); protocol != nil {
		out["protocol"] = protocol
	}
	if flags := tb.get(unix.IFLA_VLAN_FLAGS); len(flags) >= 8 { // struct ifla_vlan_flags
		out["flags"] = vlanFlags(binary.NativeEndian.Uint32(flags))
	}
	if tb.has(unix.IFLA_VLAN_INGRESS_QOS) {
		out["ingress_qos"] = vlanMap(tb.get(unix.IFLA_VLAN_INGRESS_QOS))
	}
	if tb.has(unix.IFLA_VLAN_EGRESS_QOS) {
		out["egress_qos"] = vlanMap(tb.get(unix.IFLA_VLAN_EGRESS_QOS))
	}
	return out
}

// vlanFlags names the bits of enum vlan_flags (linux/if_vlan.h).
func vlanFlags(flags uint32) []string {
	names := []string{}
	for _, f := range [...]struct {
		bit  uint32
		name string
	}{
		{0x1, "REORDER_HDR"}, {0x2, "GVRP"}, {0x8, "MVRP"}, {0x4, "LOOSE_BINDING"}, {0x10, "BRIDGE_BINDING"},
	} {
		if flags&f.bit != 0 {
			names = append(names, f.name)
			flags &^= f.bit
		}
	}
	if flags != 0 {
		names = append(names, strconv.FormatUint(uint64(flags), 16))
	}
	return names
}

// vlanMap reads a list of struct ifla_vlan_qos_mapping.
func vlanMap(b []byte) []fact.Attrs {
	mappings := []fact.Attrs{}
	for _, m := range eachAttribute(b) {
		if len(m) >= 8 {
			mappings = append(mappings, fact.Attrs{"from": asU32(m), "to": asU32(m[4:])})
		}
	}
	return mappings
}

func macvlanData(b []byte, _ linkNames) fact.Attrs {
	tb := parseAttributes(b, unix.IFLA_MACVLAN_BC_QUEUE_LEN_USED)
	out := fact.Attrs{}
	mode, ok := tb.u32(unix.IFLA_MACVLAN_MODE)
	if !ok {
		return out
	}
	const modeSource = 16
	switch mode {
	case 1:
		out["mode"] = "private"
	case 2:
		out["mode"] = "vepa"
	case 4:
		out["mode"] = "bridge"
	case 8:
		out["mode"] = "passthru"
	case modeSource:
		out["mode"] = "source"
	default:
		out["mode"] = "unknown"
	}
	const flagNoPromisc, flagNoDst = 1, 2
	flags, _ := tb.u16(unix.IFLA_MACVLAN_FLAGS)
	if flags&flagNoPromisc != 0 {
		out["nopromisc"] = true
	}
	if flags&flagNoDst != 0 {
		out["nodst"] = true
	}
	tb.decode(out, []field{
		{unix.IFLA_MACVLAN_BC_QUEUE_LEN, "bcqueuelen", asU32},
		{unix.IFLA_MACVLAN_BC_QUEUE_LEN_USED, "usedbcqueuelen", asU32},
	})
	if mode != modeSource {
		return out
	}
	tb.decode(out, []field{{unix.IFLA_MACVLAN_MACADDR_COUNT, "macaddr_count", asU32}})
	if tb.has(unix.IFLA_MACVLAN_MACADDR_DATA) {
		addresses := []string{}
		for kind, payload := range eachAttribute(tb.get(unix.IFLA_MACVLAN_MACADDR_DATA)) {
			if kind == unix.IFLA_MACVLAN_MACADDR && len(payload) >= 6 {
				addresses = append(addresses, hardwareAddress(payload[:6], unix.ARPHRD_ETHER))
			}
		}
		out["macaddr_data"] = addresses
	}
	return out
}

func ipvlanData(b []byte, _ linkNames) fact.Attrs {
	tb := parseAttributes(b, unix.IFLA_IPVLAN_FLAGS)
	out := fact.Attrs{}
	if mode, ok := tb.u16(unix.IFLA_IPVLAN_MODE); ok {
		out["mode"] = "unknown"
		if modes := [...]string{"l2", "l3", "l3s"}; int(mode) < len(modes) {
			out["mode"] = modes[mode]
		}
	}
	if flags, ok := tb.u16(unix.IFLA_IPVLAN_FLAGS); ok {
		const private, vepa = 1, 2
		switch {
		case flags&private != 0:
			out["private"] = true
		case flags&vepa != 0:
			out["vepa"] = true
		default:
			out["bridge"] = true
		}
	}
	return out
}

// tunData reads the settings of TUN and TAP devices. Owners stay numbers: a
// name from the host's /etc/passwd would say nothing about a container.
func tunData(b []byte, _ linkNames) fact.Attrs {
	tb := parseAttributes(b, unix.IFLA_TUN_NUM_DISABLED_QUEUES)
	out := fact.Attrs{"multi_queue": false}
	if kind, ok := tb.u8(unix.IFLA_TUN_TYPE); ok {
		switch kind {
		case unix.IFF_TUN:
			out["type"] = "tun"
		case unix.IFF_TAP:
			out["type"] = "tap"
		default:
			out["type"] = "UNKNOWN:" + strconv.Itoa(int(kind))
		}
	}
	tb.decode(out, []field{
		{unix.IFLA_TUN_PI, "pi", asBool},
		{unix.IFLA_TUN_VNET_HDR, "vnet_hdr", asBool},
		{unix.IFLA_TUN_PERSIST, "persist", asBool},
		{unix.IFLA_TUN_OWNER, "user", asU32},
		{unix.IFLA_TUN_GROUP, "group", asU32},
	})
	if several, _ := tb.u8(unix.IFLA_TUN_MULTI_QUEUE); several != 0 {
		out["multi_queue"] = true
		tb.decode(out, []field{
			{unix.IFLA_TUN_NUM_QUEUES, "numqueues", asU32},
			{unix.IFLA_TUN_NUM_DISABLED_QUEUES, "numdisabled", asU32},
		})
	}
	return out
}

// iptunData reads IPv4 tunnels: ipip and sit.
func iptunData(b []byte, names linkNames) fact.Attrs {
	const iptunFwmark = nl.IFLA_IPTUN_COLLECT_METADATA + 1 // linux/if_tunnel.h
	tb := parseAttributes(b, iptunFwmark)
	out := fact.Attrs{
		"remote":   tunnelEnd(tb.get(nl.IFLA_IPTUN_REMOTE)),
		"local":    tunnelEnd(tb.get(nl.IFLA_IPTUN_LOCAL)),
		"ttl":      uint64(0),
		"pmtudisc": false,
	}
	if tb.has(nl.IFLA_IPTUN_COLLECT_METADATA) {
		out["external"] = true
	}
	if proto, ok := tb.u8(nl.IFLA_IPTUN_PROTO); ok {
		switch proto {
		case unix.IPPROTO_IPIP:
			out["proto"] = "ipip"
		case unix.IPPROTO_IPV6:
			out["proto"] = "ip6ip"
		case unix.IPPROTO_MPLS:
			out["proto"] = "mplsip"
		case 0:
			out["proto"] = "any"
		}
	}
	if index, _ := tb.u32(nl.IFLA_IPTUN_LINK); index != 0 {
		out["link"] = names.name(int(index))
	}
	tb.decode(out, []field{
		{nl.IFLA_IPTUN_TTL, "ttl", asU8},
		{nl.IFLA_IPTUN_PMTUDISC, "pmtudisc", asBool},
	})
	if tos, _ := tb.u8(nl.IFLA_IPTUN_TOS); tos != 0 {
		out["tos"] = hexNumber(uint64(tos))
	}
	const sitISATAP = 1
	if flags, _ := tb.u16(nl.IFLA_IPTUN_FLAGS); flags&sitISATAP != 0 {
		out["isatap"] = true
	}
	if length, _ := tb.u16(nl.IFLA_IPTUN_6RD_PREFIXLEN); length != 0 {
		out["prefix"] = ipAddress(tb.get(nl.IFLA_IPTUN_6RD_PREFIX))
		out["prefixlen"] = uint64(length)
		if relay, _ := tb.u32(nl.IFLA_IPTUN_6RD_RELAY_PREFIX); relay != 0 {
			out["relay_prefix"] = ipAddress(tb.get(nl.IFLA_IPTUN_6RD_RELAY_PREFIX))
			tb.decode(out, []field{{nl.IFLA_IPTUN_6RD_RELAY_PREFIXLEN, "relay_prefixlen", asU16}})
		}
	}
	if mark, _ := tb.u32(iptunFwmark); mark != 0 {
		out["fwmark"] = hexNumber(uint64(mark))
	}
	if encap := tunnelEncap(tb); encap != nil {
		out["encap"] = encap
	}
	return out
}

func tunnelEnd(b []byte) string {
	switch {
	case b == nil:
		return "any"
	case len(b) != 4:
		return "unknown"
	case binary.NativeEndian.Uint32(b) == 0:
		return "any"
	}
	return ipAddress(b)
}

// tunnelEncap reads the UDP encapsulation of a tunnel (linux/if_tunnel.h).
func tunnelEncap(tb attributes) fact.Attrs {
	kind, _ := tb.u16(nl.IFLA_IPTUN_ENCAP_TYPE)
	if kind == 0 { // TUNNEL_ENCAP_NONE
		return nil
	}
	flags, _ := tb.u16(nl.IFLA_IPTUN_ENCAP_FLAGS)
	out := fact.Attrs{
		"type":    "unknown",
		"csum":    flags&1 != 0,
		"csum6":   flags&2 != 0,
		"remcsum": flags&4 != 0,
	}
	if kinds := [...]string{1: "fou", 2: "gue"}; int(kind) < len(kinds) {
		out["type"] = kinds[kind]
	}
	tb.decode(out, []field{
		{nl.IFLA_IPTUN_ENCAP_SPORT, "sport", asBE16},
		{nl.IFLA_IPTUN_ENCAP_DPORT, "dport", asBE16},
	})
	return out
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
