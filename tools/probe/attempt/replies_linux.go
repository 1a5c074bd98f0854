package attempt

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
)

// replies are two raw sockets that get, beside the kernel's TCP, what may end an
// attempt: RST segments and ICMP errors; and from [replies.addSYNs] on the
// connection's SYNs and SYN-ACKs. A raw socket gets what has passed the
// namespace's packet filter (ip_local_deliver_finish in the kernel's
// net/ipv4/ip_input.c). Raw sockets need CAP_NET_RAW; without it they get nothing.
type replies struct {
	v6        bool
	tcp, icmp int // descriptors, valid where the flags below are set
	hasTCP    bool
	hasICMP   bool
	hasSYNs   bool
}

// open runs inside the namespace.
func (r *replies) open(v6 bool) {
	r.v6 = v6
	r.tcp, r.hasTCP = rawSocket(v6, unix.IPPROTO_TCP, func(fd int) error { return attach(fd, rstFilter(v6)) })
	if v6 {
		r.icmp, r.hasICMP = rawSocket(v6, unix.IPPROTO_ICMPV6, onlyErrors6)
	} else {
		r.icmp, r.hasICMP = rawSocket(v6, unix.IPPROTO_ICMP, onlyErrors4)
	}
}

// addSYNs makes the socket get segments with SYN from or to port too.
func (r *replies) addSYNs(port uint16) {
	r.hasSYNs = r.hasTCP && attach(r.tcp, rstOrSYNFilter(r.v6, port)) == nil
}

func (r *replies) close() {
	if r.hasTCP {
		_ = unix.Close(r.tcp)
	}
	if r.hasICMP {
		_ = unix.Close(r.icmp)
	}
	r.hasTCP, r.hasICMP = false, false
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

// rstFilter takes TCP segments with RST. The packet begins with the IP header for
// IPv4 and with the TCP header for IPv6.
//
// What came by lo was made in this namespace, whatever address it carries. The
// filter alone sees the true interface: IP_PKTINFO names the one that the route
// would use (ipv4_pktinfo_prepare in net/ipv4/ip_sockglue.c). The filter says so by
// cutting such a segment one byte shorter than any whole one is.
func rstFilter(v6 bool) []bpf.Instruction {
	return append(loadTCP(v6, 13, 1),
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: flagRST, SkipTrue: 3},
		bpf.LoadExtension{Num: bpf.ExtInterfaceIndex},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: loopbackIndex, SkipTrue: 2},
		bpf.RetConstant{Val: snapLength},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: shortest(v6) - 1},
	)
}

// rstOrSYNFilter takes what rstFilter takes, and whole segments with SYN from or to
// port.
func rstOrSYNFilter(v6 bool, port uint16) []bpf.Instruction {
	var program []bpf.Instruction
	for _, offset := range [...]uint32{0, 2} { // the ports
		test := loadTCP(v6, 13, 1)
		ports := loadTCP(v6, offset, 2)
		program = append(program, test...)
		program = append(program, bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: flagSYN, SkipTrue: uint8(len(ports) + 2)}) //nolint:gosec // two or three
		program = append(program, ports...)
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(port), SkipTrue: 1}, bpf.RetConstant{Val: snapLength})
	}
	return append(program, rstFilter(v6)...)
}

