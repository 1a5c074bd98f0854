package diagnose

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

// leastRepeated is in how many tries something has to be seen: one may be chance.
const leastRepeated = 2

// tries returns what several tries prove together.
func tries(t *fact.Tries) []fact.Finding {
	if t == nil {
		return nil
	}
	return append(someBackendsDead(t), packetsLost(t)...)
}

// someBackendsDead: NAT led some tries to backends at which no connection came about, and
// others to backends at which each did.
func someBackendsDead(t *fact.Tries) []fact.Finding {
	var dead, alive []string
	for _, b := range t.Backends {
		connected := b.OK + b.Failed
		switch {
		case !b.Translated:
		case connected == 0 && b.Unconnected >= leastRepeated:
			dead = append(dead, fmt.Sprintf("none of %d at %s", b.Unconnected, b.Address))
		case connected > 0 && b.Unconnected == 0:
			alive = append(alive, fmt.Sprintf("all %d at %s", connected, b.Address))
		}
	}
	if dead == nil || alive == nil {
		return nil
	}
	return finding(ServiceSomeBackendsDead, "of the tries that NAT led to a backend, %s connected, and %s", SomeOf(dead), SomeOf(alive))
}

// packetsLost: the target's kernel had to send segments again before they were
// acknowledged. For SYNs alone that may have another cause, such as a full accept queue.
func packetsLost(t *fact.Tries) []fact.Finding {
	syns := 0
	for _, n := range t.SYNRepeated {
		syns += n
	}
	var seen []string
	if t.DataRepeated > 0 {
		seen = append(seen, "data was sent again in "+plural(t.DataRepeated, "try", "tries"))
	}
	if syns > 0 {
		var after []string
		for _, seconds := range slices.Sorted(maps.Keys(t.SYNRepeated)) {
			after = append(after, fmt.Sprintf("%d after %s s", t.SYNRepeated[seconds], seconds))
		}
		seen = append(seen, fmt.Sprintf("%s only when the SYN was sent again (%s)", plural(syns, "try connected", "tries connected"), strings.Join(after, ", ")))
	}
	found := fmt.Sprintf("of %d tries: %s", t.Done, strings.Join(seen, ", and "))
	switch {
	case syns+t.DataRepeated < leastRepeated:
		return nil
	case t.DataRepeated == 0:
		return finding(TCPSynRetransmitted, "%s", found)
	}
	return finding(LossPackets, "%s; no acknowledgement came for what was sent first: packets are lost on the way there or back", found)
}

// OfTries reports whether a finding is one of several tries together.
func OfTries(code fact.Code) bool {
	return code == LossPackets || code == ServiceSomeBackendsDead || code == TCPSynRetransmitted
}
