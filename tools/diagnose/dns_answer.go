package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

// aaaaTimeout: a server that answers A and never AAAA.
func aaaaTimeout(l *fact.DNSLookup) []fact.Finding {
	for _, g := range byServer(l) {
		for _, t := range g.tries {
			if t.Beside || t.Types["AAAA"] != "timeout" || !isResponse(t.Types["A"]) {
				continue
			}
			text := fmt.Sprintf("nameserver %s answers A for %s and not AAAA", g.server, t.Name)
			if l.AppWaitMS >= slowLookupMS {
				text += fmt.Sprintf("; the application waits %.1f s for that answer", l.AppWaitMS/1000)
			}
			return finding(DNSAAAATimeout, "%s", text)
		}
	}
	return nil
}

// contradiction: one server has the name and another denies it. What the
// application gets depends on whom it asks.
func contradiction(l *fact.DNSLookup) []fact.Finding {
	for i := range l.Tried {
		a := &l.Tried[i]
		for j := range l.Tried {
			b := &l.Tried[j]
			denies := b.Outcome == "nxdomain" || b.Outcome == "nodata"
			if a.Name != b.Name || a.Outcome != "answered" || !denies || a.Beside && b.Beside {
				continue
			}
			return finding(DNSWrongAnswer, "the nameservers contradict each other about %s: %s has the name, %s says %s", a.Name, a.Server, b.Server, b.Outcome)
		}
	}
	return nil
}

// hostsOverride: the hosts file decides, and DNS says something else. A pod's
// hostAliases are there for that.
func hostsOverride(l *fact.DNSLookup) []fact.Finding {
	if l.Hosts == nil || !l.Hosts.Used || l.Hosts.HostAlias || len(l.DNSAddresses) == 0 {
		return nil
	}
	for _, ip := range l.Hosts.Addresses {
		if !slices.Contains(l.DNSAddresses, ip) {
			return finding(DNSHostsOverride, "%s line %d says %s, DNS says %s", l.Hosts.File, l.Hosts.Line,
				SomeOf(l.Hosts.Addresses), SomeOf(l.DNSAddresses))
		}
	}
	return nil
}

// aaaaNXDomain: a server that has an address of the name and says for the other
// type that the name does not exist. NXDOMAIN is about all types (RFC 8020).
func aaaaNXDomain(l *fact.DNSLookup) []fact.Finding {
	for i := range l.Tried {
		t := &l.Tried[i]
		for _, types := range [][2]string{{"A", "AAAA"}, {"AAAA", "A"}} {
			if t.Beside || t.Types[types[0]] != "answered" || t.Types[types[1]] != "nxdomain" {
				continue
			}
			text := fmt.Sprintf("nameserver %s has %s for %s and answers NXDOMAIN for %s: NXDOMAIN denies all types, so the server is at fault", t.Server, types[0], t.Name, types[1])
			if l.HalfDenied() && l.Name == t.Name {
				text += "; " + l.Resolver.Library + " then finds no address"
			}
			return finding(DNSAAAANXDOMAIN, "%s", text)
		}
	}
	return nil
}

// searchShadows: the search list gives an address, and the name as it stands has
// another. Names of services, NAME.NAMESPACE, are meant to be found so.
func searchShadows(l *fact.DNSLookup) []fact.Finding {
	if l.Outcome != "answered" || l.SearchDomain == "" || !strings.Contains(l.Asked, ".") || strings.HasPrefix(l.SearchDomain, "svc.") {
		return nil
	}
	for i := range l.Tried {
		t := &l.Tried[i]
		if t.Name != l.Asked+"." || t.Outcome != "answered" {
			continue
		}
		var absolute []string
		for _, a := range t.Answers {
			absolute = append(absolute, a.Addresses...)
		}
		if len(absolute) == 0 || slices.ContainsFunc(l.Addresses, func(ip string) bool { return slices.Contains(absolute, ip) }) {
			return nil
		}
		return finding(DNSSearchShadows, "search domain %s shadows %s: the application gets %s from %s, while the name itself has %s",
			l.SearchDomain, t.Name, SomeOf(l.Addresses), l.Name, SomeOf(absolute))
	}
	return nil
}

