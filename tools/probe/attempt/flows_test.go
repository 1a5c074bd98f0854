package attempt

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"nsenter-mcp/tools/fact"
)

// seen is a frame as a packet socket shows it.
type seen struct {
	packet   []byte
	outgoing bool
	index    int
	foreign  bool
}

const eth0, bridge = 2, 3

// syn is a SYN that leaves by eth0. A clock of 0 writes no timestamp.
func syn(src, dst netip.AddrPort, seq, clock uint32) seen {
	packet := tcp4(src, dst, flagSYN)
	if clock != 0 {
		// As Linux writes it: maximum segment size, SACK permitted, timestamps.
		packet = append(packet, 2, 4, 0x05, 0xb4, 4, 2, 8, 10)
		packet = binary.BigEndian.AppendUint32(packet, clock)
		packet = append(packet, 0, 0, 0, 0, 1, 3, 3, 7)
		packet[20+12] = 10 << 4
	}
	binary.BigEndian.PutUint32(packet[20+4:], seq)
	return seen{packet, true, eth0, false}
}

// synACK is an answer that comes in by eth0.
func synACK(src, dst netip.AddrPort, ack uint32) seen {
	packet := tcp4(src, dst, flagSYN|flagACK)
	binary.BigEndian.PutUint32(packet[20+4:], 7777)
	binary.BigEndian.PutUint32(packet[20+8:], ack)
	return seen{packet, false, eth0, false}
}

func (s seen) by(index int) seen { s.index = index; return s }

// incoming makes a SYN one that comes in.
func (s seen) incoming() seen { s.outgoing = false; return s }

func (s seen) toOtherMAC() seen { s.foreign = true; return s }

