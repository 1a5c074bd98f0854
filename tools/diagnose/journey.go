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
	if drop == nil {
		return false
	}
	what := fmt.Sprintf("the SYN to %s", e.Address)
	if drop.Back {
		what = "the answer of " + e.Address
	}
	if at := drop.addressOf(); !drop.Back && at != e.Address {
		what += ", translated to " + at + ","
	}
	where := drop.where()
	switch {
	case drop.Reason == dropNetfilter && drop.Place == fact.PlaceTarget && (drop.Back || drop.arrived):
		e.set(fact.OutcomeBlockedLocally, fact.CausePodDropIn, "%s is dropped by the target's own packet filter on its way in (%s)", what, drop.by())
	case drop.Reason == dropNetfilter && drop.Place == fact.PlaceTarget:
		e.set(fact.OutcomeBlockedLocally, fact.CausePodDropOut, "%s is dropped by the target's own packet filter on its way out (%s)", what, drop.by())
	case drop.Reason == dropNetfilter && drop.Place == fact.PlaceNode:
		e.set(fact.OutcomeTimeout, fact.CauseNodeDrop, "%s is dropped by a packet filter of the node, on %s (%s)", what, drop.Dev, drop.by())
	case drop.Reason == dropNetfilter && drop.Place == fact.PlaceOther:
		e.set(fact.OutcomeTimeout, fact.CausePeerDrop, "%s is dropped by a packet filter in the network of another pod on this node, on %s (%s)", what, drop.Dev, drop.by())
	case drop.Reason == dropRPFilter && drop.Place == fact.PlaceTarget:
		e.set(fact.OutcomeBlockedLocally, fact.CauseReversePath, "%s arrived at %s and is dropped by rp_filter: it came in by another interface than the route uses", what, drop.Dev)
	case drop.Reason == dropRPFilter:
		e.set(fact.OutcomeTimeout, fact.CauseReversePath, "%s is dropped by rp_filter %s: it came in by another interface than the one by which its sender is reached", what, where)
	case drop.Reason == dropNeighbour && drop.Place != fact.PlaceTarget && !drop.Back:
		e.set(fact.OutcomeTimeout, fact.CauseNeighbourSilent, "%s gets no further %s, which gets no link-layer address for it (%s)", what, where, drop.by())
	default:
		return false
	}
	return true
}

// dropped is a step at which a packet ended.
type dropped struct {
	*fact.JourneyStep
	arrived bool // a device had received the packet there
}

// fatalDrop is the drop that ended the last SYN, or the answer to it; nil where none
// is known. A drop counts where nothing of the same way followed it: a frame that is
// flooded to all ports of a bridge is dropped by those whom it is not for.
func fatalDrop(j *fact.Journey) *dropped {
	if j == nil {
		return nil
	}
	steps := slices.DeleteFunc(slices.Clone(j.Last()), func(s fact.JourneyStep) bool {
		return s.Proto != "tcp" || s.Kind != "SYN" && s.Kind != "SYN-ACK" || s.Reason == dropOtherHost
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

// addressOf is the destination as it was at the drop.
func (d *dropped) addressOf() string {
	if at, err := netip.ParseAddrPort(d.Dst); err == nil {
		return at.String()
	}
	return d.Dst
}
