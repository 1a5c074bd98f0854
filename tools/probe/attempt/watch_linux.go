package attempt

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
	"nsenter-mcp/tools/probe/journey"
)

// watch records, from when the SYN of the attempt that is about to begin on s has
// gone unanswered for a while, whether repetitions leave an interface and whether
// answers come in by one. TCP itself cannot tell a SYN that a local rule dropped
// from one that got lost, nor an answer that was dropped from one that never came.
// The kernel tells besides where on this node the packets go.
// end stops watching; it returns nil where nothing was watched, or where what was
// seen cannot be told to be this connection's or another's.
func (p *Prober) watch(ctx context.Context, h *nsexec.Handle, s *socket, tracer *journey.Tracer) (end func() (*observed, *fact.Journey)) {
	ctx, cancel := context.WithCancel(ctx)
	var seen *observed
	var trail *fact.Journey
	ended := make(chan struct{})
	timer := time.AfterFunc(unwatched, func() {
		defer close(ended)
		stop := trace(tracer, h, s)
		seen = p.record(ctx, h, s)
		<-ctx.Done()
		trail = stop()
	})
	return func() (*observed, *fact.Journey) {
		cancel()
		if timer.Stop() { // before it began
			return nil, nil
		}
		<-ended
		return seen, trail
	}
}

// trace records the journey of the attempt's packets until stop is called.
func trace(tracer *journey.Tracer, h *nsexec.Handle, s *socket) (stop func() *fact.Journey) {
	local, ok := s.localAddress()
	if !ok {
		return func() *fact.Journey { return nil }
	}
	return tracer.Follow(flowOf(h, journey.TCP, local, s.to))
}

// record watches until ctx ends.
func (p *Prober) record(ctx context.Context, h *nsexec.Handle, s *socket) *observed {
	select {
	case p.watchers <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	local, ok := s.localAddress()
	if !ok {
		<-p.watchers
		return nil
	}
	s.replies.addSYNs(local.Port()) // before the packet socket sees the first
	var file *os.File
	var hop nextHop
	stamps := false
	err := p.turn(ctx, func() error {
		hop = nextHopOf(ctx, h, s, local.Addr())
		return h.Do(func() (err error) {
			stamps = randomStamps()
			file, err = packetSocket(s.v6, local.Port())
			return err
		})
	})
	if err != nil {
		<-p.watchers
		return nil
	}
	// Closing waits in the kernel, which the call need not.
	defer func() {
		go func() {
			_ = file.Close() // was only read
			<-p.watchers
		}()
	}()
	seen := sightings{hop: hop, flows: flows{local: local, to: s.to, clock: func() (uint32, bool) {
		if !stamps {
			return 0, false
		}
		return s.clock()
	}}}
	return seen.record(ctx, file)
}

// nextHopOf is zero where the next hop needs no link-layer address or is not known.
func nextHopOf(ctx context.Context, h *nsexec.Handle, s *socket, local netip.Addr) nextHop {
	r, err := openRoutes(h)
	if err != nil {
		return nextHop{}
	}
	defer r.Close()
	found, err := r.measure(ctx, lookup{to: s.to, from: local, zone: s.zone})
	if err != nil {
		return nextHop{}
	}
	return found.hop
}

// localAddress is what the connection comes from. It is asked of the kernel, as
// another goroutine is connecting meanwhile.
func (s *socket) localAddress() (local netip.AddrPort, ok bool) {
	var asked socket
	if err := s.control(asked.readLocal); err != nil {
		return netip.AddrPort{}, false
	}
	return asked.local, asked.local.Port() != 0
}

// clock is what the kernel would write into the timestamp option of the
// connection's next segment (TCP_TIMESTAMP in do_tcp_getsockopt of net/ipv4/tcp.c).
func (s *socket) clock() (now uint32, ok bool) {
	err := s.control(func(fd int) {
		value, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_TIMESTAMP)
		now, ok = uint32(value), err == nil //nolint:gosec // 32 bits of a clock that wraps
	})
	return now, ok && err == nil
}

// control calls fn with the descriptor, while it is open.
func (s *socket) control(fn func(fd int)) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { fn(int(fd)) })
}

// randomStamps reports whether the namespace's clocks in timestamp options begin
// at random (tcp_timestamps in the kernel's ip-sysctl.rst). It runs inside the
// namespace.
func randomStamps() bool {
	value, err := readInto(make([]byte, 8), "/proc/sys/net/ipv4/tcp_timestamps")
	return err == nil && bytes.HasPrefix(value, []byte("1"))
}

