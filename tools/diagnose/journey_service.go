package diagnose

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

// deadBackend: NAT leads to an address that nobody on its link has, or whose owner is
// silent.
func deadBackend(t *trail) (fact.Cause, string) {
	hop := t.NextHop
	i := slices.IndexFunc(t.steps, func(s fact.JourneyStep) bool {
		return isUnresolved(&s) && s.Place == fact.PlaceNode && !s.Back && translated(s.Dst, t.address)
	})
	if i < 0 || hop == nil || hop.Dst != hostOf(t.steps[i].Dst) || t.answered() {
		return "", ""
	}
	s := &t.steps[i]
	return fact.CauseDeadBackend, fmt.Sprintf("%s to %s is translated to %s, which does not answer on its link: the node gets no link-layer address for %s on %s (%s)",
		t.packet, t.address, s.Dst, hop.Dst, s.Dev, (&dropped{JourneyStep: s}).by())
}

// ownBackend: NAT leads back to the pod that asks, and its packet does not come back to
// it, or comes back under its own address.
func ownBackend(t *trail) (fact.Cause, string) {
	own := hostOf(t.steps[0].Src)
	for i := range t.steps {
		s := &t.steps[i]
		if s.Back || hostOf(s.Dst) != own || !translated(s.Dst, t.address) || t.answered() {
			continue
		}
		switch {
		case s.What == fact.StepDropped && s.Place == fact.PlaceNode && s.Reason == dropUnspecific && strings.HasPrefix(s.Function, "br_"):
			return fact.CauseHairpin, fmt.Sprintf("%s to %s is translated to %s, the target's own address, and the node's bridge drops it at %s (%s): "+
				"the bridge sends nothing back by the port that it came from (hairpin mode)", t.packet, t.address, s.Dst, s.Dev, s.Function)
		case s.Place == fact.PlaceTarget && s.What != fact.StepQueued && hostOf(s.Src) == own:
			return fact.CauseReturned, fmt.Sprintf("%s to %s came back, sent on to %s: "+
				"nobody masquerades the connection, so that it comes from the target's own address", t.packet, t.address, s.Dst)
		}
	}
	return "", ""
}

// isUnresolved reports whether a packet was dropped because its next hop answers neither
// ARP nor neighbour discovery. Kernels give no reason for IPv6 (ndisc_error_report in
// net/ipv6/ndisc.c, which neigh_invalidate in net/core/neighbour.c calls).
func isUnresolved(s *fact.JourneyStep) bool {
	return s.What == fact.StepDropped && (s.Reason == dropNeighbour ||
		s.Reason == dropUnspecific && slices.Contains([]string{"neigh_invalidate", "ndisc_error_report", "arp_error_report"}, s.Function))
}

// untranslated: the node looked for a way to a service's own address, so that its NAT,
// which comes before, does not know the service. Its endpoints are ready.
func untranslated(s *fact.Service, t *trail, host bool) []fact.Finding {
	if s == nil || t == nil || s.Missing || s.Headless || s.ByNodePort || s.EndpointsUnknown || hostOf(t.address) != s.ClusterIP || t.answered() {
		return nil
	}
	if port := s.Port(); port == nil || port.Ready == 0 {
		return nil
	}
	node := fact.PlaceNode
	if host {
		node = fact.PlaceTarget
	}
	var on *dropped
	for i := range t.steps {
		step := &t.steps[i]
		switch {
		case step.Back:
		case translated(step.Dst, t.address):
			return nil
		case step.Place == node && (step.What == fact.StepQueued || isRoutingDrop(step.Reason)):
			on = &dropped{JourneyStep: step}
		}
	}
	if on == nil {
		return nil
	}
	how := "leaves the node by " + on.Dev
	if on.What == fact.StepDropped {
		how = "is dropped " + on.where() + " (" + on.by() + ")"
	}
	return finding(ServiceNoDNAT, "%s to %s %s with the address of %s untranslated: the node's NAT does not know the service, which has %s ready",
		t.packet, t.address, how, nameOf(s), plural(s.Ready, "endpoint", "endpoints"))
}

// isRoutingDrop reports whether a reason is one of routing, which follows NAT of the
// destination.
func isRoutingDrop(reason string) bool {
	return slices.Contains([]string{dropNoRouteIn, dropNoRouteOut, dropAddressErrors, dropNeighbour}, reason)
}

// answered reports whether anything but an ICMP error came back.
func (t *trail) answered() bool {
	return slices.ContainsFunc(t.steps, func(s fact.JourneyStep) bool { return s.Back && !strings.HasPrefix(s.Proto, "icmp") })
}

// translated reports whether a destination is another one than the address that was
// asked for, which may lack the port.
func translated(dst, asked string) bool {
	at, err := netip.ParseAddrPort(dst)
	if err != nil {
		return false
	}
	if ip, err := netip.ParseAddr(asked); err == nil {
		return at.Addr() != ip
	}
	return at.String() != asked
}

// nobodyListens: the kernel of the destination knows no socket for the SYN. In the target
// itself its own sockets tell more.
func nobodyListens(t *trail) (fact.Cause, string) {
	d := t.end
	if d.What != fact.StepDropped || d.Reason != dropNoSocket || d.Kind != "SYN" || d.Back || d.Place == fact.PlaceTarget {
		return "", ""
	}
	text := fmt.Sprintf("%s arrived %s, where ", t.subject(), d.where())
	if t.End == nil || t.End.Listeners == nil {
		return fact.CauseNoListener, text + "nothing takes it (" + d.by() + ")"
	}
	on := onPort(t.End.Listeners, d.Dst)
	switch {
	case listensOn(t.End.Listeners, d.Dst): // began only now
		return "", ""
	case len(t.End.Listeners) == 0:
		return fact.CauseNoListener, text + "nothing listens on any TCP port"
	case len(on) == 0:
		return fact.CauseNoListener, fmt.Sprintf("%snothing listens on port %s, but on %s", text, portOf(d.Dst), some(t.End.Listeners))
	case !slices.ContainsFunc(on, isNoLoopback):
		return fact.CauseLoopbackOnly, fmt.Sprintf("%sport %s is listened on only at %s", text, portOf(d.Dst), strings.Join(on, ", "))
	}
	return fact.CauseNoListener, fmt.Sprintf("%sport %s is listened on only at %s", text, portOf(d.Dst), strings.Join(on, ", "))
}

// acceptQueueFull: the SYN arrived, and what listens there has no room for it. The kernel
// drops it without a word (tcp_conn_request in net/ipv4/tcp_input.c).
func acceptQueueFull(t *trail) (fact.Cause, string) {
	d := t.end
	if d.What == fact.StepQueued || d.What == fact.StepDropped && d.Reason != dropUnspecific || d.Kind != "SYN" || d.Back || t.End == nil || !t.End.Queue.Full() {
		return "", ""
	}
	return fact.CauseAcceptQueue, fmt.Sprintf("%s arrived %s, where the listener's accept queue is full (%d wait): the application does not accept",
		t.subject(), d.where(), t.End.Queue.Waiting)
}

// wrongChecksum: the kernel that should have taken the packet found it damaged.
func wrongChecksum(t *trail) (fact.Cause, string) {
	if t.drop == nil || !slices.Contains([]string{"TCP_CSUM", "UDP_CSUM", "IP_CSUM"}, t.drop.Reason) {
		return "", ""
	}
	return fact.CauseChecksum, fmt.Sprintf("%s arrived %s, with a wrong checksum, and is dropped (%s)", t.subject(), t.drop.where(), t.drop.by())
}
