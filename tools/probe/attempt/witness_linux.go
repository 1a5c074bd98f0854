package attempt

import (
	"context"
	"encoding/binary"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// witness watches, from when a SYN has gone unanswered for a while, whether
// its repetitions leave an interface and whether answers come in by one. TCP
// itself cannot tell a SYN that a local rule dropped from one that got lost, nor
// an answer that was dropped from one that never came.
type witness struct {
	stop   context.CancelFunc
	result chan *fact.Wire // one value, nil where nothing was watched
}

// watch calls a witness for the attempt that is about to begin on s.
func (p *Prober) watch(ctx context.Context, h *nsexec.Handle, s *socket) *witness {
	ctx, cancel := context.WithCancel(ctx)
	w := &witness{stop: cancel, result: make(chan *fact.Wire, 1)}
	timer := time.AfterFunc(unwatched, func() { w.result <- p.witness(ctx, h, s) })
	context.AfterFunc(ctx, func() {
		if timer.Stop() {
			w.result <- nil
		}
	})
	return w
}

// end stops watching and returns what was seen.
func (w *witness) end(s *socket) *fact.Wire {
	w.stop()
	seen := <-w.result
	if seen != nil && seen.SentTo == s.to.String() {
		seen.SentTo = ""
	}
	return seen
}

// witness watches until ctx ends.
func (p *Prober) witness(ctx context.Context, h *nsexec.Handle, s *socket) *fact.Wire {
	select {
	case p.witnesses <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	local, ok := s.localPort()
	if !ok {
		<-p.witnesses
		return nil
	}
	var file *os.File
	var hop nextHop
	err := p.turn(ctx, func() error {
		hop = wayTo(h, s)
		return h.Do(func() (err error) {
			file, err = packetSocket(s.v6, local)
			return err
		})
	})
	if err != nil {
		<-p.witnesses
		return nil
	}
	// Closing waits in the kernel, which the call need not.
	defer func() {
		go func() {
			_ = file.Close() // was only read
			<-p.witnesses
		}()
	}()
	return record(ctx, file, local, hop)
}

// wayTo is the next hop, zero where it needs no link-layer address or is not
// known.
func wayTo(h *nsexec.Handle, s *socket) nextHop {
	handle, err := h.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return nextHop{}
	}
	defer handle.Close()
	path, err := measurePath(handle, s.to.Addr(), s.zone)
	if err != nil {
		return nextHop{}
	}
	return path.hop
}

// localPort is the port that the connection uses. It is asked of the kernel,
// as another goroutine is connecting meanwhile.
func (s *socket) localPort() (uint16, bool) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return 0, false
	}
	var asked socket
	if err := raw.Control(func(fd uintptr) { asked.readLocal(int(fd)) }); err != nil {
		return 0, false
	}
	return asked.local.Port(), asked.local.Port() != 0
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

// record counts what a packet socket sees until ctx ends, and asks for the next
// hop's link-layer address meanwhile.
func record(ctx context.Context, file *os.File, port uint16, hop nextHop) *fact.Wire {
	start := time.Now()
	raw, err := file.SyscallConn()
	if err != nil {
		return nil
	}
	seen := sightings{hop: hop}
	asked := solicit(ctx, raw, hop)
	stop := context.AfterFunc(ctx, func() {
		_ = file.SetReadDeadline(time.Unix(1, 0)) // fails only on a closed file
	})
	defer stop()
	// Ends by the deadline, which is no error.
	_ = raw.Read(func(fd uintptr) bool {
		seen.drain(int(fd), port)
		return false
	})
	_ = raw.Control(func(fd uintptr) { // what came just before the end
		seen.drain(int(fd), port)
		seen.wire.Dev = ""
		if seen.index != 0 {
			seen.wire.Dev = interfaceName(int(fd), uint32(seen.index)) //nolint:gosec // as the kernel gave it
		}
	})
	seen.wire.Asked = asked()
	seen.wire.WatchedMS = milliseconds(time.Since(start))
	return &seen.wire
}

// sightings is what was seen so far.
type sightings struct {
	wire  fact.Wire
	index int // interface of the first SYN that left
	hop   nextHop
}

func (s *sightings) drain(fd int, port uint16) {
	packet := make([]byte, snapLength)
	for range maxHeard {
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
			s.add(&seg, link.Ifindex, outgoing, port)
		} else if who, ok := parseNeighbour(packet[:n]); ok && !outgoing && link.Ifindex == s.hop.index && who == s.hop.addr {
			s.wire.Answered++
		}
	}
}

// add counts a segment. One that passes several interfaces of the namespace (a
// bridge and its port) counts at the first.
func (s *sightings) add(seg *segment, index int, outgoing bool, port uint16) {
	switch {
	case outgoing && seg.src.Port() == port && !seg.has(flagACK):
		if s.index == 0 {
			s.index = index
			s.wire.SentTo = netip.AddrPortFrom(seg.dst.Addr(), seg.dst.Port()).String()
		}
		if index == s.index {
			s.wire.SYNOut++
		}
	case !outgoing && seg.dst.Port() == port && seg.has(flagSYN|flagACK):
		s.wire.SYNACKIn++
	}
}