// packetSocket makes a socket that sees TCP segments with SYN from or to port
// and answers to requests for link-layer addresses, on all interfaces and in
// both directions. It runs inside the namespace.
func packetSocket(v6 bool, port uint16) (*os.File, error) {
	// Protocol 0 receives nothing until the filter is in place.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	file := os.NewFile(uintptr(fd), "packet")
	if err = attach(fd, synFilter(v6, port)); err == nil {
		all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all})
	}
	if err != nil {
		_ = file.Close() // never used
		return nil, os.NewSyscallError("packet socket", err)
	}
	return file, nil
}

// synFilter accepts segments with SYN from or to port, ARP, and neighbour
// advertisements. The packet begins with the network header.
func synFilter(v6 bool, port uint16) []bpf.Instruction {
	if v6 {
		return []bpf.Instruction{
			0:  bpf.LoadExtension{Num: bpf.ExtProto},
			1:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IPV6, SkipTrue: 13},
			2:  bpf.LoadAbsolute{Off: 6, Size: 1}, // next header
			3:  bpf.JumpIf{Cond: bpf.JumpEqual, Val: protoTCP, SkipTrue: 3},
			4:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoICMPv6, SkipTrue: 10},
			5:  bpf.LoadAbsolute{Off: 40, Size: 1},
			6:  bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmp6Advertisement, SkipTrue: 7, SkipFalse: 8},
			7:  bpf.LoadAbsolute{Off: 40 + 13, Size: 1},
			8:  bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: flagSYN, SkipTrue: 6},
			9:  bpf.LoadAbsolute{Off: 40, Size: 2},
			10: bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 3},
			11: bpf.LoadAbsolute{Off: 42, Size: 2},
			12: bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 1},
			13: bpf.RetConstant{Val: 0},
			14: bpf.RetConstant{Val: snapLength},
			15: bpf.RetConstant{Val: 0},
		}
	}
	return []bpf.Instruction{
		0:  bpf.LoadExtension{Num: bpf.ExtProto},
		1:  bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_ARP, SkipTrue: 11},
		2:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 9},
		3:  bpf.LoadAbsolute{Off: 9, Size: 1}, // protocol
		4:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoTCP, SkipTrue: 7},
		5:  bpf.LoadMemShift{Off: 0}, // X is the length of the IP header
		6:  bpf.LoadIndirect{Off: 13, Size: 1},
		7:  bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: flagSYN, SkipTrue: 4},
		8:  bpf.LoadIndirect{Off: 0, Size: 2},
		9:  bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 3},
		10: bpf.LoadIndirect{Off: 2, Size: 2},
		11: bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 1},
		12: bpf.RetConstant{Val: 0},
		13: bpf.RetConstant{Val: snapLength},
	}
}

// sightings is what was seen so far.
type sightings struct {
	flows    flows
	hop      nextHop
	answered int      // requests for hop's link-layer address
	macs     []string // that answered, each once
}

// record counts what a packet socket sees until ctx ends, and asks for the next
// hop's link-layer address meanwhile. It returns nil where what belongs to the
// connection cannot be told.
func (s *sightings) record(ctx context.Context, file *os.File) *observed {
	start := time.Now()
	raw, err := file.SyscallConn()
	if err != nil {
		return nil
	}
	asked := solicit(ctx, raw, s.hop)
	stop := context.AfterFunc(ctx, func() {
		_ = file.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed file
	})
	defer stop()
	// Ends by the deadline, which is no error.
	_ = raw.Read(func(fd uintptr) bool {
		s.drain(int(fd))
		return false
	})
	var found *observed
	_ = raw.Control(func(fd uintptr) { // what came just before the end
		s.drain(int(fd))
		var index int
		if found, index = s.flows.mine(); index != 0 {
			found.wire.Dev = probe.InterfaceName(int(fd), uint32(index)) //nolint:gosec // as the kernel gave it
		}
	})
	requests := asked()
	if found == nil {
		return nil
	}
	found.wire.Asked, found.wire.Answered = requests, s.answered
	if len(s.macs) == 1 {
		found.wire.AnsweredBy = s.macs[0]
	}
	found.wire.WatchedMS = milliseconds(time.Since(start))
	return found
}

func (s *sightings) drain(fd int) {
	packet := make([]byte, snapLength)
	for range maxPackets {
		n, from, err := unix.Recvfrom(fd, packet, unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if !ok {
			continue
		}
		outgoing := link.Pkttype == unix.PACKET_OUTGOING
		if seg, ok := parseSegment(packet[:n]); ok {
			s.flows.add(&frame{segment: seg, index: link.Ifindex, outgoing: outgoing, foreign: link.Pkttype == unix.PACKET_OTHERHOST})
			continue
		}
		who, mac, ok := parseNeighbour(packet[:n])
		if !ok || outgoing || link.Ifindex != s.hop.index || who != s.hop.addr {
			continue
		}
		s.answered++
		if text := mac.String(); !slices.Contains(s.macs, text) {
			s.macs = append(s.macs, text)
		}
	}
}
