package lookup

import (
	"fmt"
	"slices"
	"time"

	"nsenter-mcp/tools/fact"
)

// notable is the difference in waiting from which on another library is worth a
// word.
const notable = time.Second

// reportOthers names the libraries with which the application would get
// something else, or in another order, or would get it much later. results are
// those of the readers.
func (l *run) reportOthers(out *fact.DNSLookup, results []play) {
	if l.readers[0].conf.Flags[noAAAA] {
		return // they do not know the option and ask for AAAA, which nobody did
	}
	own := results[0]
	for i, p := range l.readers {
		other := results[i]
		if p.conf.Flags[useVC] != l.readers[0].conf.Flags[useVC] {
			continue // it would ask over UDP, and only TCP was measured
		}
		same := sameResult(own, other)
		if other.Pending || same && sameWait(own, other) {
			continue
		}
		if j := slices.IndexFunc(l.readers, func(r *reader) bool { return r.flavour == Musl }); p.flavour == OldMusl && j >= 0 && sameResult(results[j], other) {
			continue // told for all musl
		}
		out.Others = append(out.Others, fact.DNSOther{
			Library: string(p.flavour), Outcome: string(other.Outcome), Name: other.Name, Addresses: texts(other.Addresses),
			WaitMS: milliseconds(other.Wait), WaitIsForever: other.Forever, SameResult: same, Why: l.why(p, own, other),
		})
	}
}

// sameResult compares what an application sees: addresses and whose come first, "no
// such name", or "could not find out".
func sameResult(a, b play) bool {
	kind := func(o Outcome) string {
		switch {
		case o == OutcomeAnswered:
			return "answered"
		case o.notFound():
			return "not found"
		}
		return "failed"
	}
	return kind(a.Outcome) == kind(b.Outcome) && sameAddresses(a.Addresses, b.Addresses) && !otherFamilyFirst(a, b)
}

func sameWait(a, b play) bool {
	return a.Forever == b.Forever && (a.Forever || (a.Wait-b.Wait).Abs() < notable)
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
	case otherFamilyFirst(own, other) && sameAddresses(own.Addresses, other.Addresses):
		return name + " puts addresses into another order (RFC 6724 instead of RFC 3484): its first is of the other IP version"
	case own.source == "hosts" && other.source != "hosts":
		return name + " does not find the name in the hosts file, which it reads in another way"
	case other.source == "hosts" && own.source != "hosts":
		return name + " takes the name from the hosts file"
	case !sameServers(&mine.conf, &p.conf):
		return name + " reads other nameservers from the file"
	case p.flavour.isMusl():
		return whyMusl(mine, p, own, other)
	case p.unasked && !mine.unasked:
		return name + " does not ask DNS for such a name"
	case p.flavour == Go && (other.Outcome == OutcomeAnswered || other.Wait > own.Wait):
		return "Go goes on with the next name and the next server after every failure"
	}
	return ""
}

func whyMusl(mine, p *reader, own, other play) string {
	switch {
	case other.TwoDots:
		return `musl before 1.2.4 makes a name with two final dots of "search .", and gives up when nobody answers that`
	case own.Outcome == OutcomeAnswered && other.Outcome == OutcomeNXDomain && own.Name == other.Name:
		return "musl takes NXDOMAIN for one of A and AAAA for both"
	case own.Outcome == OutcomeAnswered && own.Domain != "" && p.plan.first:
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

func libraryName(f Flavour) string {
	if f == Go {
		return "Go"
	}
	return string(f)
}

func sameServers(a, b *Conf) bool {
	return a.Defaulted && b.Defaulted || slices.Equal(a.Servers, b.Servers) // by default each has its own
}
