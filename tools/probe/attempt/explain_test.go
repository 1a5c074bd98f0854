package attempt

import (
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	route := &fact.AttemptRoute{Type: "unicast", Dev: "eth0", Gateway: "10.0.0.1", PrefSrc: "10.0.0.5"}
	direct := &fact.AttemptRoute{Type: "unicast", Dev: "eth0", PrefSrc: "10.0.0.5"}
	local := &fact.AttemptRoute{Type: "local", Dev: "lo", PrefSrc: "10.0.0.5"}
	reachable := &fact.AttemptNeigh{Dst: "10.0.0.1", Lladdr: "02:00:00:00:00:01", State: "REACHABLE"}
	for _, c := range []struct {
		name    string
		a       fact.Attempt
		outcome fact.Outcome
		cause   fact.Cause
		why     string // a part of it
	}{
		{"one lost SYN", fact.Attempt{Outcome: fact.OutcomeOK, MS: 1031, SYNRetransmits: 1},
			fact.OutcomeOK, fact.CauseSlow, "sent twice: 1 SYN was unanswered"},
		{"three lost SYNs", fact.Attempt{Outcome: fact.OutcomeOK, MS: 7031, SYNRetransmits: 3},
			fact.OutcomeOK, fact.CauseSlow, "4 times: 3 SYNs were"},
		{"the end of an older search for the next hop", fact.Attempt{Outcome: fact.OutcomeOK, MS: 37, AgainAfterMS: 36},
			fact.OutcomeOK, "", "second try: the first met, after 36 ms"},
		{"BPF or a security module", fact.Attempt{Errno: "EPERM"},
			fact.OutcomeBlockedLocally, fact.CauseNotPermitted, "BPF"},
		{"reset meanwhile", fact.Attempt{Errno: "ECONNRESET"},
			fact.OutcomeReset, fact.CauseUnknown, "reset"},
		{"an errno nobody expects", fact.Attempt{Errno: "EXDEV"},
			fact.OutcomeUnreachable, fact.CauseUnknown, "EXDEV"},
		{"no IPv6 in the kernel", fact.Attempt{Errno: "EAFNOSUPPORT"},
			fact.OutcomeUnreachable, fact.CauseNoAddress, "no IPv6"},

		{"refused, nothing heard", fact.Attempt{Errno: "ECONNREFUSED", Route: route},
			fact.OutcomeRefused, fact.CauseResetAnswer, "answered with RST"},
		{"refused, only the counter tells", fact.Attempt{Errno: "ECONNREFUSED", Route: route,
			Counters: map[string]uint64{"Icmp.InDestUnreachs": 1}},
			fact.OutcomeRefused, fact.CauseICMP, "probably"},
		{"refused by the target itself, sockets unknown", fact.Attempt{Errno: "ECONNREFUSED", Route: local, Address: "10.0.0.5:80"},
			fact.OutcomeRefused, fact.CauseResetAnswer, "an address of the target itself"},
		{"redirected to a closed port of the target", fact.Attempt{Errno: "ECONNREFUSED", Route: route,
			Answer: &fact.Answer{Kind: "rst", Own: true}, Counters: map[string]uint64{"Tcp.OutRsts": 1}},
			fact.OutcomeRefused, fact.CauseRedirected, "service mesh"},

		{"a router on the way", fact.Attempt{Errno: "EHOSTUNREACH", Route: route, Neigh: reachable, Address: "192.0.2.1:80",
			Answer: &fact.Answer{Kind: "icmp", From: "198.51.100.1", ICMP: "time exceeded"}},
			fact.OutcomeUnreachable, fact.CauseICMP, "router 198.51.100.1 answered with ICMP time exceeded: a routing loop"},
		{"the gateway", fact.Attempt{Errno: "EHOSTUNREACH", Route: route, Neigh: reachable, Address: "192.0.2.1:80",
			Answer: &fact.Answer{Kind: "icmp", From: "10.0.0.1", ICMP: "host unreachable"}},
			fact.OutcomeUnreachable, fact.CauseICMP, "the gateway 10.0.0.1"},
		{"a service whose endpoint is gone", fact.Attempt{Errno: "EHOSTUNREACH", Route: route, Neigh: reachable, Address: "10.96.0.10:80",
			Answer: &fact.Answer{Kind: "icmp", From: "10.96.0.10", ICMP: "host unreachable"}},
			fact.OutcomeUnreachable, fact.CauseICMP, "in the destination's own name: its address is translated (a service), and what is behind it cannot be reached"},
		{"an IPv6 service whose endpoint is gone", fact.Attempt{Errno: "EHOSTUNREACH", Route: route, Neigh: reachable, Address: "[fd00::10]:80",
			Answer: &fact.Answer{Kind: "icmp", From: "fd00::10", ICMP: "address unreachable"}},
			fact.OutcomeUnreachable, fact.CauseICMP, "ICMP address unreachable came back in the destination's own name"},
		{"the destination's firewall", fact.Attempt{Errno: "EHOSTUNREACH", Route: route, Neigh: reachable, Address: "192.0.2.1:80",
			Answer: &fact.Answer{Kind: "icmp", From: "192.0.2.1", ICMP: "host administratively prohibited"}},
			fact.OutcomeUnreachable, fact.CauseICMP, "the destination itself answered with ICMP host administratively prohibited: a firewall rule"},
		{"reset behind the target's own NAT", fact.Attempt{Errno: "ECONNREFUSED", Route: route, Address: "10.96.0.10:80",
			Answer: &fact.Answer{Kind: "rst", From: "10.96.0.10:80"}, Wire: &fact.Wire{SYNOut: 1, SentTo: "10.0.0.9:8080"}},
			fact.OutcomeRefused, fact.CauseResetAnswer, "had rewritten 10.96.0.10:80 to 10.0.0.9:8080: nothing listens there"},
		{"reset behind the target's own NAT, nothing heard", fact.Attempt{Errno: "ECONNREFUSED", Route: route, Address: "10.96.0.10:80",
			Wire: &fact.Wire{SYNOut: 1, SentTo: "10.0.0.9:8080"}},
			fact.OutcomeRefused, fact.CauseResetAnswer, "to 10.0.0.9:8080: nothing listens there"},
		{"unreachable for no known reason", fact.Attempt{Errno: "EHOSTUNREACH", Route: route, Neigh: reachable, Address: "192.0.2.1:80"},
			fact.OutcomeUnreachable, fact.CauseUnknown, "EHOSTUNREACH"},

		{"answer with a wrong source interface", fact.Attempt{Errno: "ETIMEDOUT", Route: route, Neigh: reachable, SYNRetransmits: 2,
			Wire: &fact.Wire{SYNOut: 2, SYNACKIn: 3}, Counters: map[string]uint64{"TcpExt.IPReversePathFilter": 3}},
			fact.OutcomeBlockedLocally, fact.CauseReversePath, "rp_filter"},
		{"answer with a wrong checksum", fact.Attempt{Errno: "ETIMEDOUT", Route: route, Neigh: reachable, SYNRetransmits: 2,
			Wire: &fact.Wire{SYNOut: 2, SYNACKIn: 3}, Counters: map[string]uint64{"Tcp.InCsumErrors": 3}},
			fact.OutcomeTimeout, fact.CauseChecksum, "checksum"},
		{"another application's drops prove nothing when the SYN was seen", fact.Attempt{Errno: "ETIMEDOUT", Route: route,
			Neigh: reachable, SYNRetransmits: 2, Wire: &fact.Wire{SYNOut: 2}, Counters: map[string]uint64{"TcpExt.TCPRetransFail": 9}},
			fact.OutcomeTimeout, fact.CauseLost, "is lost at or beyond the gateway"},
		{"fewer drops than repetitions", fact.Attempt{Errno: "ETIMEDOUT", Route: route,
			Neigh: reachable, SYNRetransmits: 2, Counters: map[string]uint64{"TcpExt.TCPRetransFail": 1}},
			fact.OutcomeTimeout, fact.CauseLost, "is lost at or beyond the gateway"},
		{"lost after the target's own NAT", fact.Attempt{Errno: "ETIMEDOUT", Route: direct, SYNRetransmits: 2,
			Wire: &fact.Wire{SYNOut: 2, Dev: "eth0", SentTo: "10.0.0.9:8080"}},
			fact.OutcomeTimeout, fact.CauseLost, "by eth0, rewritten by the target's own NAT to 10.0.0.9:8080"},
		{"lost after the target's own NAT, whatever the gateway on the way there was", fact.Attempt{Errno: "ETIMEDOUT", Route: route, SYNRetransmits: 2,
			Neigh: &fact.AttemptNeigh{Dst: "10.0.0.1", State: "FAILED"}, Wire: &fact.Wire{SYNOut: 2, Dev: "eth1", SentTo: "10.0.0.9:8080", Asked: 3}},
			fact.OutcomeTimeout, fact.CauseLost, "it is lost on the way, or dropped by the destination"},
		{"the target's own NAT leads to the target itself", fact.Attempt{Errno: "ETIMEDOUT", Route: route, SYNRetransmits: 2,
			Neigh: reachable, Wire: &fact.Wire{SYNOut: 2, Dev: "lo", SentTo: "127.0.0.1:15001"}},
			fact.OutcomeTimeout, fact.CauseLost, "127.0.0.1:15001, and nothing came back: that is the target itself"},
		{"too short to tell", fact.Attempt{Errno: "ETIMEDOUT", Route: route, Neigh: reachable, MS: 300},
			fact.OutcomeTimeout, fact.CauseTooShort, "allow more time"},
		{"nothing measured", fact.Attempt{Errno: "ETIMEDOUT", MS: 3000},
			fact.OutcomeTimeout, fact.CauseUnknown, "no answer within 3000 ms"},
		{"a neighbour that stopped answering", fact.Attempt{Errno: "ETIMEDOUT", Route: direct, SYNRetransmits: 3,
			Neigh: &fact.AttemptNeigh{Dst: "10.0.0.7", State: "FAILED"}},
			fact.OutcomeTimeout, fact.CauseNeighbourSilent, "10.0.0.7 should be on the link of eth0"},
		{"a gateway that stopped answering", fact.Attempt{Errno: "ETIMEDOUT", Route: route, Neigh: reachable, SYNRetransmits: 2,
			Wire: &fact.Wire{SYNOut: 2, Asked: 3}},
			fact.OutcomeTimeout, fact.CauseGatewaySilent, "what is sent to its old address is lost"},
		{"a gateway that answers", fact.Attempt{Errno: "ETIMEDOUT", Route: route, Neigh: reachable, SYNRetransmits: 2,
			Wire: &fact.Wire{SYNOut: 2, Asked: 3, Answered: 1}},
			fact.OutcomeTimeout, fact.CauseLost, "is lost beyond the gateway"},
		{"a gateway whose address was set by hand", fact.Attempt{Errno: "ETIMEDOUT", Route: route, SYNRetransmits: 2,
			Neigh: &fact.AttemptNeigh{Dst: "10.0.0.1", Lladdr: "ee:ee:ee:ee:ee:ee", State: "PERMANENT"}, Wire: &fact.Wire{SYNOut: 2, Asked: 3}},
			fact.OutcomeTimeout, fact.CauseLost, "is lost at or beyond the gateway"},
		{"lost on the link: the MAC address is the next hop's", fact.Attempt{Errno: "ETIMEDOUT", Route: direct, SYNRetransmits: 3, Neigh: reachable},
			fact.OutcomeTimeout, fact.CauseLost, "sent 4 times by eth0 to next hop 02:00:00:00:00:01 and nothing came back"},
		{"lost behind a gateway: the MAC address is the gateway's", fact.Attempt{Errno: "ETIMEDOUT", Route: route, SYNRetransmits: 3, Neigh: reachable},
			fact.OutcomeTimeout, fact.CauseLost, "by eth0 to the gateway 10.0.0.1 (02:00:00:00:00:01) and nothing"},
		{"an IPv6 gateway that does not answer", fact.Attempt{Errno: "ETIMEDOUT",
			Route: &fact.AttemptRoute{Type: "unicast", Dev: "eth0", Gateway: "fe80::1"},
			Neigh: &fact.AttemptNeigh{Dst: "fe80::1", State: "INCOMPLETE"}},
			fact.OutcomeTimeout, fact.CauseGatewaySilent, "neighbour discovery"},
		{"the target itself, nothing else known", fact.Attempt{Errno: "ETIMEDOUT", Route: local, Address: "10.0.0.5:80",
			Listeners: []string{"::"}, MS: 3000},
			fact.OutcomeTimeout, fact.CauseUnknown, "is the target itself"},
	} {
		a := c.a
		Explain(&a)
		if a.Outcome != c.outcome || a.Cause != c.cause || !strings.Contains(a.Why, c.why) {
			t.Errorf("%s: %s, %s, %q; want %s, %s, ...%s...", c.name, a.Outcome, a.Cause, a.Why, c.outcome, c.cause, c.why)
		}
	}
}

func TestListensOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		listener, address string
		want              bool
	}{
		{"0.0.0.0", "10.0.0.5:80", true},
		{"0.0.0.0", "[fd00::5]:80", false},
		{"::", "[fd00::5]:80", true},
		{"::", "10.0.0.5:80", true},
		{"127.0.0.1", "10.0.0.5:80", false},
		{"10.0.0.5", "10.0.0.5:80", true},
		{"10.0.0.5", "[::ffff:10.0.0.5]:80", true},
		{"fe80::1", "[fe80::1%eth0]:80", true},
		{"garbage", "10.0.0.5:80", false},
	} {
		if got := listensOn([]string{c.listener}, c.address); got != c.want {
			t.Errorf("listener %s, address %s: %v", c.listener, c.address, got)
		}
	}
}
