package attempt

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// ears are two raw sockets that hear, beside the kernel, what may end an
// attempt: RST segments and ICMP errors. They need CAP_NET_RAW; where they
// cannot be had nothing is heard.
type ears struct {
	v6        bool
	rst, icmp int // descriptors, valid where the flags below are set
	hasRST    bool
	hasICMP   bool
}

// open runs inside the namespace.
func (e *ears) open(v6 bool) {
	e.v6 = v6
	e.rst, e.hasRST = rawSocket(v6, unix.IPPROTO_TCP, func(fd int) error { return onlyRST(fd, v6) })
	if v6 {
		e.icmp, e.hasICMP = rawSocket(v6, unix.IPPROTO_ICMPV6, onlyErrors6)
	} else {
		e.icmp, e.hasICMP = rawSocket(v6, unix.IPPROTO_ICMP, onlyErrors4)
	}
}

func (e *ears) close() {
	if e.hasRST {
		_ = unix.Close(e.rst)
	}
	if e.hasICMP {
		_ = unix.Close(e.icmp)
	}
	e.hasRST, e.hasICMP = false, false
}

// rawSocket makes a raw socket that tells by which interface a packet came in.
func rawSocket(v6 bool, proto int, filter func(fd int) error) (fd int, ok bool) {
	domain, level, info := unix.AF_INET, unix.IPPROTO_IP, unix.IP_PKTINFO
	if v6 {
		domain, level, info = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return -1, false
	}
	err = filter(fd)
	if err == nil {
		err = unix.SetsockoptInt(fd, level, info, 1)
	}
	if err == nil && v6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, false
	}
	return fd, true
}

// onlyErrors4 lets only errors through (raw(7), ICMP_FILTER: a set bit blocks).
func onlyErrors4(fd int) error {
	const solRaw, icmpFilter = 255, 1
	pass := uint32(1<<icmpUnreachable | 1<<icmpTimeExceeded | 1<<icmpParameter)
	return unix.SetsockoptInt(fd, solRaw, icmpFilter, int(int32(^pass))) //nolint:gosec // a set of bits
}

// onlyErrors6 lets only errors through (RFC 3542, section 3.2: a set bit
// blocks; type 2, packet too big, is blocked as well).
func onlyErrors6(fd int) error {
	var filter unix.ICMPv6Filter
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	filter.Data[0] &^= 1<<icmp6Unreachable | 1<<icmp6TimeExceeded | 1<<icmp6Parameter
	return unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter)
}

// onlyRST attaches a filter for TCP segments with RST. The packet begins with
// the IP header for IPv4 and with the TCP header for IPv6.
//
// What came by lo was made in this namespace, whatever address it carries. The
// filter alone sees the true interface: IP_PKTINFO names the one that the route
// would use (ipv4_pktinfo_prepare in net/ipv4/ip_sockglue.c). It says so by
// cutting such a segment one byte shorter than any whole one is.
func onlyRST(fd int, v6 bool) error {
	const flags = 13 // offset in the TCP header
	load := []bpf.Instruction{bpf.LoadAbsolute{Off: flags, Size: 1}}
	if !v6 {
		load = []bpf.Instruction{bpf.LoadMemShift{Off: 0}, bpf.LoadIndirect{Off: flags, Size: 1}}
	}
	return attach(fd, append(load,
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: flagRST, SkipTrue: 3},
		bpf.LoadExtension{Num: bpf.ExtInterfaceIndex},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: loopbackIndex, SkipTrue: 2},
		bpf.RetConstant{Val: snapLength},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: shortest(v6) - 1},
	))
}

// shortest is the length of a segment without options and data, as a raw
// socket shows it.
func shortest(v6 bool) uint32 {
	if v6 {
		return 20
	}
	return 20 + 20
}

// snapLength is how much of a packet is looked at.
const snapLength = 128

// attach sets a socket's filter (packet(7), SO_ATTACH_FILTER).
func attach(fd int, program []bpf.Instruction) error {
	assembled, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(assembled))
	for i, ins := range assembled {
		filter[i] = unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}) //nolint:gosec // a handful
}

