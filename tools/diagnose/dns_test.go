package diagnose

import (
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

// try is one exchange; outcomes are "A" and "AAAA", or one for both. A reason
// may follow an outcome after a colon.
func try(name, server string, outcomes ...string) fact.DNSTry {
	t := fact.DNSTry{Name: name, Server: server, MS: 1}
	if len(outcomes) == 1 {
		outcomes = append(outcomes, outcomes[0])
	}
	for i, o := range outcomes {
		o, reason, _ := strings.Cut(o, ":")
		t.Answers = append(t.Answers, fact.DNSAnswer{Type: []string{"A", "AAAA"}[i], Outcome: o, Reason: reason, MS: 1})
		t.Reason = reason
	}
	t.Outcome = t.Answers[0].Outcome
	if a, b := t.Answers[0].Outcome, t.Answers[1].Outcome; a != b {
		t.Types = map[string]string{"A": a, "AAAA": b}
		if b == "answered" {
			t.Outcome = b
		}
	}
	return t
}

func beside(t fact.DNSTry) fact.DNSTry {
	t.Beside = true
	return t
}

func sentTo(t fact.DNSTry, address string) fact.DNSTry {
	t.SentTo = address
	return t
}

func answeredBy(t fact.DNSTry, address string) fact.DNSTry {
	t.AnsweredBy = address
	return t
}

func with(t fact.DNSTry, addresses ...string) fact.DNSTry {
	t.Answers[0].Addresses = addresses
	return t
}

func overTCP(t fact.DNSTry, tcp string) fact.DNSTry {
	t.TCP = tcp
	return t
}

// TestFailedLookup: what was cut off proves nothing.
func TestFailedLookup(t *testing.T) {
	t.Parallel()
	const one, two = "10.0.0.1", "10.0.0.2"
	both := fact.DNSResolver{File: "/etc/resolv.conf", Servers: []string{one, two}}
	for _, c := range []struct {
		title string
		l     fact.DNSLookup
		codes string
	}{
		{"answered", fact.DNSLookup{Outcome: "answered", Source: "dns", AppWaitMS: 5000, Resolver: both, Tried: []fact.DNSTry{try("a.", one, "timeout"), try("a.", two, "answered")}}, ""},
		{"denied by one before the other said anything", fact.DNSLookup{Outcome: "nxdomain", Name: "a.", Server: one, Resolver: both,
			Tried: []fact.DNSTry{try("a.", one, "nxdomain"), try("a.", two, "timeout")}}, "dns.nxdomain"},
		{"denied before AAAA was answered", fact.DNSLookup{Outcome: "nxdomain", Name: "a.", Server: one, Resolver: both,
			Tried: []fact.DNSTry{try("a.", one, "nxdomain", "timeout"), beside(try("a.", two, "timeout"))}}, "dns.nxdomain"},
		{"denied by the second, the first is closed", fact.DNSLookup{Outcome: "nxdomain", Name: "a.", Server: two, Resolver: both,
			Tried: []fact.DNSTry{try("a.", one, "unreachable:ECONNREFUSED"), try("a.", two, "nxdomain")}}, "dns.nameserver_refused dns.nxdomain"},
		{"refused before the rest was answered", fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: both,
			Tried: []fact.DNSTry{try("a.", one, "unreachable:ECONNREFUSED"), try("a.", two, "unreachable:EHOSTUNREACH"), beside(try("a.x.", one, "timeout"))}},
			"dns.nameserver_refused dns.nameserver_unreachable"},
		{"silence that decides", fact.DNSLookup{Outcome: "timeout", Name: "a.", Resolver: both,
			Tried: []fact.DNSTry{try("a.", one, "timeout"), try("a.", two, "timeout")}}, "dns.nameserver_timeout dns.nameserver_timeout"},
		{"no nameserver", fact.DNSLookup{Outcome: "no_nameserver", Resolver: fact.DNSResolver{File: "/etc/resolv.conf", Servers: []string{"127.0.0.1"}, Defaulted: true},
			Tried: []fact.DNSTry{try("a.", "127.0.0.1", "unreachable:ECONNREFUSED")}}, "dns.no_nameserver"},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			var codes []string
			for _, f := range FailedLookup(&c.l) {
				codes = append(codes, string(f.Code))
				if strings.Contains(f.Fact, "no ICMP error") {
					t.Errorf("questions that were cut off are counted: %s", f.Fact)
				}
			}
			if got := strings.Join(codes, " "); got != c.codes {
				t.Errorf("%s, want %s", got, c.codes)
			}
		})
	}
}

