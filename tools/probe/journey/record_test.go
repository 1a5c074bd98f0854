package journey

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"

	"nsenter-mcp/tools/fact"
)

// TestAssemble: whoever sends under the flow's addresses from another namespace does
// not know its sequence number, so such packets do not show where it was lost.
func TestAssemble(t *testing.T) {
	t.Parallel()
	const own, other = 4026532001, 4026532002
	packet := func(netns uint64, sequence uint32, what, reason string) record {
		return record{syn: true, sequence: sequence, time: 5e6, step: fact.JourneyStep{Proto: "tcp", Kind: "SYN", NetnsInode: netns, What: what, Reason: reason}}
	}
	steps := assemble([]record{
		packet(own, 7, fact.StepQueued, ""),
		packet(other, 8, fact.StepQueued, ""),
		packet(other, 8, fact.StepDropped, "NETFILTER_DROP"),
		packet(other, 7, fact.StepReceived, ""),
		{synAck: true, sequence: 8, step: fact.JourneyStep{Proto: "tcp", Kind: "SYN-ACK", Back: true, NetnsInode: other, What: fact.StepQueued}},
	}, Flow{NetnsInode: own}, 4e6)
	if len(steps) != 2 || steps[0].NetnsInode != own || steps[1].NetnsInode != other || steps[1].What != fact.StepReceived || steps[0].MS != 1 {
		t.Errorf("%+v", steps)
	}
}

func sample(packet []byte) []byte {
	b := make([]byte, recordSize)
	binary.NativeEndian.PutUint32(b[recordReason:], reasonQueued)
	binary.NativeEndian.PutUint32(b[recordLen:], uint32(len(packet)))
	binary.NativeEndian.PutUint32(b[recordCopied:], uint32(len(packet)))
	copy(b[recordName:], "eth0")
	copy(b[recordPacket:], packet)
	return b
}

func TestDecode(t *testing.T) {
	t.Parallel()
	v4 := append([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}, []byte{0x12, 0x34, 0, 80, 0, 0, 0, 9, 0, 0, 0, 0, 0x50, tcpSYN, 0, 0, 0, 0, 0, 0}...)
	r, err := decode(sample(v4), nil)
	if s := r.step; err != nil || s.Kind != "SYN" || s.Src != "10.0.0.1:4660" || s.Dst != "10.0.0.2:80" || s.Dev != "eth0" || r.sequence != 9 || s.What != fact.StepQueued {
		t.Errorf("%+v, %v", r, err)
	}
	for _, short := range [][]byte{nil, v4[:19], v4[:24], v4[:30], {0x4f, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}, {0x60}} {
		if _, err := decode(sample(short), nil); !errors.Is(err, errShortRecord) {
			t.Errorf("%x: %v", short, err)
		}
	}
	if _, err := decode(make([]byte, recordSize-1), nil); !errors.Is(err, errShortRecord) {
		t.Errorf("short sample: %v", err)
	}
}

// FuzzDecode: what a pod sends is in the packet.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x45, 0, 0, 40}, uint32(reasonQueued), uint32(4))
	f.Add([]byte{0x60, 0, 0, 0, 0, 8, 58, 64}, uint32(2), uint32(1<<31))
	f.Fuzz(func(t *testing.T, packet []byte, reason, copied uint32) {
		b := sample(packet[:min(len(packet), packetBytes)])
		binary.NativeEndian.PutUint32(b[recordReason:], reason)
		binary.NativeEndian.PutUint32(b[recordCopied:], copied)
		r, err := decode(b, map[uint32]string{2: "NOT_SPECIFIED"})
		if err != nil {
			return
		}
		src := r.step.Src
		if at, err := netip.ParseAddrPort(src); err == nil {
			src = at.Addr().String()
		}
		if _, err := netip.ParseAddr(src); err != nil {
			t.Errorf("source %q", r.step.Src)
		}
	})
}
