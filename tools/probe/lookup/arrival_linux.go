package lookup

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
	"nsenter-mcp/tools/probe/attempt"
)

// stopCounters count what the kernel drops between an interface and a UDP socket for
// another reason than a packet filter.
var stopCounters = []string{
	"Ip.InAddrErrors", "Ip.InDiscards", "Ip.InHdrErrors", "Ip6InAddrErrors", "Ip6InDiscards", "Ip6InHdrErrors",
	"TcpExt.IPReversePathFilter", "Udp.InCsumErrors", "Udp.InErrors", "Udp.NoPorts", "Udp6InCsumErrors", "Udp6InErrors", "Udp6NoPorts",
}

// maxArrivals bounds the packets of one port that are looked at.
const maxArrivals = 64

// portWatch sees the datagrams to a port as they come to any interface of a namespace,
// before its packet filter (packet(7)).
type portWatch struct {
	handle *nsexec.Handle
	file   *os.File
	v6     bool
	before []byte // counters
}

// watchPort returns nil where there is no privilege for it, or no turn: closing a packet
// socket waits for all CPUs (synchronize_net in the kernel), so few are open at once.
func watchPort(ctx context.Context, h *nsexec.Handle, v6 bool, local net.Addr) *portWatch {
	udp, ok := local.(*net.UDPAddr)
	if !ok {
		return nil
	}
	w := &portWatch{handle: h, v6: v6}
	err := h.Look(ctx, func() error {
		return h.Do(func() (err error) {
			if w.before, err = attempt.ReadCounters(v6); err != nil {
				return err
			}
			w.file, err = datagramsTo(v6, udp.AddrPort().Port())
			return err
		})
	})
	if err != nil {
		return nil
	}
	return w
}

// datagramsTo makes a packet socket for the datagrams to a port.
func datagramsTo(v6 bool, port uint16) (*os.File, error) {
	program := []bpf.Instruction{ // the packet begins with the network header
		0: bpf.LoadExtension{Num: bpf.ExtProto},
		1: bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 8},
		2: bpf.LoadAbsolute{Off: 9, Size: 1}, // protocol
		3: bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 6},
		4: bpf.LoadAbsolute{Off: 6, Size: 2}, // no later fragment has the ports
		5: bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 4},
		6: bpf.LoadMemShift{Off: 0},
		7: bpf.LoadIndirect{Off: 2, Size: 2},
	}
	if v6 {
		program = []bpf.Instruction{
			0: bpf.LoadExtension{Num: bpf.ExtProto},
			1: bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IPV6, SkipTrue: 4},
			2: bpf.LoadAbsolute{Off: 6, Size: 1}, // next header
			3: bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 2},
			4: bpf.LoadAbsolute{Off: 42, Size: 2},
		}
	}
	raw, err := bpf.Assemble(append(program,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 4096},
	))
	if err != nil {
		return nil, err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, ins := range raw {
		filter[i] = unix.SockFilter{Code: ins.Op, Jt: ins.Jt, Jf: ins.Jf, K: ins.K}
	}
	// Protocol 0 receives nothing until the filter is in place.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}) //nolint:gosec // a handful
	if err == nil {
		all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all})
	}
	file := os.NewFile(uintptr(fd), "packet")
	if err != nil {
		_ = file.Close() // never used
		return nil, os.NewSyscallError("packet socket", err)
	}
	return file, nil
}

// seen returns the answers that came to an interface so far.
func (w *portWatch) seen(isAnswer func([]byte) bool) (list []arrival) {
	if w == nil {
		return nil
	}
	raw, err := w.file.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) { // fails on a closed file only
		packet := make([]byte, 4096)
		for range maxArrivals {
			n, from, err := unix.Recvfrom(int(fd), packet, unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			link, ok := from.(*unix.SockaddrLinklayer)
			if !ok || link.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			sender, payload := readUDP(packet[:n])
			if payload != nil && isAnswer(payload) {
				list = append(list, arrival{sender, probe.InterfaceName(int(fd), uint32(link.Ifindex)), link.Pkttype == unix.PACKET_OTHERHOST}) //nolint:gosec // as the kernel gave it
			}
		}
	})
	return list
}

// readUDP reads a packet that the filter let through.
func readUDP(packet []byte) (from netip.AddrPort, payload []byte) {
	if len(packet) < 20 {
		return from, nil
	}
	head, source := int(packet[0]&0x0f)*4, packet[12:16]
	if packet[0]>>4 == 6 && len(packet) >= 40 {
		head, source = 40, packet[8:24]
	}
	ip, ok := netip.AddrFromSlice(source)
	if !ok || len(packet) < head+8 {
		return from, nil
	}
	return netip.AddrPortFrom(ip, binary.BigEndian.Uint16(packet[head:])), packet[head+8:]
}

// report is what came; nil where nothing was watched.
func (w *portWatch) report(seen []arrival) *fact.DNSWire {
	if w == nil {
		return nil
	}
	wire := &fact.DNSWire{Answers: len(seen)}
	if len(seen) > 0 {
		wire.Dev, wire.OtherMAC = seen[0].dev, seen[0].otherMAC
		var after []byte
		err := w.handle.Do(func() (err error) { after, err = attempt.ReadCounters(w.v6); return err })
		if err != nil {
			return nil // what else may have dropped them is not known
		}
		wire.Counters = attempt.Moved(w.before, after, stopCounters)
	}
	return wire
}

// close is given a turn by itself, which the call need not wait for.
func (w *portWatch) close(ctx context.Context) {
	if w == nil {
		return
	}
	go func() {
		// Not cancelled with the call: a turn comes within milliseconds each.
		_ = w.handle.Look(context.WithoutCancel(ctx), w.file.Close) // was only read
	}()
}