func TestDNS(t *testing.T) {
	t.Parallel()
	const one, two = "10.0.0.1", "10.0.0.2"
	both := fact.DNSResolver{File: "/etc/resolv.conf", Servers: []string{one, two}}
	first := fact.DNSResolver{File: "/etc/resolv.conf", Servers: []string{one}}
	for _, c := range []struct {
		title string
		l     fact.DNSLookup
		codes string
		words string // that the facts hold
	}{
		{title: "healthy", l: fact.DNSLookup{Outcome: "answered", Source: "dns", Resolver: both, AppWaitMS: 2,
			Tried: []fact.DNSTry{try("a.", one, "answered", "nodata"), beside(try("a.", two, "answered", "nodata"))}}},
		{title: "healthy, found by the third domain", l: fact.DNSLookup{Outcome: "answered", Source: "dns", Name: "a.z.", Resolver: first, AppWaitMS: 3,
			Tried: []fact.DNSTry{try("a.x.", one, "nxdomain"), try("a.y.", one, "nodata"), try("a.z.", one, "answered")}}},
		{title: "healthy, from hosts", l: fact.DNSLookup{Outcome: "answered", Source: "hosts", Resolver: first, Hosts: &fact.DNSHosts{File: "/etc/hosts", Line: 3, Addresses: []string{"10.1.1.1"}, Used: true},
			DNSAddresses: []string{"10.1.1.1", "10.1.1.2"}, Tried: []fact.DNSTry{beside(try("a.", one, "answered"))}}},
		{title: "healthy, own name in hosts alone", l: fact.DNSLookup{Outcome: "answered", Source: "hosts", Resolver: first, Hosts: &fact.DNSHosts{Addresses: []string{"10.1.1.1"}, Used: true},
			Tried: []fact.DNSTry{beside(try("a.", one, "nxdomain"))}}},
		{title: "files unknown", l: fact.DNSLookup{Outcome: "no_nameserver"}},
		{title: "literal", l: fact.DNSLookup{Outcome: "answered", Source: "literal", Resolver: first}},

		{title: "no nameserver", codes: "dns.no_nameserver", words: "line 2: nameserver is not an IP address",
			l: fact.DNSLookup{Outcome: "no_nameserver", Resolver: fact.DNSResolver{File: "/etc/resolv.conf", Servers: []string{"127.0.0.1"}, Defaulted: true,
				Ignored: []fact.DNSIgnored{{Line: 2, Why: "nameserver is not an IP address"}}}, Tried: []fact.DNSTry{try("a.", "127.0.0.1", "unreachable:ECONNREFUSED")}}},
		{title: "refused port", codes: "dns.nameserver_refused", words: "port 53 of nameserver 10.0.0.1 is refused",
			l: fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.", one, "unreachable:ECONNREFUSED")}}},
		{title: "systemd-resolved", codes: "dns.nameserver_refused", words: "systemd-resolved",
			l: fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: fact.DNSResolver{File: "f", Servers: []string{"127.0.0.53"}}, Tried: []fact.DNSTry{try("a.", "127.0.0.53", "unreachable:ECONNREFUSED")}}},
		{title: "own loopback", codes: "dns.nameserver_refused", words: "own loopback",
			l: fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: fact.DNSResolver{File: "f", Servers: []string{"::1"}}, Tried: []fact.DNSTry{try("a.", "::1", "unreachable:ECONNREFUSED")}}},
		{title: "no route", codes: "dns.nameserver_unreachable", words: "no route",
			l: fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.", one, "unreachable:ENETUNREACH")}}},
		{title: "own firewall", codes: "dns.nameserver_unreachable", words: "a firewall rule or a BPF program",
			l: fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.", one, "unreachable:EPERM")}}},
		{title: "silence", codes: "dns.nameserver_timeout", words: "none of 2 questions",
			l: fact.DNSLookup{Outcome: "timeout", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.", one, "timeout")}}},
		{title: "first of two silent", codes: "dns.nameserver_timeout dns.slow", words: "asks this server first",
			l: fact.DNSLookup{Outcome: "answered", Source: "dns", Name: "a.", Resolver: both, AppWaitMS: 5000, Tried: []fact.DNSTry{try("a.", one, "timeout"), try("a.", two, "answered")}}},
		{title: "second of two silent", codes: "dns.nameserver_timeout",
			l: fact.DNSLookup{Outcome: "answered", Source: "dns", Name: "a.", Resolver: both, AppWaitMS: 1, Tried: []fact.DNSTry{try("a.", one, "answered"), beside(try("a.", two, "timeout"))}}},
		{title: "silent for one name", codes: "dns.nameserver_timeout", words: "answers other names",
			l: fact.DNSLookup{Outcome: "timeout", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.x.", one, "nxdomain"), try("a.", one, "timeout")}}},
		// ICMP errors are limited in rate, so of many questions sent at once some meet silence.
		{title: "refused for one question", codes: "dns.nameserver_refused", words: "no ICMP error came for 4 of 6 questions",
			l: fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.x.", one, "timeout"), try("a.", one, "unreachable:ECONNREFUSED"), beside(try("a.y.", one, "timeout"))}}},
		{title: "refused beside alone", codes: "dns.nameserver_refused",
			l: fact.DNSLookup{Outcome: "timeout", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.", one, "timeout"), beside(try("a.y.", one, "unreachable:ECONNREFUSED"))}}},
		{title: "no route for one question", codes: "dns.nameserver_unreachable", words: "no route",
			l: fact.DNSLookup{Outcome: "timeout", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.x.", one, "unreachable:ENETUNREACH"), try("a.", one, "timeout")}}},
		{title: "no route, then the link layer", codes: "dns.nameserver_unreachable", words: "(EHOSTUNREACH)",
			l: fact.DNSLookup{Outcome: "timeout", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.x.", one, "timeout"), try("a.", one, "timeout", "unreachable:EHOSTUNREACH")}}},
		{title: "refused once, unreachable once", codes: "dns.nameserver_refused",
			l: fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.x.", one, "unreachable:EHOSTUNREACH"), try("a.", one, "unreachable:ECONNREFUSED")}}},
		{title: "one of two unreachable at times", codes: "dns.nameserver_unreachable",
			l: fact.DNSLookup{Outcome: "answered", Source: "dns", Name: "a.", Resolver: both, AppWaitMS: 5, Tried: []fact.DNSTry{
				try("a.", one, "unreachable:EHOSTUNREACH"), try("a.", two, "answered"), beside(try("a.x.", one, "timeout"))}}},
		{title: "a firewall that drops at times", codes: "dns.nameserver_unreachable", words: "drops the outgoing query",
			l: fact.DNSLookup{Outcome: "timeout", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.x.", one, "unreachable:EPERM"), try("a.", one, "timeout")}}},
		{title: "answers one name, refused for another",
			l: fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.x.", one, "nxdomain"), try("a.", one, "unreachable:ECONNREFUSED")}}},
		{title: "silent for one name, an error for another, an answer for a third", codes: "dns.nameserver_timeout", words: "answers other names",
			l: fact.DNSLookup{Outcome: "timeout", Name: "a.", Resolver: first, Tried: []fact.DNSTry{
				try("a.x.", one, "unreachable:EHOSTUNREACH"), try("a.", one, "timeout"), beside(try("a.y.", one, "nxdomain"))}}},
		{title: "an error is no answer to A", codes: "dns.nameserver_unreachable",
			l: fact.DNSLookup{Outcome: "timeout", Name: "a.", Resolver: first, Tried: []fact.DNSTry{try("a.", one, "unreachable:EHOSTUNREACH", "timeout")}}},
		{title: "AAAA never", codes: "dns.aaaa_timeout dns.slow", words: "waits 15.0 s",
			l: fact.DNSLookup{Outcome: "answered", Source: "dns", Name: "a.", Resolver: first, AppWaitMS: 15000, Tried: []fact.DNSTry{try("a.", one, "answered", "timeout")}}},
		{title: "AAAA never, name that does not exist", codes: "dns.aaaa_timeout dns.nxdomain",
			l: fact.DNSLookup{Outcome: "nxdomain", Name: "a.", Server: one, Resolver: first, AppWaitMS: 15000, Tried: []fact.DNSTry{try("a.", one, "nxdomain", "timeout")}}},
		{title: "TCP refused", codes: "dns.tcp_unavailable", words: "cut short over UDP, and TCP port 53 is refused",
			l: fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: first, Tried: []fact.DNSTry{overTCP(try("a.", one, "unreachable:ECONNREFUSED"), "refused")}}},
		{title: "TCP silent", codes: "dns.tcp_unavailable", words: "without end",
			l: fact.DNSLookup{Outcome: "timeout", Name: "a.", Resolver: first, AppWaitForever: true, Tried: []fact.DNSTry{overTCP(try("a.", one, "timeout"), "silent")}}},
		{title: "TCP fine", l: fact.DNSLookup{Outcome: "answered", Source: "dns", Name: "a.", Resolver: first, Tried: []fact.DNSTry{overTCP(try("a.", one, "answered"), "ok")}}},
		{title: "contradiction", codes: "dns.wrong_answer dns.nxdomain", words: "10.0.0.2 has the name, 10.0.0.1 says nxdomain",
			l: fact.DNSLookup{Outcome: "nxdomain", Name: "a.", Server: one, Resolver: both, Tried: []fact.DNSTry{try("a.", one, "nxdomain"), beside(try("a.", two, "answered"))}}},
		{title: "contradiction nobody meets", l: fact.DNSLookup{Outcome: "answered", Source: "dns", Name: "a.", Resolver: both,
			Tried: []fact.DNSTry{try("a.", one, "answered"), beside(try("a.", two, "answered")), beside(try("a.x.", one, "nxdomain")), beside(try("a.x.", two, "answered"))}}},
		{title: "hosts override", codes: "dns.hosts_override", words: "line 3 says 10.1.1.9, DNS says 10.1.1.1",
			l: fact.DNSLookup{Outcome: "answered", Source: "hosts", Resolver: first, Hosts: &fact.DNSHosts{File: "/etc/hosts", Line: 3, Addresses: []string{"10.1.1.9"}, Used: true},
				DNSAddresses: []string{"10.1.1.1"}, Tried: []fact.DNSTry{beside(try("a.", one, "answered"))}}},
		{title: "hostAliases",
			l: fact.DNSLookup{Outcome: "answered", Source: "hosts", Resolver: first, Hosts: &fact.DNSHosts{File: "/etc/hosts", Line: 3, Addresses: []string{"10.1.1.9"}, Used: true, HostAlias: true},
				DNSAddresses: []string{"10.1.1.1"}, Tried: []fact.DNSTry{beside(try("a.", one, "answered"))}}},
		{title: "NXDOMAIN for AAAA, musl", codes: "dns.aaaa_nxdomain", words: "musl then finds no address",
			l: fact.DNSLookup{Outcome: "nxdomain", Name: "a.", Server: one, Resolver: fact.DNSResolver{Library: "musl", Servers: []string{one}}, Tried: []fact.DNSTry{try("a.", one, "answered", "nxdomain")}}},
		{title: "NXDOMAIN for AAAA, glibc", codes: "dns.aaaa_nxdomain", words: "server is at fault",
			l: fact.DNSLookup{Outcome: "answered", Source: "dns", Name: "a.", Server: one, Resolver: first, Tried: []fact.DNSTry{try("a.", one, "answered", "nxdomain")}}},
		{title: "no AAAA", l: fact.DNSLookup{Outcome: "answered", Source: "dns", Name: "a.", Server: one, Resolver: first, Tried: []fact.DNSTry{try("a.", one, "answered", "nodata")}}},
		{title: "one answer a TCP connection", codes: "dns.tcp_unavailable", words: "after one answer",
			l: fact.DNSLookup{Outcome: "reset", Name: "a.", Server: one, Resolver: first, Tried: []fact.DNSTry{overTCP(try("a.", one, "answered", "reset:ECONNRESET"), "one_answer")}}},
		{title: "own redirect to a closed port", codes: "fw.pod_redirect", words: "to 127.0.0.1:15053 in the target itself",
			l: fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: first, Tried: []fact.DNSTry{sentTo(try("a.", one, "unreachable:ECONNREFUSED"), "127.0.0.1:15053")}}},
		{title: "own NAT to another host", codes: "dns.nameserver_refused", words: "sends queries for nameserver 10.0.0.1 to 10.9.9.9:53",
			l: fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: first, Tried: []fact.DNSTry{sentTo(try("a.", one, "unreachable:ECONNREFUSED"), "10.9.9.9:53")}}},
		{title: "answers from elsewhere", codes: "dns.unexpected_source", words: "10.0.0.53:53 answers",
			l: fact.DNSLookup{Outcome: "timeout", Name: "a.", Resolver: first, Tried: []fact.DNSTry{answeredBy(try("a.", one, "timeout"), "10.0.0.53:53")}}},
		{title: "search shadows", codes: "dns.search_shadows", words: "gets 192.0.2.66 from api.x.test.corp.example., while the name itself has 192.0.2.1",
			l: fact.DNSLookup{Outcome: "answered", Source: "dns", Asked: "api.x.test", Name: "api.x.test.corp.example.", SearchDomain: "corp.example", Addresses: []string{"192.0.2.66"}, Resolver: first,
				Tried: []fact.DNSTry{try("api.x.test.corp.example.", one, "answered"), beside(with(try("api.x.test.", one, "answered"), "192.0.2.1"))}}},
		{title: "a service in a namespace that is a domain elsewhere",
			l: fact.DNSLookup{Outcome: "answered", Source: "dns", Asked: "web.dev", Name: "web.dev.svc.cluster.local.", SearchDomain: "svc.cluster.local", Addresses: []string{"10.96.0.1"}, Resolver: first,
				Tried: []fact.DNSTry{try("web.dev.svc.cluster.local.", one, "answered"), beside(with(try("web.dev.", one, "answered"), "192.0.2.1"))}}},
		{title: "the same address either way",
			l: fact.DNSLookup{Outcome: "answered", Source: "dns", Asked: "a.test", Name: "a.test.corp.", SearchDomain: "corp", Addresses: []string{"192.0.2.1"}, Resolver: first,
				Tried: []fact.DNSTry{try("a.test.corp.", one, "answered"), beside(with(try("a.test.", one, "answered"), "192.0.2.1"))}}},
		{title: "search dot", codes: "dns.search_dot", words: "musl 1.2.3 asks for a.b..",
			l: fact.DNSLookup{Outcome: "timeout", Asked: "a.b", Name: "a.b..", TwoDots: true, Resolver: fact.DNSResolver{File: "/etc/resolv.conf", Library: "musl before 1.2.4", LibraryVersion: "1.2.3", Detected: true, Servers: []string{one}},
				Tried: []fact.DNSTry{try("a.b.x.", one, "nxdomain"), beside(try("a.b.", one, "answered"))}}},
		{title: "search missing", codes: "dns.search_missing dns.nxdomain", words: "a.shop.svc.cluster.local. exists",
			l: fact.DNSLookup{Outcome: "nxdomain", Asked: "a", Name: "a.", Server: one, Resolver: first,
				Tried: []fact.DNSTry{try("a.", one, "nxdomain"), beside(try("a.shop.svc.cluster.local.", one, "answered"))}}},
		{title: "nxdomain of many", codes: "dns.nxdomain", words: "none of the 2 names",
			l: fact.DNSLookup{Outcome: "nxdomain", Asked: "a", Name: "a.", Server: one, Resolver: first, Tried: []fact.DNSTry{try("a.x.", one, "nxdomain"), try("a.", one, "nxdomain")}}},
		{title: "nodata", codes: "dns.nodata", words: "no A or AAAA record",
			l: fact.DNSLookup{Outcome: "nodata", Types: []string{"A", "AAAA"}, Name: "a.", Server: one, Resolver: first, Tried: []fact.DNSTry{try("a.", one, "nodata")}}},
		{title: "dangling alias", codes: "dns.nodata", words: "leads to nowhere.",
			l: fact.DNSLookup{Outcome: "nodata", Types: []string{"A"}, Name: "a.", Server: one, Aliases: []string{"b.", "nowhere."}, Resolver: first, Tried: []fact.DNSTry{try("a.", one, "nodata")}}},
		{title: "servfail", codes: "dns.servfail", words: "SERVFAIL",
			l: fact.DNSLookup{Outcome: "servfail", Name: "a.", Server: one, Resolver: first, Tried: []fact.DNSTry{try("a.", one, "servfail")}}},
		{title: "malformed", codes: "dns.bad_response", words: "does not parse",
			l: fact.DNSLookup{Outcome: "bad_response", Name: "a.", Server: one, Resolver: first, Tried: []fact.DNSTry{try("a.", one, "bad_response:answer does not parse")}}},
		{title: "refused", codes: "dns.refused", words: "REFUSED",
			l: fact.DNSLookup{Outcome: "refused", Name: "a.", Server: one, Resolver: first, Tried: []fact.DNSTry{try("a.", one, "refused")}}},
		{title: "slow server", codes: "dns.slow", words: "1.5 s",
			l: fact.DNSLookup{Outcome: "answered", Source: "dns", Name: "a.", Resolver: first, AppWaitMS: 1500, Tried: []fact.DNSTry{try("a.", one, "answered")}}},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			var codes, facts []string
			for _, f := range DNS(&c.l) {
				codes, facts = append(codes, string(f.Code)), append(facts, f.Fact)
			}
			if got := strings.Join(codes, " "); got != c.codes {
				t.Errorf("%s, want %s (%s)", got, c.codes, strings.Join(facts, "; "))
			}
			if !strings.Contains(strings.Join(facts, "\n"), c.words) {
				t.Errorf("%q does not hold %q", facts, c.words)
			}
			if slices.Contains(facts, "") {
				t.Error("a finding without a fact")
			}
		})
	}
}

// TestDroppedAnswers: what came to an interface and not up to the socket was dropped by
// the target; by whom is said only where nothing else can have done so.
func TestDroppedAnswers(t *testing.T) {
	t.Parallel()
	const server = "10.0.0.1"
	for _, c := range []struct {
		title string
		wire  *fact.DNSWire
		host  bool
		want  fact.Code
		text  string
	}{
		{"not watched", nil, false, DNSNameserverTimeout, "answered none of 2 questions in 0.0 s"},
		{"none came", &fact.DNSWire{}, false, DNSNameserverTimeout, "no answer to any interface"},
		{"dropped", &fact.DNSWire{Answers: 1, Dev: "eth0"}, false, FirewallPodDrop, "came in by eth0"},
		{"dropped by the node", &fact.DNSWire{Answers: 1, Dev: "eth0"}, true, FirewallHostDrop, "came in by eth0"},
		{"rp_filter", &fact.DNSWire{Answers: 2, Dev: "eth1", Counters: map[string]uint64{"TcpExt.IPReversePathFilter": 2}}, false, SysctlRPFilter, "eth1"},
		{"rp_filter dropped one of two", &fact.DNSWire{Answers: 2, Dev: "eth1", Counters: map[string]uint64{"TcpExt.IPReversePathFilter": 1}}, false, DNSNameserverTimeout, "is not known"},
		{"wrong checksum", &fact.DNSWire{Answers: 1, Dev: "eth0", Counters: map[string]uint64{"Udp.InCsumErrors": 1, "Udp.InErrors": 1}}, false, DNSNameserverTimeout, "is not known"},
		{"for another MAC", &fact.DNSWire{Answers: 1, Dev: "eth0", OtherMAC: true}, false, NeighWrongMAC, "another MAC"},
		{"of somebody else", &fact.DNSWire{Answers: 1, Dev: "eth0", From: "10.0.0.9:53"}, false, DNSNameserverTimeout, "10.0.0.9:53"},
	} {
		silent := try("a.", server, "timeout")
		silent.Wire = c.wire
		l := &fact.DNSLookup{Outcome: "timeout", Asked: "a", Name: "a.", Resolver: fact.DNSResolver{File: "/etc/resolv.conf", Servers: []string{server}}, Tried: []fact.DNSTry{silent}}
		found := Lookup(&fact.LookupEvidence{DNSLookup: l, Host: c.host})
		if len(found) != 1 || found[0].Code != c.want || !strings.Contains(found[0].Fact, c.text) {
			t.Errorf("%s: %+v, want %s with %q", c.title, found, c.want, c.text)
		}
	}
}
