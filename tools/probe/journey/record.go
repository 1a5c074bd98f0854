package journey

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
)

// record is what the kernel writes for one packet at one place.
type record struct {
	time     uint64 // CLOCK_MONOTONIC, ns
	id       uint32
	reason   uint32
	way      uint32
	step     fact.JourneyStep
	sequence uint32 // of a SYN; of a SYN-ACK the one that it acknowledges
	synAck   bool
	syn      bool
}

var errShortRecord = errors.New("record of a packet is cut short")

// Offsets in a record of [program].
const (
	recordTime     = 0
	recordNetns    = 16
	recordIndex    = 20
	recordReason   = 24
	recordID       = 28
	recordLen      = 32
	recordWay      = 36
	recordCopied   = 40
	recordSegment  = 44
	recordName     = 48
	recordFunction = 64
	functionBytes  = 64
	recordPacket   = recordFunction + functionBytes
	packetBytes    = 128
	recordSize     = recordPacket + packetBytes
)

// Bits of a record's way.
const (
	wayBack   = 1
	wayQuoted = 2 // the flow's packet stands in an ICMP error
)

// Reasons that are none: what the other two tracepoints say.
const (
	reasonQueued   = 1<<31 - 1
	reasonReceived = 1<<31 - 2
)

// headerFragment is an IPv6 packet's next header where a fragment header follows
// (RFC 8200, section 4.5).
const headerFragment = 44

const tcpSYN, tcpRST, tcpFIN, tcpACK = 0x02, 0x04, 0x01, 0x10

// decode reads a record. It is pure.
func decode(b []byte, reasons map[uint32]string) (record, error) {
	if len(b) < recordSize {
		return record{}, errShortRecord
	}
	word := func(at int) uint32 { return binary.NativeEndian.Uint32(b[at:]) }
	r := record{
		time: binary.NativeEndian.Uint64(b[recordTime:]),
		id:   word(recordID), reason: word(recordReason), way: word(recordWay),
	}
	name, _, _ := strings.Cut(string(b[recordName:recordName+16]), "\x00")
	r.step = fact.JourneyStep{NetnsInode: uint64(word(recordNetns)), Ifindex: int(word(recordIndex)), Dev: probe.LinkName(name), Bytes: int(word(recordLen)), SegmentBytes: int(binary.NativeEndian.Uint16(b[recordSegment:]))}
	switch r.reason {
	case reasonQueued:
		r.step.What = fact.StepQueued
	case reasonReceived:
		r.step.What = fact.StepReceived
	default:
		r.step.What = fact.StepDropped
		if r.step.Reason = reasons[r.reason]; r.step.Reason == "" {
			r.step.Reason = fmt.Sprintf("reason %d", r.reason)
		}
		// "nft_do_chain [nf_tables]"
		r.step.Function, _, _ = strings.Cut(string(bytes.TrimRight(b[recordFunction:recordPacket], "\x00")), " ")
	}
	packet := b[recordPacket:recordSize]
	return r, r.packet(packet[:min(int(word(recordCopied)), len(packet))])
}

// packet reads IP and what follows.
func (r *record) packet(b []byte) error {
	var src, dst netip.Addr
	var proto Proto
	var rest []byte
	var fragment, later bool
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		src, dst = netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:]))
		proto, rest = Proto(b[9]), b[min(int(b[0]&15)*4, len(b)):]
		bits := binary.BigEndian.Uint16(b[6:])
		fragment, later = bits&0x3fff != 0, bits&0x1fff != 0
	case len(b) >= 40 && b[0]>>4 == 6:
		src, dst = netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
		proto, rest = Proto(b[6]), b[40:]
		if proto == headerFragment && len(rest) >= 8 {
			fragment, later = true, binary.BigEndian.Uint16(rest[2:])&0xfff8 != 0
			proto, rest = Proto(rest[0]), rest[8:]
		}
	default:
		return errShortRecord
	}
	s := &r.step
	s.Proto, s.Back = proto.String(), r.way&wayBack != 0
	if r.way&wayQuoted != 0 { // an error goes to where its packet came from
		s.Back = !s.Back
	}
	if fragment {
		s.Kind = fact.KindFragment
	}
	if s.Src, s.Dst = src.String(), dst.String(); later { // it has no ports
		return nil
	}
	if len(rest) < 8 {
		return errShortRecord
	}
	switch proto {
	case TCP:
		if len(rest) < 14 {
			return errShortRecord
		}
		r.tcp(rest)
	case UDP:
	default:
		if s.Kind = kindOf(proto, rest[0], rest[1]); s.Kind == fact.KindEchoRequest || s.Kind == fact.KindEchoReply {
			s.ID = int(binary.BigEndian.Uint16(rest[4:]))
		}
		return nil
	}
	s.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(rest)).String()
	s.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(rest[2:])).String()
	return nil
}

// kindOf names an ICMP message as nft(8) does (RFC 792, RFC 4443).
func kindOf(proto Proto, kind, code byte) string {
	names := map[[2]byte]string{
		{0}: fact.KindEchoReply, {8}: fact.KindEchoRequest, {5}: "redirect", {11}: "time-exceeded", {12}: "parameter-problem",
		{3}: "net-unreachable", {3, 1}: "host-unreachable", {3, 2}: "prot-unreachable", {3, 3}: "port-unreachable",
		{3, 4}: "frag-needed", {3, 9}: "net-prohibited", {3, 10}: "host-prohibited", {3, 13}: "admin-prohibited",
	}
	if proto == ICMPv6 {
		names = map[[2]byte]string{
			{128}: fact.KindEchoRequest, {129}: fact.KindEchoReply, {2}: "packet-too-big", {3}: "time-exceeded", {4}: "parameter-problem",
			{1}: "no-route", {1, 1}: "admin-prohibited", {1, 3}: "addr-unreachable", {1, 4}: "port-unreachable",
			{1, 5}: "policy-fail", {1, 6}: "reject-route",
		}
	}
	return cmp.Or(names[[2]byte{kind, code}], fmt.Sprintf("type-%d-code-%d", kind, code))
}

func (r *record) tcp(b []byte) {
	sequence, acknowledged := binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	switch flags := b[13]; {
	case flags&tcpRST != 0:
		r.step.Kind = "RST"
	case flags&(tcpSYN|tcpACK) == tcpSYN:
		r.step.Kind, r.syn, r.sequence = "SYN", true, sequence
	case flags&tcpSYN != 0:
		r.step.Kind, r.synAck, r.sequence = "SYN-ACK", true, acknowledged-1
	case flags&tcpFIN != 0:
		r.step.Kind = "FIN"
	}
}

// assemble orders records to a trail. Whoever sends under the flow's addresses from
// elsewhere does not know the sequence number with which the flow began in its own
// namespace: such packets are left out.
func assemble(records []record, flow Flow, began uint64) []fact.JourneyStep {
	own := map[uint32]bool{}
	for _, r := range records {
		if r.syn && !r.step.Back && r.step.NetnsInode == flow.NetnsInode {
			own[r.sequence] = true
		}
	}
	steps := []fact.JourneyStep{}
	for _, r := range records {
		if (r.syn || r.synAck) && len(own) > 0 && !own[r.sequence] {
			continue
		}
		r.step.MS = float64(int64(r.time-began)/1000) / 1000 //nolint:gosec // nanoseconds since the machine started
		steps = append(steps, r.step)
	}
	return steps
}

// trimReason shortens a name of enum skb_drop_reason.
func trimReason(name string) string { return strings.TrimPrefix(name, "SKB_DROP_REASON_") }
