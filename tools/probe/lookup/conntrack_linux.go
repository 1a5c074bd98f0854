package lookup

import (
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// sentTo asks the connection tracking of the namespace where a datagram from one
// address to another went; not valid where its own NAT did nothing, or nobody knows
// (include/uapi/linux/netfilter/nfnetlink_conntrack.h).
func (d *dialer) sentTo(from, to netip.AddrPort) netip.AddrPort {
	src, dst := from.Addr().Unmap().WithZone(""), to.Addr().Unmap().WithZone("")
	family, srcAttr, dstAttr := uint8(unix.AF_INET), nl.CTA_IP_V4_SRC, nl.CTA_IP_V4_DST
	if dst.Is6() {
		family, srcAttr, dstAttr = unix.AF_INET6, nl.CTA_IP_V6_SRC, nl.CTA_IP_V6_DST
	}
	socket, err := d.Handle.NetlinkSocket(unix.NETLINK_NETFILTER)
	if err != nil {
		return netip.AddrPort{}
	}
	defer socket.Close()
	port := func(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }
	tuple := nl.NewRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_ORIG, nil)
	ips := tuple.AddRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_IP, nil)
	ips.AddRtAttr(srcAttr, src.AsSlice())
	ips.AddRtAttr(dstAttr, dst.AsSlice())
	proto := tuple.AddRtAttr(unix.NLA_F_NESTED|nl.CTA_TUPLE_PROTO, nil)
	proto.AddRtAttr(nl.CTA_PROTO_NUM, []byte{unix.IPPROTO_UDP})
	proto.AddRtAttr(nl.CTA_PROTO_SRC_PORT, port(from.Port()))
	proto.AddRtAttr(nl.CTA_PROTO_DST_PORT, port(to.Port()))
	request := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|nl.IPCTNL_MSG_CT_GET, unix.NLM_F_ACK)
	request.Sockets = map[int]*nl.SocketHandle{unix.NETLINK_NETFILTER: socket}
	request.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	request.AddData(tuple)
	replies, err := request.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil || len(replies) == 0 || len(replies[0]) < nl.SizeofNfgenmsg {
		return netip.AddrPort{}
	}
	// Answers come from where the packet went to.
	reply := attribute(attribute(replies[0][nl.SizeofNfgenmsg:], nl.CTA_TUPLE_REPLY), nl.CTA_TUPLE_IP)
	ip, ok := netip.AddrFromSlice(attribute(reply, srcAttr))
	number := attribute(attribute(attribute(replies[0][nl.SizeofNfgenmsg:], nl.CTA_TUPLE_REPLY), nl.CTA_TUPLE_PROTO), nl.CTA_PROTO_SRC_PORT)
	if !ok || len(number) != 2 {
		return netip.AddrPort{}
	}
	if went := netip.AddrPortFrom(ip, binary.BigEndian.Uint16(number)); went != netip.AddrPortFrom(dst, to.Port()) {
		return went
	}
	return netip.AddrPort{}
}

// attribute returns the value of one of several attributes, nil where it is not there.
func attribute(data []byte, kind int) []byte {
	attributes, err := nl.ParseRouteAttr(data)
	if err != nil {
		return nil
	}
	for _, a := range attributes {
		if int(a.Attr.Type&nl.NLA_TYPE_MASK) == kind {
			return a.Value
		}
	}
	return nil
}
