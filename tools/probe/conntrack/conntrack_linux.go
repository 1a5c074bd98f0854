package conntrack

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// seenReply is IPS_SEEN_REPLY of linux/netfilter/nf_conntrack_common.h.
const seenReply = 1 << 1

// Get returns the entry of the connection of a protocol from one address to another,
// as its first packet came. The library can only list the whole table, which has
// hundreds of thousands of entries on a busy node.
func Get(ctx context.Context, h *nsexec.Handle, protocol byte, from, to netip.AddrPort) (Entry, error) {
	socket, err := h.OpenNetlink(unix.NETLINK_NETFILTER)
	if err != nil {
		return Entry{}, err
	}
	defer socket.Close()
	from, to = bare(from), bare(to)
	family, source, destination := uint8(unix.AF_INET), nl.CTA_IP_V4_SRC, nl.CTA_IP_V4_DST
	if to.Addr().Is6() {
		family, source, destination = unix.AF_INET6, nl.CTA_IP_V6_SRC, nl.CTA_IP_V6_DST
	}
	tuple := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_ORIG, nil)
	ip := tuple.AddRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_IP, nil)
	ip.AddRtAttr(source, from.Addr().AsSlice())
	ip.AddRtAttr(destination, to.Addr().AsSlice())
	proto := tuple.AddRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_PROTO, nil)
	proto.AddRtAttr(nl.CTA_PROTO_NUM, []byte{protocol})
	proto.AddRtAttr(nl.CTA_PROTO_SRC_PORT, binary.BigEndian.AppendUint16(nil, from.Port()))
	proto.AddRtAttr(nl.CTA_PROTO_DST_PORT, binary.BigEndian.AppendUint16(nil, to.Port()))
	const subsystem, ctNew = unix.NFNL_SUBSYS_CTNETLINK << 8, 0 // linux/netfilter/nfnetlink_conntrack.h
	message, err := socket.Get(ctx, subsystem|nl.IPCTNL_MSG_CT_GET, subsystem|ctNew,
		&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0}, tuple)
	if err != nil {
		return Entry{}, fmt.Errorf("conntrack of %s to %s: %w", from, to, err)
	}
	if len(message) < nl.SizeofNfgenmsg {
		return Entry{}, fmt.Errorf("conntrack of %s to %s: the answer is shorter than its header", from, to)
	}
	t := parseConntrack(message[nl.SizeofNfgenmsg:])
	if !t.SentTo.IsValid() {
		return Entry{}, fmt.Errorf("conntrack of %s to %s: an answer without addresses", from, to)
	}
	return t, nil
}

// parseConntrack reads the attributes of an entry: answers come from where NAT leads.
func parseConntrack(message []byte) Entry {
	entry := attributes(message)
	answer := attributes(entry[nl.CTA_TUPLE_REPLY])
	ips, ports := attributes(answer[nl.CTA_TUPLE_IP]), attributes(answer[nl.CTA_TUPLE_PROTO])
	ip, ok := netip.AddrFromSlice(ips[nl.CTA_IP_V4_SRC])
	if !ok {
		ip, _ = netip.AddrFromSlice(ips[nl.CTA_IP_V6_SRC])
	}
	status, port := entry[nl.CTA_STATUS], ports[nl.CTA_PROTO_SRC_PORT]
	if !ip.IsValid() || len(status) != 4 || len(port) != 2 {
		return Entry{}
	}
	return Entry{
		SentTo:  netip.AddrPortFrom(ip, binary.BigEndian.Uint16(port)),
		Replied: binary.BigEndian.Uint32(status)&seenReply != 0,
	}
}

// attributes returns those of a netlink message by their types; nothing where it is
// cut short.
func attributes(message []byte) map[int][]byte {
	list, err := nl.ParseRouteAttr(message)
	if err != nil {
		return nil
	}
	values := make(map[int][]byte, len(list))
	for _, a := range list {
		values[int(a.Attr.Type&^unix.NLA_F_NESTED)] = a.Value
	}
	return values
}