func TestFlowsOfOnePort(t *testing.T) {
	t.Parallel()
	const mine, others, now = 0xffffffff, 5000, 1_000_000
	other4 := netip.MustParseAddrPort("198.51.100.7:443")
	backend4 := netip.MustParseAddrPort("10.0.0.9:8080")
	many := make([]seen, 0, 2*maxFlows)
	answers := make([]seen, 0, maxFlows)
	for i := range cap(many) {
		many = append(many, syn(client4, other4, others+uint32(i), 0))
	}
	for i := range cap(answers) {
		answers = append(answers, synACK(other4, netip.MustParseAddrPort("10.9.9.9:40000"), others+uint32(i)))
	}
	for _, c := range []struct {
		name    string
		noClock bool
		frames  []seen
		want    *fact.Wire
		dev     int
		sentTo  string
	}{
		{"nothing", false, nil, &fact.Wire{}, 0, ""},
		{"sent and answered", false, []seen{syn(client4, server4, mine, 0), synACK(server4, client4, 0)}, &fact.Wire{SYNOut: 1, SYNACKIn: 1}, eth0, ""},
		{"another is answered between two of ours", false, []seen{
			syn(client4, server4, mine, 0), syn(client4, other4, others, 0), synACK(other4, client4, others+1), syn(client4, server4, mine, 0),
		}, &fact.Wire{SYNOut: 2}, eth0, ""},
		{"ours is answered between two of another", false, []seen{
			syn(client4, other4, others, 0), syn(client4, server4, mine, 0), synACK(server4, client4, 0), syn(client4, other4, others, 0),
		}, &fact.Wire{SYNOut: 1, SYNACKIn: 1}, eth0, ""},
		{"an answer before what was sent again", false, []seen{synACK(server4, client4, 0), syn(client4, server4, mine, 0)},
			&fact.Wire{SYNOut: 1, SYNACKIn: 1}, eth0, ""},
		{"an answer of an earlier connection", false, []seen{syn(client4, server4, mine, 0), synACK(server4, client4, 99)}, &fact.Wire{SYNOut: 1}, eth0, ""},
		{"an answer, and nothing sent meanwhile", false, []seen{synACK(server4, client4, 0)}, &fact.Wire{}, 0, ""},
		{"another's only", false, []seen{syn(client4, other4, others, 77), synACK(other4, client4, others+1)}, nil, 0, ""},
		{"two of others", true, []seen{syn(client4, other4, others, now), syn(client4, backend4, mine, now)}, nil, 0, ""},
		{"forwarded from the same port", false, []seen{
			syn(netip.MustParseAddrPort("10.9.9.9:40000"), server4, others, 77), syn(client4, server4, mine, now),
		}, &fact.Wire{SYNOut: 1}, eth0, ""},
		{"rewritten, by the clock", false, []seen{
			syn(client4, other4, others, 77), syn(client4, backend4, mine, now-5), synACK(other4, client4, others+1), syn(client4, backend4, mine, now),
		}, &fact.Wire{SYNOut: 2}, eth0, "10.0.0.9:8080"},
		{"rewritten and answered by whom it was sent on to", false, []seen{
			syn(client4, backend4, mine, now+1), synACK(backend4, client4, 0), syn(client4, other4, others, 77),
		}, &fact.Wire{SYNOut: 1, SYNACKIn: 1}, eth0, "10.0.0.9:8080"},
		{"rewritten, without clocks", true, []seen{syn(client4, backend4, mine, now)}, nil, 0, ""},
		{"two with that clock", false, []seen{syn(client4, backend4, mine, now), syn(client4, other4, others, now)}, nil, 0, ""},
		{"another port of the same address has that clock too", false,
			[]seen{syn(client4, netip.AddrPortFrom(server4.Addr(), 81), others, now)}, nil, 0, ""},
		{"the address decides before the clock", false, []seen{syn(client4, backend4, others, now), syn(client4, server4, mine, 77)},
			&fact.Wire{SYNOut: 1}, eth0, ""},
		{"two interfaces of the namespace", false, []seen{
			syn(client4, server4, mine, 0).by(bridge), syn(client4, server4, mine, 0).by(eth0),
			synACK(server4, client4, 0).by(eth0), synACK(server4, client4, 0).by(bridge),
		}, &fact.Wire{SYNOut: 1, SYNACKIn: 1}, bridge, ""},
		{"answered by another address", false, []seen{syn(client4, server4, mine, 0), synACK(backend4, client4, 0)},
			&fact.Wire{SYNOut: 1, SYNACKIn: 1, AnswerFrom: "10.0.0.9:8080"}, eth0, ""},
		{"rewritten, and answered by the address that was asked", false, []seen{syn(client4, backend4, mine, now), synACK(server4, client4, 0)},
			&fact.Wire{SYNOut: 1, SYNACKIn: 1, AnswerFrom: server4.String()}, eth0, "10.0.0.9:8080"},
		{"answered to another MAC address", false, []seen{syn(client4, server4, mine, 0), synACK(server4, client4, 0).toOtherMAC()},
			&fact.Wire{SYNOut: 1, SYNACKIn: 1, OtherMAC: true}, eth0, ""},
		{"a port of a bridge has another MAC address", false, []seen{
			syn(client4, server4, mine, 0).by(bridge), synACK(server4, client4, 0).toOtherMAC(), synACK(server4, client4, 0).by(bridge),
		}, &fact.Wire{SYNOut: 1, SYNACKIn: 1}, bridge, ""},
		{"the SYN comes back, with the own address", false, []seen{
			syn(client4, server4, mine, 0), syn(client4, netip.AddrPortFrom(client4.Addr(), 8080), mine, 0).incoming(),
		}, &fact.Wire{SYNOut: 1, Returned: netip.AddrPortFrom(client4.Addr(), 8080).String()}, eth0, ""},
		{"another SYN comes back", false, []seen{
			syn(client4, server4, mine, 0), syn(client4, netip.AddrPortFrom(client4.Addr(), 8080), others, 0).incoming(),
		}, &fact.Wire{SYNOut: 1}, eth0, ""},
		{"a SYN to itself comes in by lo", false, []seen{
			syn(client4, server4, mine, 0).by(loopbackIndex), syn(client4, netip.AddrPortFrom(client4.Addr(), 8080), mine, 0).incoming().by(loopbackIndex),
		}, &fact.Wire{SYNOut: 1}, loopbackIndex, ""},
		{"the SYN is forwarded again", false, []seen{
			syn(client4, server4, mine, 0), syn(client4, backend4, mine, 0).incoming(),
		}, &fact.Wire{SYNOut: 1}, eth0, ""},
		{"more than are told apart", false, append(many, syn(client4, server4, mine, 0)), nil, 0, ""},
		{"answers, more than are told apart", false, append(append([]seen{syn(client4, server4, mine, 0)}, answers...), synACK(server4, client4, 0)), nil, 0, ""},
		{"our answer before all those", false, append([]seen{syn(client4, server4, mine, 0), synACK(server4, client4, 0)}, answers...), &fact.Wire{SYNOut: 1, SYNACKIn: 1}, eth0, ""},
		{"ours, and more than are told apart", false, append([]seen{syn(client4, server4, mine, 0)}, many...), &fact.Wire{SYNOut: 1}, eth0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := flows{local: client4, to: server4, clock: func() (uint32, bool) { return now, !c.noClock }}
			for _, s := range c.frames {
				seg, ok := parseSegment(s.packet)
				if !ok {
					t.Fatalf("% x is not taken for a segment", s.packet)
				}
				f.add(&frame{segment: seg, index: s.index, outgoing: s.outgoing, foreign: s.foreign})
			}
			found, dev := f.mine()
			var got *fact.Wire
			sentTo := ""
			if found != nil {
				got = found.wire
			}
			if found != nil && found.sentTo.IsValid() {
				sentTo = found.sentTo.String()
			}
			if (got == nil) != (c.want == nil) || got != nil && *got != *c.want || dev != c.dev || sentTo != c.sentTo {
				t.Errorf("%+v by %d to %q; want %+v by %d to %q", got, dev, sentTo, c.want, c.dev, c.sentTo)
			}
		})
	}
}
