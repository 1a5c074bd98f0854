package lookup

import (
	"fmt"
	"time"

	"nsenter-mcp/tools/fact"
)

// notable is the difference in waiting from which on another library is worth a
// word.
const notable = time.Second

// reportOthers names the libraries with which the application would get
// something else, or in another order, or would get it much later. from may be
// nil: the order is then not known.
func (l *run) reportOthers(out *fact.DNSLookup, own play, from *sources) {
	if l.readers[0].conf.NoAAAA {
		return // they do not know the option and ask for AAAA, which nobody did
	}
	for _, p := range l.readers[1:] {
		if p.conf.UseVC != l.readers[0].conf.UseVC {
			continue // it would ask over UDP, and only TCP was measured
		}
		plays := l.plays(p, l.seen)
		other := plays[choose(plays)]
		if from != nil {
			other.Addresses = from.sorted(p.flavour, other.Addresses)
		}
		if other.Pending || !differs(own, other) && !otherFamilyFirst(own, other) {
			continue
		}
		row := fact.DNSOther{
			Library: string(p.flavour), Outcome: string(other.Outcome), Name: other.Name,
			WaitMS: milliseconds(other.Wait), WaitIsForever: other.Forever, Why: l.why(p, own, other),
		}
		for _, ip := range other.Addresses[:min(len(other.Addresses), maxShownAddresses)] {
			row.Addresses = append(row.Addresses, ip.String())
		}
		out.Others = append(out.Others, row)
	}
}

// differs compares what an application sees: addresses, "no such name", or
// "could not find out", and how long it takes.
func differs(a, b play) bool {
	if a.Outcome != b.Outcome && (!a.Outcome.notFound() || !b.Outcome.notFound()) {
		answered := a.Outcome == OutcomeAnswered || b.Outcome == OutcomeAnswered
		found := a.Outcome.notFound() || b.Outcome.notFound()
		if answered || found {
			return true
		}
	}
	if !sameAddresses(a.Addresses, b.Addresses) || a.Forever != b.Forever {
		return true
	}
	return !a.Forever && (a.Wait-b.Wait >= notable || b.Wait-a.Wait >= notable)
}

// otherFamilyFirst: the application would connect over the other IP version.
func otherFamilyFirst(a, b play) bool {
	return len(a.Addresses) > 0 && len(b.Addresses) > 0 && a.Addresses[0].Is4() != b.Addresses[0].Is4()
}

// why names the rule of the other library that makes the difference, where one
// is plain to see.
func (l *run) why(p *reader, own, other play) string {
	name := libraryName(p.flavour)
	mine := l.readers[0]
	switch {
	case !differs(own, other):
		return name + " puts addresses into another order (RFC 6724 instead of RFC 3484): its first is of the other IP version"
	case own.source == "hosts" && other.source != "hosts":
		return name + " does not find the name in the hosts file, which it reads in another way"
	case other.source == "hosts" && own.source != "hosts":
		return name + " takes the name from the hosts file"
	case !sameServers(&mine.conf, &p.conf):
		return name + " reads other nameservers from the file"
	case p.flavour == Musl:
		return l.whyMusl(mine, own, other)
	case p.unasked && !mine.unasked:
		return name + " does not ask DNS for such a name"
	case p.flavour == Go && (other.Outcome == OutcomeAnswered || other.Wait > own.Wait):
		return "Go goes on with the next name and the next server after every failure"
	}
	return ""
}

func (l *run) whyMusl(mine *reader, own, other play) string {
	switch {
	case own.Outcome == OutcomeAnswered && own.Domain != "" && l.readersPlan(Musl).first:
		return fmt.Sprintf("musl does not use the search list for a name with %d dots or more (ndots)", max(mine.conf.Ndots, 1))
	case own.Outcome == OutcomeAnswered && other.Outcome == OutcomeTimeout && other.Name == own.Name:
		return "musl fails where one of A and AAAA stays without an answer"
	case other.Outcome == OutcomeNoData && own.Name != other.Name:
		return "musl stops at the first name that exists, also without an address"
	case own.Outcome == OutcomeAnswered && !other.Outcome.notFound():
		return "musl goes on to the next name only when a name does not exist, not after a failure"
	case other.Outcome == OutcomeAnswered && own.Outcome != OutcomeAnswered:
		return "musl asks all nameservers at once and takes the first answer"
	case own.Wait > other.Wait:
		return "musl asks all nameservers at once"
	case other.Wait > own.Wait:
		return "musl does not notice that a nameserver is unreachable or refuses, and waits"
	}
	return ""
}

func (l *run) readersPlan(f Flavour) plan {
	for _, p := range l.readers {
		if p.flavour == f {
			return p.plan
		}
	}
	return plan{}
}

func libraryName(f Flavour) string {
	if f == Go {
		return "Go"
	}
	return string(f)
}

func sameServers(a, b *Conf) bool {
	if a.Defaulted && b.Defaulted {
		return true // each library's own
	}
	if len(a.Servers) != len(b.Servers) {
		return false
	}
	for i := range a.Servers {
		if a.Servers[i] != b.Servers[i] {
			return false
		}
	}
	return true
}
