package probe

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// virtualFunctions reads IFLA_VFINFO_LIST, which the kernel sends for the
// physical function of an SR-IOV device if asked. Every setting is a struct
// whose first word is the number of the function (linux/if_link.h).
func virtualFunctions(b []byte, hardware uint16, flags uint32) []fact.Attrs {
	var functions []fact.Attrs
	for kind, payload := range eachAttribute(b) {
		if kind == unix.IFLA_VF_INFO {
			functions = append(functions, virtualFunction(payload, hardware, flags))
		}
	}
	return functions
}

func virtualFunction(b []byte, hardware uint16, flags uint32) fact.Attrs {
	tb := parseAttributes(b, unix.IFLA_VF_BROADCAST)
	addressLength := 6 // ETH_ALEN
	if hardware == unix.ARPHRD_INFINIBAND {
		addressLength = 20 // INFINIBAND_ALEN
	}
	out := fact.Attrs{"link_type": hardwareType(hardware)}
	if mac := tb.get(unix.IFLA_VF_MAC); len(mac) >= 4+addressLength {
		out["vf"] = asU32(mac)
		out["address"] = hardwareAddress(mac[4:4+addressLength], hardware)
	}
	if broadcast := tb.get(unix.IFLA_VF_BROADCAST); len(broadcast) >= addressLength {
		if flags&unix.IFF_POINTOPOINT != 0 {
			out["link_pointtopoint"] = true
		}
		out["broadcast"] = hardwareAddress(broadcast[:addressLength], hardware)
	}
	if tb.has(unix.IFLA_VF_VLAN_LIST) {
		out["vlan_list"] = vfVLANs(tb.get(unix.IFLA_VF_VLAN_LIST))
	} else if vlan := tb.get(unix.IFLA_VF_VLAN); len(vlan) >= 12 {
		putVLAN(out, vlan)
	}
	if rate := tb.word(unix.IFLA_VF_TX_RATE, 1); rate != nil && *rate != 0 {
		out["tx_rate"] = uint64(*rate)
	}
	if lowest, highest := tb.word(unix.IFLA_VF_RATE, 1), tb.word(unix.IFLA_VF_RATE, 2); highest != nil {
		out["rate"] = fact.Attrs{"max_tx": uint64(*highest), "min_tx": uint64(*lowest)}
	}
	for _, s := range [...]struct {
		attr int
		name string
	}{
		{unix.IFLA_VF_SPOOFCHK, "spoofchk"}, {unix.IFLA_VF_TRUST, "trust"}, {unix.IFLA_VF_RSS_QUERY_EN, "query_rss_en"},
	} {
		// All ones: the driver does not know.
		if on := tb.word(s.attr, 1); on != nil && *on != ^uint32(0) {
			out[s.name] = *on != 0
		}
	}
	for attr, name := range map[int]string{unix.IFLA_VF_IB_NODE_GUID: "node guid", unix.IFLA_VF_IB_PORT_GUID: "port guid"} {
		if guid := tb.get(attr); len(guid) >= 16 { // struct ifla_vf_guid, 8-aligned
			out[name] = guidText(guid[8:16])
		}
	}
	if state := tb.word(unix.IFLA_VF_LINK_STATE, 1); state != nil {
		switch *state {
		case unix.IFLA_VF_LINK_STATE_AUTO:
			out["link_state"] = "auto"
		case unix.IFLA_VF_LINK_STATE_ENABLE:
			out["link_state"] = "enable"
		default:
			out["link_state"] = "disable"
		}
	}
	if tb.has(unix.IFLA_VF_STATS) {
		out["stats"] = vfStats(tb.nested(unix.IFLA_VF_STATS, unix.IFLA_VF_STATS_TX_DROPPED))
	}
	return out
}

// word is the n-th 32-bit word of attribute i.
func (t attributes) word(i, n int) *uint32 {
	b := t.get(i)
	if len(b) < 4*(n+1) {
		return nil
	}
	return new(binary.NativeEndian.Uint32(b[4*n:]))
}

// vfVLANs reads a list of struct ifla_vf_vlan_info.
func vfVLANs(b []byte) []fact.Attrs {
	tags := []fact.Attrs{}
	for _, tag := range eachAttribute(b) {
		if len(tag) < 14 {
			continue
		}
		out := fact.Attrs{}
		putVLAN(out, tag)
		if proto := binary.BigEndian.Uint16(tag[12:]); proto != 0 && proto != unix.ETH_P_8021Q {
			out["protocol"] = asEtherType(tag[12:14])
		}
		tags = append(tags, out)
	}
	return tags
}

func putVLAN(out fact.Attrs, b []byte) {
	for name, value := range map[string]uint32{
		"vlan": binary.NativeEndian.Uint32(b[4:]),
		"qos":  binary.NativeEndian.Uint32(b[8:]),
	} {
		if value != 0 {
			out[name] = uint64(value)
		}
	}
}

// guidText writes a 64-bit id in network order, which the kernel sends in host
// order.
func guidText(b []byte) string {
	b = slices.Clone(b)
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		slices.Reverse(b)
	}
	return hardwareAddress(b, unix.ARPHRD_INFINIBAND)
}

func vfStats(tb attributes) fact.Attrs {
	rx, tx := fact.Attrs{}, fact.Attrs{}
	tb.decode(rx, []field{
		{unix.IFLA_VF_STATS_RX_BYTES, "bytes", asU64},
		{unix.IFLA_VF_STATS_RX_PACKETS, "packets", asU64},
		{unix.IFLA_VF_STATS_MULTICAST, "multicast", asU64},
		{unix.IFLA_VF_STATS_BROADCAST, "broadcast", asU64},
		{unix.IFLA_VF_STATS_RX_DROPPED, "dropped", asU64},
	})
	tb.decode(tx, []field{
		{unix.IFLA_VF_STATS_TX_BYTES, "tx_bytes", asU64},
		{unix.IFLA_VF_STATS_TX_PACKETS, "tx_packets", asU64},
		{unix.IFLA_VF_STATS_TX_DROPPED, "dropped", asU64},
	})
	return fact.Attrs{"rx": rx, "tx": tx}
}
