package diagnose

import (
	"cmp"
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

// noNameserver: the file was read and names nobody, and the library's default
// does not answer. That no file is known proves nothing.
func noNameserver(l *fact.DNSLookup) []fact.Finding {
	if l.Outcome != "no_nameserver" || l.Resolver.File == "" {
		return nil
	}
	text := fmt.Sprintf("%s names no usable nameserver, and nobody answers at %s, which the library uses instead",
		l.Resolver.File, strings.Join(l.Resolver.Servers, " and "))
	if len(l.Resolver.Ignored) > 0 {
		i := l.Resolver.Ignored[0]
		text += fmt.Sprintf("; line %d: %s", i.Line, i.Why)
	}
	return finding(DNSNoNameserver, "%s", text)
}

// serverTries are the exchanges with one server.
type serverTries struct {
	server string
	tries  []*fact.DNSTry
}

// byServer groups the exchanges by the servers that the target's configuration
// or the caller names, in their order.
func byServer(l *fact.DNSLookup) []serverTries {
	if l.Resolver.Defaulted {
		return nil // nobody meant those
	}
	groups := make([]serverTries, 0, len(l.Resolver.Servers))
	for _, server := range l.Resolver.Servers {
		if slices.ContainsFunc(groups, func(g serverTries) bool { return g.server == server }) {
			continue
		}
		g := serverTries{server: server}
		for i := range l.Tried {
			if l.Tried[i].Server == server {
				g.tries = append(g.tries, &l.Tried[i])
			}
		}
		if len(g.tries) > 0 {
			groups = append(groups, g)
		}
	}
	return groups
}

// all reports whether holds is true of every answer, and how many there are.
func (g *serverTries) all(holds func(*fact.DNSTry, *fact.DNSAnswer) bool) (int, bool) {
	count := 0
	for _, try := range g.tries {
		for i := range try.Answers {
			if !holds(try, &try.Answers[i]) {
				return 0, false
			}
			count++
		}
	}
	return count, count > 0
}

// isResponse reports whether an outcome is that of a DNS response. An ICMP error
// is none, whoever sent it.
func isResponse(outcome string) bool {
	return outcome != "" && outcome != "timeout" && outcome != "unreachable" && outcome != "reset"
}

// heard reports whether a server has answered anything. Where TCP was used it has,
// over UDP, or nobody asked it there; what TCP does is told by tcpUnavailable.
func (g *serverTries) heard() bool {
	return slices.ContainsFunc(g.tries, func(t *fact.DNSTry) bool {
		return t.TCP != "" || slices.ContainsFunc(t.Answers, func(a fact.DNSAnswer) bool { return isResponse(a.Outcome) })
	})
}

// refusal is the reason where the host says that nobody listens.
const refusal = "ECONNREFUSED"

// failure is the error that a server which never answered is known by, a refusal
// before all others: it came from farthest. One proves it. The others of a lookup's
// questions, all sent at once, may well have met silence: whoever sends ICMP errors
// limits their rate, Linux to half a dozen and then one a second for each host that
// asks (ip_error in net/ipv4/route.c, inet_peer_xrlim_allow in net/ipv4/inetpeer.c).
// It is nil where there is none.
func (g *serverTries) failure() *fact.DNSAnswer {
	if g.heard() {
		return nil
	}
	var first *fact.DNSAnswer
	for _, t := range g.tries {
		for i := range t.Answers {
			a := &t.Answers[i]
			if a.Outcome == "unreachable" && (first == nil || a.Reason == refusal && first.Reason != refusal) {
				first = a
			}
		}
	}
	return first
}

// icmpReasons are the errors that come by ICMP.
var icmpReasons = [...]string{refusal, "EHOSTUNREACH", "ENETUNREACH"}

// silentRest words how many questions went without the error that others met.
func (g *serverTries) silentRest(reason string) string {
	silent, all := 0, 0
	for _, t := range g.tries {
		for _, a := range t.Answers {
			all++
			if a.Outcome == "timeout" {
				silent++
			}
		}
	}
	if silent == 0 || !slices.Contains(icmpReasons[:], reason) {
		return ""
	}
	return fmt.Sprintf("; no ICMP error for %d of %d questions, as the rate of these is limited", silent, all)
}

// nameserverRefused: somebody answers that nobody listens there. Who that is the
// error does not say: it comes in the name of the address that was asked. Where the
// target's own NAT sends the query to the target itself, it was the target.
func nameserverRefused(l *fact.DNSLookup) []fact.Finding {
	var findings []fact.Finding
	for _, g := range byServer(l) {
		if failed := g.failure(); failed == nil || failed.Reason != refusal {
			continue
		}
		code, text := DNSNameserverRefused, fmt.Sprintf("port 53 of nameserver %s is refused (ECONNREFUSED): nobody listens there, or a firewall or NAT on the way makes it look so", g.server)
		sentTo := g.sentTo()
		switch {
		case ownAddress(sentTo) && !ownAddress(g.server):
			code = FirewallPodRedirect
			text = fmt.Sprintf("the target's own NAT redirects queries for nameserver %s to %s in the target itself, where nobody listens", g.server, sentTo)
		case sentTo != "":
			text = fmt.Sprintf("the target's own NAT sends queries for nameserver %s to %s, and that is refused (ECONNREFUSED)", g.server, sentTo)
		case g.server == "127.0.0.53":
			text = "nameserver 127.0.0.53 refuses: it is the address of systemd-resolved on a host, and inside this network nobody listens on it"
		case ownAddress(g.server):
			text = fmt.Sprintf("nameserver %s refuses: it is the target's own loopback address, and nobody listens on it in there", g.server)
		}
		findings = append(findings, finding(code, "%s", text+g.silentRest(refusal))...)
	}
	return findings
}

// sentTo is where the target's own NAT sends the queries; "" where that is not known.
func (g *serverTries) sentTo() string {
	for _, t := range g.tries {
		if t.SentTo != "" {
			return t.SentTo
		}
	}
	return ""
}

// ownAddress reports whether an address, with or without a port, is loopback.
func ownAddress(address string) bool {
	ip, err := netip.ParseAddr(address)
	if to, withPort := netip.ParseAddrPort(address); withPort == nil {
		ip, err = to.Addr(), nil
	}
	return err == nil && ip.IsLoopback()
}

// unreachableReasons explain the errors that are neither silence nor refusal.
var unreachableReasons = map[string]string{
	"ENETUNREACH":   "there is no route to it, at the target or at a router on the way",
	"EHOSTUNREACH":  "it or the next hop does not answer at the link layer, or a router on the way says that it cannot be reached",
	"EPERM":         "inside the target a firewall rule or a BPF program drops the query on its way out",
	"EACCES":        "a route of the target prohibits it",
	"EINVAL":        "a route of the target discards it (blackhole)",
	"EADDRNOTAVAIL": "the target has no address to ask from",
	"EAFNOSUPPORT":  "the target has no network of that family",
	"ENETDOWN":      "the interface towards it is down",
}

// nameserverUnreachable: the query did not leave, or something on the way says
// that it cannot arrive.
func nameserverUnreachable(l *fact.DNSLookup) []fact.Finding {
	var findings []fact.Finding
	for _, g := range byServer(l) {
		failed := g.failure()
		if failed == nil || failed.Reason == refusal {
			continue
		}
		reason := failed.Reason
		text := fmt.Sprintf("nameserver %s cannot be asked", g.server)
		if why := unreachableReasons[reason]; why != "" {
			text += fmt.Sprintf(" (%s): %s", reason, why)
		} else if reason != "" {
			text += fmt.Sprintf(" (%s)", reason)
		}
		findings = append(findings, finding(DNSNameserverUnreachable, "%s", text+g.silentRest(reason))...)
	}
	return findings
}

// nameserverTimeout: a server that says nothing at all, or nothing to what
// decides.
func nameserverTimeout(l *fact.DNSLookup) []fact.Finding {
	var findings []fact.Finding
	for _, g := range byServer(l) {
		waited := 0.0
		queries, silent := g.all(func(t *fact.DNSTry, a *fact.DNSAnswer) bool {
			waited = max(waited, a.MS)
			return a.Outcome == "timeout" && t.TCP == ""
		})
		if from := g.answeredBy(); silent && from != "" {
			findings = append(findings, finding(DNSUnexpectedSource,
				"nameserver %s was asked and %s answers, so resolvers drop the answers: NAT rewrites the question and not the answer, as where bridge-nf-call-iptables is 0", g.server, from)...)
			continue
		}
		if silent {
			text := fmt.Sprintf("nameserver %s answered none of %s in %.1f s", g.server, counted(queries, "question"), waited/1000)
			if l.Outcome == "answered" && g.server == l.Resolver.Servers[0] {
				text += "; it is asked first, so every lookup waits for it"
			}
			findings = append(findings, finding(DNSNameserverTimeout, "%s", text)...)
			continue
		}
		if !g.heard() {
			continue // an error says why
		}
		for _, t := range g.tries {
			if l.Outcome == "timeout" && t.Name == l.Name && t.Outcome == "timeout" && len(t.Types) == 0 && t.TCP == "" {
				findings = append(findings, finding(DNSNameserverTimeout,
					"nameserver %s answers other names, but nothing for %s in %.1f s: a server behind it may be silent", g.server, t.Name, t.MS/1000)...)
			}
		}
	}
	return findings
}

// answeredBy is another address from which an answer came.
func (g *serverTries) answeredBy() string {
	for _, t := range g.tries {
		if t.AnsweredBy != "" {
			return t.AnsweredBy
		}
	}
	return ""
}

// tcpFailures word what became of TCP.
var tcpFailures = map[string]string{
	"refused":     "TCP port 53 is refused",
	"timeout":     "TCP port 53 does not answer",
	"unreachable": "it cannot be reached over TCP",
	"closed":      "it ends the TCP connection before the answer",
	"one_answer":  "it ends the TCP connection after one answer, while glibc asks A and AAAA over one connection",
	"silent":      "it accepts TCP connections and says nothing",
}

// tcpUnavailable: an answer that needs TCP, and no TCP.
func tcpUnavailable(l *fact.DNSLookup) []fact.Finding {
	for _, g := range byServer(l) {
		for _, t := range g.tries {
			why := tcpFailures[t.TCP]
			if why == "" {
				continue
			}
			need := "its answer for " + t.Name + " is cut short over UDP"
			if slices.Contains(l.Resolver.Options, "use-vc") {
				need = "options use-vc asks over TCP alone"
			}
			if l.AppWaitForever {
				why += ", for which glibc waits without end"
			}
			return finding(DNSTCPUnavailable, "nameserver %s: %s, and %s", g.server, need, why)
		}
	}
	return nil
}

// aaaaTimeout: a server that answers A and never AAAA.
func aaaaTimeout(l *fact.DNSLookup) []fact.Finding {
	for _, g := range byServer(l) {
		for _, t := range g.tries {
			if t.Beside || t.Types["AAAA"] != "timeout" || !isResponse(t.Types["A"]) {
				continue
			}
			text := fmt.Sprintf("nameserver %s answers A for %s and not AAAA", g.server, t.Name)
			if l.AppWaitMS >= slowLookupMS {
				text += fmt.Sprintf("; the application waits %.1f s for it", l.AppWaitMS/1000)
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
			return finding(DNSWrongAnswer, "the nameservers contradict each other about %s: %s has it, %s says %s", a.Name, a.Server, b.Server, b.Outcome)
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
				someOf(l.Hosts.Addresses), someOf(l.DNSAddresses))
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
			text := fmt.Sprintf("nameserver %s has %s for %s and says for %s that the name does not exist (NXDOMAIN), which is about all types: the server's fault", t.Server, types[0], t.Name, types[1])
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
			l.SearchDomain, t.Name, someOf(l.Addresses), l.Name, someOf(absolute))
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
			return finding(DNSNXDOMAIN, "nameserver %s says that %s does not exist", l.Server, l.Name)
		}
		return finding(DNSNXDOMAIN, "none of the %d names that the application tries for %s exists", tried, l.Asked)
	case "nodata":
		return finding(DNSNODATA, "%s exists, but has no %s record%s", l.Name, strings.Join(l.Types, " or "), dangling(l))
	case "servfail":
		return finding(DNSSERVFAIL, "nameserver %s fails on %s: %s", l.Server, l.Name, cmp.Or(decided.Reason, "SERVFAIL"))
	case "bad_response":
		return finding(DNSBadResponse, "what nameserver %s sends for %s is no answer: %s", l.Server, l.Name, decided.Reason)
	case "refused":
		return finding(DNSRefused, "nameserver %s refuses to answer for %s (REFUSED): it does not serve this client or this name", l.Server, l.Name)
	}
	return nil
}

// dangling: an alias that leads nowhere looks like a name without data.
func dangling(l *fact.DNSLookup) string {
	if len(l.Aliases) == 0 {
		return ""
	}
	return fmt.Sprintf("; its alias leads to %s, which has none", l.Aliases[len(l.Aliases)-1])
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
			why = fmt.Sprintf(": %s to %s got no answer before one did", counted(t.Lost, "query"), t.Server)
			break
		}
	}
	return finding(DNSSlow, "the answer comes, but only after %.1f s%s", l.AppWaitMS/1000, why)
}

// someOf lists the first few of many.
func someOf(list []string) string {
	const shown = 3
	if len(list) <= shown {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:shown], ", "), len(list)-shown)
}

// counted writes a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok {
		noun = stem + "ie"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