// loadTCP loads size bytes at an offset of the TCP header.
func loadTCP(v6 bool, offset uint32, size int) []bpf.Instruction {
	if v6 {
		return []bpf.Instruction{bpf.LoadAbsolute{Off: offset, Size: size}}
	}
	return []bpf.Instruction{bpf.LoadMemShift{Off: 0}, bpf.LoadIndirect{Off: offset, Size: size}}
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

// maxPackets bounds how many packets of other connections are looked through.
const maxPackets = 256

// read returns what ended the attempt from local to remote, nil where nothing
// came, and adds to what was seen at the interfaces how much of that came up to
// TCP. The kernel delivers to raw sockets first, so what TCP acted on is there
// already.
func (r *replies) read(local, remote netip.AddrPort, at *observed) *fact.Answer {
	var rst, icmp *fact.Answer
	if r.hasTCP {
		rst = r.readTCP(local, remote, at)
	}
	if r.hasICMP {
		icmp = r.readICMP(local, remote)
	}
	if icmp != nil {
		return icmp
	}
	return rst
}

func (r *replies) readICMP(local, remote netip.AddrPort) *fact.Answer {
	var found *fact.Answer
	drain(r.icmp, func(p received) {
		message := p.data
		if !r.v6 {
			src, _, ttl, proto, rest, ok := parseIP(p.data)
			if !ok || proto != protoICMP {
				return
			}
			p.from, p.ttl, message = src, ttl, rest
		}
		about, ok := parseICMP(r.v6, message)
		if !ok || !about.ends() || !sameFlow(about.src, about.dst, local, remote) {
			return
		}
		found = &fact.Answer{
			Kind: "icmp", ICMP: about.String(), From: p.from.String(), TTL: p.ttl,
			Dev: probe.InterfaceName(r.icmp, p.index),
		}
	})
	return found
}

func (r *replies) readTCP(local, remote netip.AddrPort, at *observed) *fact.Answer {
	var found *fact.Answer
	var syns, answers int
	drain(r.tcp, func(p received) {
		var seg segment
		var ok bool
		if r.v6 {
			seg, ok = parseTCP(p.from, p.to, p.ttl, p.data)
		} else {
			seg, ok = parseSegment(p.data)
		}
		switch {
		case !ok:
		case seg.has(flagSYN | flagACK):
			if at != nil && seg.ack == at.number+1 {
				answers++
			}
		case seg.has(flagSYN):
			if at != nil && seg.seq == at.number {
				syns++
			}
		case seg.has(flagRST) && sameFlow(seg.dst, seg.src, local, remote):
			found = &fact.Answer{Kind: "rst", From: seg.src.String(), TTL: seg.ttl, Dev: probe.InterfaceName(r.tcp, p.index)}
			if len(p.data) < int(shortest(r.v6)) {
				found.Dev, found.Own = "lo", true
			}
		}
	})
	if at != nil && at.wire.SYNOut > 0 && r.hasSYNs {
		at.wire.SYNPassed, at.wire.SYNACKPassed = &syns, &answers
	}
	return found
}

// sendSYN sends a SYN of the connection once more, and returns the kernel's error:
// TCP itself keeps silent about a SYN that it could not send. The checksum is wrong,
// so that nobody answers where the SYN does leave.
func (r *replies) sendSYN(local, remote netip.AddrPort, zone int) error {
	if !r.hasTCP {
		return nil
	}
	level, option := unix.IPPROTO_IP, unix.IP_RECVERR
	from, to := sockaddr(netip.AddrPortFrom(local.Addr(), 0), zone), sockaddr(netip.AddrPortFrom(remote.Addr(), 0), zone)
	if r.v6 {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	if unix.Bind(r.tcp, from) != nil || unix.SetsockoptInt(r.tcp, level, option, 1) != nil { // else ENOBUFS is hidden (ip(7), IP_RECVERR)
		return nil // nothing was tried
	}
	return unix.Sendto(r.tcp, synHeader(local.Port(), remote.Port()), unix.MSG_DONTWAIT, to)
}

// synHeader is a SYN without sequence number, window and checksum (RFC 9293,
// section 3.1).
func synHeader(from, to uint16) []byte {
	header := make([]byte, 20)
	binary.BigEndian.PutUint16(header, from)
	binary.BigEndian.PutUint16(header[2:], to)
	header[12], header[13] = 5<<4, flagSYN // its length in words of 32 bits
	return header
}

// received is a packet that a raw socket got.
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
	for range maxPackets {
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
