package diagnose

import (
	"fmt"
	"slices"
	"strings"

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

	dropAddressErrors = "IP_INADDRERRORS"
	dropNoRouteIn     = "IP_INNOROUTES"
	dropNoRouteOut    = "IP_OUTNOROUTES"
)

// trail is the way of the last SYN or question of a probe on this node, and of the
// answers to it, as far as the kernel told.
type trail struct {
	*fact.Journey
	steps    []fact.JourneyStep // of the last one, with all that followed
	end      *dropped           // its last step or its answer's, a drop or not
	drop     *dropped           // end, where it is a drop for a known reason; else nil
	doubtful bool               // end may be another's than the packet's
	packet   string             // "the SYN" or "the question"
	address  string             // that was asked for, of a nameserver without the port
}

// newTrail reads a journey; nil where there is none to judge, as where records are
// missing: what followed a step is not known then.
func newTrail(j *fact.Journey, packet, address string) *trail {
	if j == nil || j.Missed > 0 || len(j.Steps) == 0 {
		return nil
	}
	way := j.Way()
	t := &trail{Journey: j, steps: j.Last(), end: endOf(way), packet: packet, address: address}
	if t.end == nil {
		return nil
	}
	if t.doubtful = !t.end.Back && doubtful(way); t.doubtful {
		return t
	}
	if t.end.What == fact.StepDropped && t.end.Reason != dropUnspecific && t.end.Reason != dropNoSocket {
		t.drop = t.end
	}
	return t
}

// trailRules say what a trail proves: a cause and its wording, "" for nothing. The
// first that says something is right, for connections and questions alike. What a rule
// needs beside the steps it takes from the facts of the journey.
var trailRules = [...]func(*trail) (fact.Cause, string){
	ownBackend,
	deadBackend,
	nobodyListens,
	wrongChecksum,
	packetFilter,
	notForwarding,
	routeRefuses,
	noReturn,
	acceptQueueFull,
	reversePathFilter,
	neighbourOnTheWay,
}

// judge is what the trail proves, by the first rule that says something.
func (t *trail) judge() (fact.Cause, string) {
	if t == nil {
		return "", ""
	}
	for _, rule := range trailRules {
		if cause, text := rule(t); cause != "" {
			return cause, text
		}
	}
	return "", ""
}

// endsInTarget reports whether the packet was dropped in the target itself.
func (t *trail) endsInTarget() bool { return t.drop != nil && t.drop.Place == fact.PlaceTarget }

// subject names the packet that ended, as it was there.
func (t *trail) subject() string { return t.subjectAt(t.end.JourneyStep) }

// subjectAt names the packet of a step, as it was there.
func (t *trail) subjectAt(s *fact.JourneyStep) string {
	switch {
	case s.Back:
		return "the answer of " + t.address
	case translated(s.Dst, t.address):
		return t.packet + " to " + t.address + ", translated to " + s.Dst + ","
	}
	return t.packet + " to " + t.address
}

// onTheWay: the kernel says what became of the last SYN, or of the answer to it, on this
// node.
func (e explanation) onTheWay() bool {
	t := newTrail(e.Journey, "the SYN", e.Address)
	cause, text := t.judge()
	if cause == "" {
		return false
	}
	outcome := e.Outcome
	if t.endsInTarget() && cause != fact.CauseReturned {
		outcome = fact.OutcomeBlockedLocally
	}
	e.set(outcome, cause, "%s", text)
	return true
}

// packetFilter: a packet filter dropped, and in whose network. One that refuses lets go of
// the packet for the same reason, and what it answers tells of it.
func packetFilter(t *trail) (fact.Cause, string) {
	d := t.drop
	if d == nil || d.Reason != dropNetfilter || t.refused() {
		return "", ""
	}
	switch d.Place {
	case fact.PlaceTarget:
		if d.Back || d.arrived {
			return fact.CausePodDropIn, fmt.Sprintf("%s is dropped by the target's own packet filter on its way in (%s)", t.subject(), d.by())
		}
		return fact.CausePodDropOut, fmt.Sprintf("%s is dropped by the target's own packet filter on its way out (%s)", t.subject(), d.by())
	case fact.PlaceNode:
		return fact.CauseNodeDrop, fmt.Sprintf("%s is dropped by a packet filter of the node, on %s (%s)", t.subject(), d.Dev, d.by())
	case fact.PlaceOther:
		return fact.CausePeerDrop, fmt.Sprintf("%s is dropped by a packet filter %s (%s)", t.subject(), d.where(), d.by())
	}
	return "", ""
}

