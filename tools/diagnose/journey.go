package diagnose

import (
	"fmt"
	"net/netip"
	"slices"

	"nsenter-mcp/tools/fact"
)

// The kernel's drop reasons by which is judged (enum skb_drop_reason of
// include/net/dropreason-core.h).
const (
	dropNetfilter  = "NETFILTER_DROP"
	dropRPFilter   = "IP_RPFILTER"
	dropNeighbour  = "NEIGH_FAILED"
	dropOtherHost  = "OTHERHOST"
	dropNoSocket   = "NO_SOCKET"
	dropUnspecific = "NOT_SPECIFIED"
)

// droppedOnTheWay: the kernel says where on this node the last SYN, or the answer to
// it, was dropped, and why.
func (e explanation) droppedOnTheWay() bool {
	drop := fatalDrop(e.Journey)
	cause, text := drop.judge("the SYN", e.Address)
	if cause == "" {
		return false
	}
	outcome := fact.OutcomeTimeout
	if drop.Place == fact.PlaceTarget {
		outcome = fact.OutcomeBlockedLocally
	}
	e.set(outcome, cause, "%s", text)
	return true
}

// judge says what the drop of a packet that was sent to an address, or of the answer to
// it, proves; "" where that is nothing.
func (d *dropped) judge(packet, address string) (fact.Cause, string) {
	if d == nil {
		return "", ""
	}
	what := packet + " to " + address
	if d.Back {
		what = "the answer of " + address
	} else if d.translated(address) {
		what += ", translated to " + d.Dst + ","
	}
	here := d.Place == fact.PlaceTarget
	switch {
	case d.Reason == dropNetfilter && here && (d.Back || d.arrived):
		return fact.CausePodDropIn, fmt.Sprintf("%s is dropped by the target's own packet filter on its way in (%s)", what, d.by())
	case d.Reason == dropNetfilter && here:
		return fact.CausePodDropOut, fmt.Sprintf("%s is dropped by the target's own packet filter on its way out (%s)", what, d.by())
	case d.Reason == dropNetfilter && d.Place == fact.PlaceNode:
		return fact.CauseNodeDrop, fmt.Sprintf("%s is dropped by a packet filter of the node, on %s (%s)", what, d.Dev, d.by())
	case d.Reason == dropNetfilter && d.Place == fact.PlaceOther:
		return fact.CausePeerDrop, fmt.Sprintf("%s is dropped by a packet filter in another network on this node, on %s (%s)", what, d.Dev, d.by())
	case d.Reason == dropRPFilter && here:
		return fact.CauseReversePath, fmt.Sprintf("%s arrived at %s and is dropped by rp_filter: it came in by another interface than the route uses", what, d.Dev)
	case d.Reason == dropRPFilter:
		return fact.CauseReversePath, fmt.Sprintf("%s is dropped by rp_filter %s: it came in by another interface than the one by which its sender is reached", what, d.where())
	case d.Reason == dropNeighbour && !here && !d.Back:
		return fact.CauseNeighbourSilent, fmt.Sprintf("%s gets no further %s, which gets no link-layer address for it (%s)", what, d.where(), d.by())
	}
	return "", ""
}

// dropped is a step at which a packet ended.
type dropped struct {
	*fact.JourneyStep
	arrived bool // a device had received the packet there
}

// fatalDrop is the drop that ended the last SYN or datagram, or the answer to it; nil
// where none is known. A drop counts where nothing of the same way followed it: a frame
// that is flooded to all ports of a bridge is dropped by those whom it is not for. Where
// records are missing, what followed is not known.
func fatalDrop(j *fact.Journey) *dropped {
	if j == nil || j.Missed > 0 {
		return nil
	}
	steps := slices.DeleteFunc(slices.Clone(j.Last()), func(s fact.JourneyStep) bool {
		return s.Reason == dropOtherHost || s.Proto != "udp" && s.Kind != "SYN" && s.Kind != "SYN-ACK"
	})
	if len(steps) == 0 {
		return nil
	}
	last := &steps[len(steps)-1]
	if last.What != fact.StepDropped || last.Reason == dropUnspecific || last.Reason == dropNoSocket {
		return nil
	}
	arrived := len(steps) > 1 && steps[len(steps)-2].What == fact.StepReceived && steps[len(steps)-2].NetnsInode == last.NetnsInode
	return &dropped{last, arrived}
}

// where names the place of a drop.
func (d *dropped) where() string {
	place := map[string]string{fact.PlaceTarget: "in the target", fact.PlaceNode: "on the node", fact.PlaceOther: "in another network on this node"}[d.Place]
	if place == "" {
		place = "on this node"
	}
	if d.Dev != "" {
		place += ", at " + d.Dev
	}
	return place
}

// by is the kernel's own word.
func (d *dropped) by() string {
	if d.Function == "" {
		return d.Reason
	}
	return d.Reason + " in " + d.Function
}

// translated reports whether the destination was another one at the drop than address,
// which may lack the port.
func (d *dropped) translated(address string) bool {
	at, err := netip.ParseAddrPort(d.Dst)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(address); err == nil {
		return at.Addr() != ip
	}
	return at.String() != address
}
