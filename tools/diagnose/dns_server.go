package diagnose

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

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

// first is the first of what the exchanges have; "" where none has it.
func (g *serverTries) first(has func(*fact.DNSTry) string) string {
	for _, t := range g.tries {
		if text := has(t); text != "" {
			return text
		}
	}
	return ""
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
	return fmt.Sprintf("; no ICMP error came for %d of %d questions: hosts limit the rate of ICMP errors", silent, all)
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
		code, text := DNSNameserverRefused, fmt.Sprintf("port 53 of nameserver %s is refused (ECONNREFUSED): nobody listens there, or a firewall or NAT on the way refuses", g.server)
		sentTo := g.first(func(t *fact.DNSTry) string { return t.SentTo })
		switch {
		case ownAddress(sentTo) && !ownAddress(g.server):
			code = FirewallPodRedirect
			text = fmt.Sprintf("the target's own NAT redirects queries for nameserver %s to %s in the target itself, where nobody listens", g.server, sentTo)
		case sentTo != "":
			text = fmt.Sprintf("the target's own NAT sends queries for nameserver %s to %s, where they are refused (ECONNREFUSED)", g.server, sentTo)
		case g.server == "127.0.0.53":
			text = "nameserver 127.0.0.53 refuses: on a host systemd-resolved listens there, and in this network nobody does"
		case ownAddress(g.server):
			text = fmt.Sprintf("nameserver %s refuses: the address is the target's own loopback, and nobody in the target listens there", g.server)
		}
		findings = append(findings, finding(code, "%s", text+g.silentRest(refusal))...)
	}
	return findings
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
	"ENETUNREACH":   "no route leads to the nameserver, at the target or at a router on the way",
	"EHOSTUNREACH":  "the nameserver or the next hop does not answer at the link layer, or a router on the way says unreachable",
	"EPERM":         "a firewall rule or a BPF program inside the target drops the outgoing query",
	"EACCES":        "a route of the target prohibits the query, or the nameserver is a broadcast address there",
	"EINVAL":        "a route of the target discards the query (blackhole)",
	"EADDRNOTAVAIL": "the target has no address to ask from",
	"EAFNOSUPPORT":  "the target has no network of the address's family",
	"ENETDOWN":      "the interface towards the nameserver is down",
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

// dropped is what became of the question on this node, or of answers that came to an
// interface of the target, where no socket got one: the code that this proves, or "" and
// what to add about the silence.
// Counters are those of the whole namespace, so one has to have moved as often as
// answers came.
func (g *serverTries) dropped() (code fact.Code, text string) {
	i := slices.IndexFunc(g.tries, func(t *fact.DNSTry) bool { return t.Wire != nil || t.Journey != nil })
	if i < 0 {
		return "", ""
	}
	t := newTrail(g.tries[i].Journey, "the question", g.server)
	if cause, text := t.judge(); cause != "" {
		return causeCode(cause), text
	}
	left := t.leftOpen()
	if left != "" {
		left = ": " + left
	}
	if g.tries[i].Wire == nil {
		return "", left
	}
	wire := g.tries[i].Wire
	came, counters := uint64(max(wire.Answers, 0)), wire.Counters
	switch {
	case came == 0:
		return "", ", and one more brought no answer to any interface of the target" + left
	case wire.From != "":
		return "", fmt.Sprintf(", although an answer of %s came in by %s", wire.From, wire.Dev)
	case wire.OtherMAC:
		return NeighWrongMAC, fmt.Sprintf(
			"nameserver %s answers, by %s in a frame for another MAC address: the sender has a wrong MAC address for the target", g.server, wire.Dev)
	case counters["TcpExt.IPReversePathFilter"] >= came:
		return SysctlRPFilter, fmt.Sprintf(
			"nameserver %s answers, and rp_filter drops the answer, which came in by %s: the route to the nameserver uses another interface", g.server, wire.Dev)
	case len(counters) == 0:
		return FirewallPodDrop, fmt.Sprintf(
			"nameserver %s answers, and the answer that came in by %s does not reach the socket: the target's firewall or traffic control drops the answer", g.server, wire.Dev)
	}
	return "", fmt.Sprintf(", although an answer came in by %s: the target's kernel dropped the answer, and the reason is not known", wire.Dev)
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
		if from := g.first(func(t *fact.DNSTry) string { return t.AnsweredBy }); silent && from != "" {
			findings = append(findings, finding(DNSUnexpectedSource,
				"nameserver %s was asked and %s answers, so resolvers drop the answers: NAT rewrites the question and not the answer, as where bridge-nf-call-iptables is 0", g.server, from)...)
			continue
		}
		if silent {
			code, text := g.dropped()
			if code == "" {
				code, text = DNSNameserverTimeout, fmt.Sprintf("nameserver %s answered none of %s in %.1f s%s", g.server, questions(queries), waited/1000, text)
			}
			if l.Outcome == "answered" && g.server == l.Resolver.Servers[0] {
				text += "; every lookup asks this server first, and waits"
			}
			findings = append(findings, finding(code, "%s", text)...)
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

// tcpFailures word what became of TCP.
var tcpFailures = map[string]string{
	"refused":     "TCP port 53 is refused",
	"timeout":     "TCP port 53 does not answer",
	"unreachable": "the server cannot be reached over TCP",
	"closed":      "the server ends the TCP connection before the answer",
	"one_answer":  "the server ends the TCP connection after one answer, while glibc asks A and AAAA over one connection",
	"silent":      "the server accepts TCP connections and says nothing",
}

// tcpUnavailable: an answer that needs TCP, and no TCP.
func tcpUnavailable(l *fact.DNSLookup) []fact.Finding {
	for _, g := range byServer(l) {
		for _, t := range g.tries {
			why := tcpFailures[t.TCP]
			if why == "" {
				continue
			}
			need := "the answer for " + t.Name + " is cut short over UDP"
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
