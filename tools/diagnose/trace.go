package diagnose

import (
	"fmt"

	"nsenter-mcp/tools/fact"
)

// Trace returns the faults that the journey of one packet proves, the gravest first, by
// the rules of a request. It sets the outcome and the reason.
func Trace(e *fact.TraceEvidence) []fact.Finding {
	findings := Fetch(&e.FetchEvidence)
	if e.Outcome == fact.OutcomeOK && len(e.Attempts) > 0 {
		e.Reason = e.Attempts[0].Why
	}
	return findings
}

// question explains a datagram or an echo that brought no answer. That nobody answers a
// datagram is no fault by itself.
func (e explanation) question() {
	t := newTrail(e.Journey, e.Packet, e.Address)
	kind := ""
	if e.Route != nil {
		kind = e.Route.Type
	}
	if cause, text := t.judge(); cause != "" {
		outcome := e.Outcome
		if t.endsInTarget() {
			outcome = fact.OutcomeBlockedLocally
		}
		e.set(outcome, cause, "%s", text)
		return
	}
	refusal := "an ICMP error"
	if from, what := icmpAnswer(e.Journey); from != "" {
		refusal = fmt.Sprintf("ICMP %s from %s", what, from)
	}
	switch {
	case e.Errno == "EPERM":
		e.set(fact.OutcomeBlockedLocally, fact.CauseUnknown, "the target's own kernel does not permit sending to %s: its packet filter, a BPF program or a security module", e.Address)
	case e.Errno == "ECONNREFUSED":
		e.set(fact.OutcomeRefused, fact.CauseUnknown, "%s came back: nothing listens at %s, or a packet filter refuses", refusal, e.Address)
	case e.Neigh.Failed():
		e.noNeighbour(fact.OutcomeUnreachable)
	case e.Errno != "ETIMEDOUT" && e.refusedByRoute(kind, "the target"):
	case e.Errno != "ETIMEDOUT":
		e.set(fact.OutcomeUnreachable, fact.CauseUnknown, "%s to %s ended with %s, by %s or by the target's own kernel", e.Packet, e.Address, e.Errno, refusal)
	case e.Route != nil && e.Route.OperState != "":
		e.linkDown()
	default:
		e.set(fact.OutcomeTimeout, fact.CauseUnknown, "no answer of %s within %s", e.Address, ms(e.MS))
	}
}

// icmpAnswer is the last ICMP error that came back, and who sent it; "" for none.
func icmpAnswer(j *fact.Journey) (from, what string) {
	if j == nil {
		return "", ""
	}
	for _, s := range j.Last() {
		if s.Back && s.Place == fact.PlaceTarget && isICMPError(&s) {
			from, what = s.Src, s.Kind
		}
	}
	return from, what
}