// searchDot: a library that makes a bad name of the root in the search list.
func searchDot(l *fact.DNSLookup) []fact.Finding {
	if !l.TwoDots || !l.Resolver.Detected {
		return nil
	}
	return finding(DNSSearchDot, `"search ." in %s ends the lookup: musl %s asks for %s.. with two final dots, which no server answers; 1.2.4 and later leave the dot out`,
		l.Resolver.File, l.Resolver.LibraryVersion, l.Asked)
}

// searchMissing: the name exists under a domain, but the application does not
// try that.
func searchMissing(l *fact.DNSLookup) []fact.Finding {
	if l.Outcome != "nxdomain" {
		return nil
	}
	for i := range l.Tried {
		t := &l.Tried[i]
		used := slices.ContainsFunc(l.Tried, func(o fact.DNSTry) bool { return o.Name == t.Name && !o.Beside })
		if t.Outcome == "answered" && t.Beside && !used {
			return finding(DNSSearchMissing, "%s exists at %s, but the application does not try that name for %s", t.Name, t.Server, l.Asked)
		}
	}
	return nil
}

// lookupFailed: what the servers say.
func lookupFailed(l *fact.DNSLookup) []fact.Finding {
	tried := 0
	var names []string
	var decided *fact.DNSTry
	for i := range l.Tried {
		t := &l.Tried[i]
		if t.Beside {
			continue
		}
		if !slices.Contains(names, t.Name) {
			names = append(names, t.Name)
			tried++
		}
		if t.Name == l.Name && t.Server == l.Server && decided == nil {
			decided = t
		}
	}
	if decided == nil {
		return nil // nobody said anything
	}
	switch l.Outcome {
	case "nxdomain":
		if l.HalfDenied() {
			return nil // the name is there: aaaaNXDomain
		}
		if tried == 1 {
			return finding(DNSNXDOMAIN, "nameserver %s answers, and says that %s does not exist", l.Server, l.Name)
		}
		return finding(DNSNXDOMAIN, "none of the %d names that the application tries for %s exists", tried, l.Asked)
	case "nodata":
		return finding(DNSNODATA, "%s exists, but has no %s record%s", l.Name, strings.Join(l.Types, " or "), dangling(l))
	case "servfail":
		return finding(DNSSERVFAIL, "nameserver %s fails on %s: %s", l.Server, l.Name, cmp.Or(decided.Reason, "SERVFAIL"))
	case "bad_response":
		return finding(DNSBadResponse, "nameserver %s sends no valid answer for %s: %s", l.Server, l.Name, decided.Reason)
	case "refused":
		return finding(DNSRefused, "nameserver %s refuses to answer for %s (REFUSED): the server does not serve this client or this name", l.Server, l.Name)
	}
	return nil
}

// dangling: an alias that leads nowhere looks like a name without data.
func dangling(l *fact.DNSLookup) string {
	if len(l.Aliases) == 0 {
		return ""
	}
	return fmt.Sprintf("; the alias leads to %s, which has no such record", l.Aliases[len(l.Aliases)-1])
}

// slowLookupMS is the wait from which on a lookup is slow: people and timeouts notice
// a second.
const slowLookupMS = 1000

// lookupSlow: an answer after a wait that its servers do not need.
func lookupSlow(l *fact.DNSLookup) []fact.Finding {
	if l.Outcome != "answered" || l.AppWaitMS < slowLookupMS || l.Source == "hosts" {
		return nil
	}
	why := ""
	for i := range l.Tried {
		if t := &l.Tried[i]; !t.Beside && t.Lost > 0 {
			why = fmt.Sprintf(": %s to %s got no answer before one did", questions(t.Lost), t.Server)
			break
		}
	}
	return finding(DNSSlow, "the answer comes, but only after %.1f s%s", l.AppWaitMS/1000, why)
}