// refused reports whether an ICMP error or a reset was sent back.
func (t *trail) refused() bool {
	return slices.ContainsFunc(t.steps, func(s fact.JourneyStep) bool { return s.Back && (s.Kind == "RST" || isICMPError(&s)) })
}

// isICMPError reports whether a step is of an ICMP error about the packet.
func isICMPError(s *fact.JourneyStep) bool {
	return strings.HasPrefix(s.Proto, "icmp") && s.Kind != "" && s.Kind != fact.KindEchoReply && s.Kind != fact.KindEchoRequest
}

// reversePathFilter: rp_filter dropped.
func reversePathFilter(t *trail) (fact.Cause, string) {
	switch {
	case t.drop == nil || t.drop.Reason != dropRPFilter:
		return "", ""
	case t.endsInTarget():
		return fact.CauseReversePath, fmt.Sprintf("%s arrived at %s and is dropped by rp_filter: it came in by another interface than the route uses", t.subject(), t.drop.Dev)
	}
	return fact.CauseReversePath, fmt.Sprintf("%s is dropped by rp_filter %s: it came in by another interface than the one by which its sender is reached", t.subject(), t.drop.where())
}

// dropped is a step at which a packet ended, or may have.
type dropped struct {
	*fact.JourneyStep
	arrived bool // a device had received the packet there
}

// leftOpen says how far the packet was seen on this node, where no rule knows more; "" where
// that is no farther than the target.
func (t *trail) leftOpen() string {
	if t == nil || t.doubtful || t.end.Place == "" || t.end.Place == fact.PlaceTarget && !t.end.Back {
		return ""
	}
	switch d := t.end; {
	case d.What == fact.StepDropped && !consumed(d):
		return fmt.Sprintf("%s was dropped %s (%s)", t.subject(), d.where(), d.by())
	case d.Back:
		return fmt.Sprintf("%s was last seen %s", t.subject(), d.where())
	case d.What == fact.StepQueued && d.Role == fact.RoleUplink:
		return fmt.Sprintf("%s left the node by %s", t.subject(), d.Dev)
	case d.What == fact.StepQueued:
		return fmt.Sprintf("%s was sent %s, and was not seen again", t.subject(), d.where())
	case d.Place == fact.PlaceOther:
		return fmt.Sprintf("%s arrived %s, and no answer was sent", t.subject(), d.where())
	default:
		return fmt.Sprintf("%s came in %s, and was not seen again", t.subject(), d.where())
	}
}

// consumed reports whether a drop is how a packet ends that was taken: TCP and UDP let go of
// one without a reason.
func consumed(d *dropped) bool {
	return d.Reason == dropUnspecific && (strings.HasPrefix(d.Function, "tcp_") || strings.HasPrefix(d.Function, "udp"))
}

// endOf is the last step of a way; nil for none. That it is a drop counts, as nothing of
// the same way followed it.
func endOf(way []fact.JourneyStep) *dropped {
	if len(way) == 0 {
		return nil
	}
	last := &way[len(way)-1]
	arrived := len(way) > 1 && way[len(way)-2].What == fact.StepReceived && way[len(way)-2].NetnsInode == last.NetnsInode
	return &dropped{last, arrived}
}

// doubtful reports whether the last step may be another's than the packet's: where it came
// to two networks of others, one of which may drop what is not for it by a rule of its own,
// and where it came back from one, whose owner can have the kernel duplicate packets.
func doubtful(steps []fact.JourneyStep) bool {
	var in uint64 // the network of others where it is
	left := false
	for _, s := range steps {
		switch {
		case s.Back:
		case s.Place != fact.PlaceOther:
			if left {
				return true
			}
		case s.What == fact.StepQueued:
			left, in = true, 0
		case in != 0 && in != s.NetnsInode:
			return true
		default:
			in = s.NetnsInode
		}
	}
	return in != 0 && in != steps[len(steps)-1].NetnsInode
}

// where names the place of a drop.
func (d *dropped) where() string {
	place := map[string]string{fact.PlaceTarget: "in the target", fact.PlaceNode: "on the node", fact.PlaceOther: "in another network on this node"}[d.Place]
	if d.Pod != "" {
		place = "in pod " + d.Pod
	}
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