// maxHeard bounds how many packets of other connections are looked through.
const maxHeard = 256

// heard returns what ended the attempt from local to remote, nil where nothing
// was heard. The kernel delivers to raw sockets first, so what it acted on is
// there already.
func (e *ears) heard(local, remote netip.AddrPort) *fact.Answer {
	if e.hasICMP {
		if answer := e.heardICMP(local, remote); answer != nil {
			return answer
		}
	}
	if e.hasRST {
		return e.heardRST(local, remote)
	}
	return nil
}

func (e *ears) heardICMP(local, remote netip.AddrPort) *fact.Answer {
	var found *fact.Answer
	drain(e.icmp, func(p received) {
		message := p.data
		if !e.v6 {
			src, _, ttl, proto, rest, ok := parseIP(p.data)
			if !ok || proto != protoICMP {
				return
			}
			p.from, p.ttl, message = src, ttl, rest
		}
		about, ok := parseICMP(e.v6, message)
		if !ok || !about.ends() || !sameFlow(about.src, about.dst, local, remote) {
			return
		}
		found = &fact.Answer{
			Kind: "icmp", ICMP: about.String(), From: p.from.String(), TTL: p.ttl,
			Dev: interfaceName(e.icmp, p.index),
		}
	})
	return found
}

func (e *ears) heardRST(local, remote netip.AddrPort) *fact.Answer {
	var found *fact.Answer
	drain(e.rst, func(p received) {
		var seg segment
		var ok bool
		if e.v6 {
			seg, ok = parseTCP(p.from, p.to, p.ttl, p.data)
		} else {
			seg, ok = parseSegment(p.data)
		}
		if !ok || !seg.has(flagRST) || !sameFlow(seg.dst, seg.src, local, remote) {
			return
		}
		found = &fact.Answer{Kind: "rst", From: seg.src.String(), TTL: seg.ttl, Dev: interfaceName(e.rst, p.index)}
		if len(p.data) < int(shortest(e.v6)) {
			found.Dev, found.Own = "lo", true
		}
	})
	return found
}

// loopbackIndex is the index of lo in every namespace (LOOPBACK_IFINDEX in
// include/net/flow.h).
const loopbackIndex = 1

// interfaceName names an interface of the socket's namespace. The container
// chose the name, so everything but printable ASCII is escaped.
func interfaceName(fd int, index uint32) string {
	request, err := unix.NewIfreq("")
	if err != nil {
		return ""
	}
	request.SetUint32(index)
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFNAME, request); err != nil {
		return ""
	}
	return printable(request.Name())
}

func printable(name string) string { return strings.Trim(strconv.QuoteToASCII(name), `"`) }

// received is a packet that a raw socket heard.
type received struct {
	data     []byte
	from, to netip.Addr // set for IPv6, whose header raw sockets do not show
	ttl      int        // likewise
	index    uint32     // interface
}

// drain hands what a raw socket has buffered to take.
func drain(fd int, take func(received)) {
	data := make([]byte, snapLength)
	oob := make([]byte, 128)
	for range maxHeard {
		n, oobn, _, from, err := unix.Recvmsg(fd, data, oob, unix.MSG_DONTWAIT)
		if err != nil {
			return // EAGAIN: that was all
		}
		p := received{data: data[:n]}
		if sa, ok := from.(*unix.SockaddrInet6); ok {
			p.from = netip.AddrFrom16(sa.Addr)
		}
		p.addControl(oob[:oobn])
		take(p)
	}
}

func (p *received) addControl(oob []byte) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= 4:
			p.index = binary.NativeEndian.Uint32(m.Data) // struct in_pktinfo
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 20:
			p.to = netip.AddrFrom16([16]byte(m.Data)) // struct in6_pktinfo
			p.index = binary.NativeEndian.Uint32(m.Data[16:])
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			p.ttl = int(binary.NativeEndian.Uint32(m.Data))
		}
	}
}
