package attempt

import (
	"net/netip"
	"slices"

	"nsenter-mcp/tools/fact"
)

// flows are the connections of which segments with SYN were seen at the
// interfaces, to or from one local port. It may serve several connections at a
// time, each to another destination, and where packets are forwarded, those of
// others. NAT keeps sequence numbers, so a connection is known by that of its SYN,
// whatever addresses it goes by.
type flows struct {
	local, to netip.AddrPort // the connection that is looked for, without zones
	// clock is what that connection would write into the timestamp option of a SYN
	// now. A random offset, chosen for its two addresses before any NAT, sets it
	// apart from others'; not ok is none.
	clock func() (now uint32, ok bool)

	syns    []sighting // by sequence number
	answers []sighting // SYN-ACKs, by the number that they acknowledge
	// There were more than maxFlows of them.
	missedSYNs, missedAnswers bool
}

// maxFlows bounds how many connections of one port are told apart.
const maxFlows = 64

// sighting counts segments that are the same but for the time.
type sighting struct {
	number uint32
	to     netip.AddrPort // of the first
	index  int            // interface of the first; 0 is none
	count  int
	whose  identity
}

// identity says whether a SYN is the connection's that is looked for.
type identity int

const (
	unknown   identity = iota
	rewritten          // it is, though its addresses are others
	same
)

// add counts a segment with SYN. One that passes several interfaces of the
// namespace (a bridge and its port) counts at the first.
func (f *flows) add(seg *segment, index int, outgoing bool) {
	port := f.local.Port()
	switch {
	case outgoing && seg.src.Port() == port && !seg.has(flagACK):
		s := sightingOf(&f.syns, seg.seq, seg.dst, index)
		switch {
		case s == nil:
			f.missedSYNs = true
		case s.index == index:
			s.count++
			s.whose = max(s.whose, f.identify(seg))
		}
	case !outgoing && seg.dst.Port() == port && seg.has(flagSYN|flagACK):
		s := sightingOf(&f.answers, seg.ack, seg.dst, index)
		switch {
		case s == nil:
			f.missedAnswers = true
		case s.index == index:
			s.count++
		}
	}
}

// sightingOf finds or makes that of a number; nil where there are too many.
func sightingOf(list *[]sighting, number uint32, to netip.AddrPort, index int) *sighting {
	if i := slices.IndexFunc(*list, func(s sighting) bool { return s.number == number }); i >= 0 {
		return &(*list)[i]
	}
	if len(*list) == maxFlows {
		return nil
	}
	*list = append(*list, sighting{number: number, to: to, index: index})
	return &(*list)[len(*list)-1]
}

// identify says whose a SYN is.
func (f *flows) identify(seg *segment) identity {
	if sameFlow(seg.src, seg.dst, f.local, f.to) {
		return same
	}
	// The offset is the same for all ports of an address.
	if !seg.stamped || seg.dst.Addr() == f.to.Addr().WithZone("") {
		return unknown
	}
	// Read a little later than sent, in milliseconds; the kernel may clear the last bit
	// of what it tells. By chance that is so for one of 32,768.
	const slack, delay = 2, 1 << 17
	if now, ok := f.clock(); ok && now-seg.stamp+slack < delay {
		return rewritten
	}
	return unknown
}

// mine returns what was seen of the connection that is looked for, and the
// interface by which its SYNs left, 0 for none. It is nil where there were other
// connections, and none that can be told to be this one.
func (f *flows) mine() (wire *fact.Wire, index int) {
	best := same
	if !slices.ContainsFunc(f.syns, func(s sighting) bool { return s.whose == same }) {
		best = rewritten
	}
	wire = &fact.Wire{}
	for i := range f.syns {
		s := &f.syns[i]
		if s.whose != best {
			continue
		}
		if wire.SYNOut > 0 {
			return nil, 0 // two that look like it
		}
		wire.SYNOut, index = s.count, s.index
		if best == rewritten {
			wire.SentTo = s.to.String()
		}
		for _, answer := range f.answers {
			if answer.number == s.number+1 {
				wire.SYNACKIn = answer.count
			}
		}
	}
	if wire.SYNOut == 0 && (len(f.syns) > 0 || f.missedSYNs) {
		return nil, 0
	}
	if wire.SYNACKIn == 0 && f.missedAnswers {
		return nil, 0 // it may have been one of them
	}
	return wire, index
}
