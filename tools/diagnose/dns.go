package diagnose

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

// dnsRules in the order of gravity: a server that is not there explains what is
// told after it.
var dnsRules = [...]func(*fact.DNSLookup) []fact.Finding{
	noNameserver,
	nameserverRefused,
	nameserverUnreachable,
	nameserverTimeout,
	tcpUnavailable,
	aaaaTimeout,
	aaaaNXDomain,
	contradiction,
	hostsOverride,
	searchShadows,
	searchDot,
	searchMissing,
	lookupFailed,
	lookupSlow,
}

// DNS returns the faults that one lookup proves, the gravest first.
func DNS(l *fact.DNSLookup) []fact.Finding {
	var findings []fact.Finding
	for _, rule := range dnsRules {
		findings = append(findings, rule(l)...)
	}
	return findings
}

// Lookup returns the faults that one lookup proves; the target's links explain that no
// server was heard.
func Lookup(e *fact.LookupEvidence) []fact.Finding {
	findings := withRoots(lookupRoots(e.DNSLookup, e.Links), DNS(e.DNSLookup))
	if e.Host {
		return OnHost(findings)
	}
	return findings
}

// lookupRoots are the faults of the target's links and routes by which no server is heard,
// else those of the services that take part.
func lookupRoots(l *fact.DNSLookup, links *fact.LinkEvidence) []fact.Finding {
	dev := loopback
	if slices.ContainsFunc(l.Resolver.Servers, func(server string) bool { return !ownAddress(server) }) {
		dev = ""
	}
	if roots := linkRoots(links, dev); roots != nil {
		return roots
	}
	if roots := noRouteTo(l, links); roots != nil {
		return roots
	}
	return lookupServices(l)
}

// noRouteTo: no table has a default route, and the kernel found no route to a server.
func noRouteTo(l *fact.DNSLookup, links *fact.LinkEvidence) []fact.Finding {
	if links == nil || !links.AllRoutes {
		return nil
	}
	for _, g := range byServer(l) {
		server, err := netip.ParseAddr(g.server)
		covers := func(r fact.Route) bool {
			to, err := netip.ParsePrefix(r.Dst)
			at, _ := netip.ParseAddr(r.Dst)
			return r.Dst == "default" && (r.Family == "inet6") == server.Is6() || err == nil && to.Contains(server) || at == server
		}
		if failed := g.failure(); err == nil && failed != nil && failed.Reason == "ENETUNREACH" && !slices.ContainsFunc(links.Routes, covers) {
			return finding(RouteNoDefault, "no routing table of the target has a route to nameserver %s, nor a default route", server)
		}
	}
	return nil
}

// FailedLookup returns the faults that a lookup proves which gave no address and
// ended as soon as that was known. What was cut off then looks like silence, so
// that is proof only where it is the result, and what the application would not
// have asked is none.
func FailedLookup(l *fact.DNSLookup) []fact.Finding {
	if l.Outcome == "answered" {
		return nil
	}
	decided := isResponse(l.Outcome)
	whole := *l
	whole.Tried = slices.DeleteFunc(slices.Clone(l.Tried), func(t fact.DNSTry) bool {
		return t.Beside || decided && t.Outcome == "timeout"
	})
	return slices.DeleteFunc(DNS(&whole), func(f fact.Finding) bool {
		return decided && strings.HasSuffix(string(f.Code), "_timeout")
	})
}

// SomeOf lists the first few of many.
func SomeOf(list []string) string {
	const shown = 3
	if len(list) <= shown {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:shown], ", "), len(list)-shown)
}

// questions counts them.
func questions(n int) string {
	if n == 1 {
		return "1 question"
	}
	return fmt.Sprintf("%d questions", n)
}
