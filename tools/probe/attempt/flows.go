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

	syns     []sighting // by sequence number
	answers  []sighting // SYN-ACKs, by the number that they acknowledge
	returned []sighting // SYNs that came in from local to its own address, by sequence number
	// There were more than maxFlows of them.
	missedSYNs, missedAnswers bool
}

// maxFlows bounds how many connections of one port are told apart.
const maxFlows = 64

// frame is a segment as an interface showed it.
type frame struct {
	segment
	index             int  // of the interface
	outgoing, foreign bool // foreign: for another link-layer address
}

// sighting counts segments that are the same but for the time.
type sighting struct {
	number   uint32
	from, to netip.AddrPort // of the first
	index    int            // interface of the first; 0 is none
	count    int
	foreign  bool // none was for this namespace's link-layer addresses
	whose    identity
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
func (f *flows) add(at *frame) {
	seg, port := &at.segment, f.local.Port()
	switch {
	case at.outgoing && seg.src.Port() == port && !seg.has(flagACK):
		s := count(&f.syns, seg.seq, at)
		if s == nil {
			f.missedSYNs = true
		} else if s.index == at.index {
			s.whose = max(s.whose, f.identify(seg))
		}
	case !at.outgoing && seg.dst.Port() == port && seg.has(flagSYN|flagACK):
		if count(&f.answers, seg.ack, at) == nil {
			f.missedAnswers = true
		}
	case !at.outgoing && at.index != loopbackIndex && !seg.has(flagACK) &&
		seg.src == bare(f.local) && seg.dst.Addr() == seg.src.Addr():
		count(&f.returned, seg.seq, at)
	}
}

// count finds or makes the sighting of a number, and counts; nil where there are
// too many.
func count(list *[]sighting, number uint32, at *frame) *sighting {
	i := slices.IndexFunc(*list, func(s sighting) bool { return s.number == number })
	if i < 0 {
		if len(*list) == maxFlows {
			return nil
		}
		i = len(*list)
		*list = append(*list, sighting{number: number, from: at.src, to: at.dst, index: at.index, foreign: true})
	}
	s := &(*list)[i]
	s.foreign = s.foreign && at.foreign
	if s.index == at.index {
		s.count++
	}
	return s
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
func (f *flows) mine() (found *observed, index int) {
	best := same
	if !slices.ContainsFunc(f.syns, func(s sighting) bool { return s.whose == same }) {
		best = rewritten
	}
	wire := &fact.Wire{}
	found = &observed{wire: wire}
	for i := range f.syns {
		s := &f.syns[i]
		if s.whose != best {
			continue
		}
		if wire.SYNOut > 0 {
			return nil, 0 // two that look like it
		}
		wire.SYNOut, index, found.number = s.count, s.index, s.number
		if best == rewritten {
			found.sentTo = s.to
		}
		for _, answer := range f.answers {
			if answer.number != s.number+1 {
				continue
			}
			wire.SYNACKIn, wire.OtherMAC = answer.count, answer.foreign
			if answer.from != s.to {
				wire.AnswerFrom = answer.from.String()
			}
		}
		for _, back := range f.returned {
			if back.number == s.number {
				wire.Returned = back.to.String()
			}
		}
	}
	if wire.SYNOut == 0 && (len(f.syns) > 0 || f.missedSYNs) {
		return nil, 0
	}
	if wire.SYNACKIn == 0 && f.missedAnswers {
		return nil, 0 // it may have been one of them
	}
	return found, index
}

// observed is what was seen of a connection at the interfaces.
type observed struct {
	wire   *fact.Wire
	number uint32         // the sequence number of the SYN, valid where one left
	sentTo netip.AddrPort // where the namespace's own NAT sent it, zero for nowhere else
}
