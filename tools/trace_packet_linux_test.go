package tools

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
)

// traceBed is two pods of one node, the second of which may serve, and a service of it.
type traceBed struct {
	*testbench
	server  *lab.Pod
	service string // its port 80 is the server's port 8080, of TCP and of UDP
}

func newTraceBed(t *testing.T) *traceBed {
	t.Helper()
	b := newTestbench(t, nil)
	pods := b.lab.Pods(t, lab.PodSpec{Name: "client", Namespace: "shop", IPv6: true}, lab.PodSpec{Name: "web", Namespace: "shop", IPv6: true})
	s := &traceBed{testbench: b, server: pods[1]}
	spec := lab.ServiceSpec{Port: 80, TargetPort: 8080, Backends: []netip.Addr{s.server.IP}}
	for _, spec.Protocol = range []string{"tcp", "udp"} {
		var err error
		if spec, err = b.lab.AddService(spec); err != nil {
			t.Fatal(err)
		}
	}
	s.service = spec.IP.String()
	return s
}

// serve answers connections, and datagrams with themselves.
func (b *traceBed) serve(t *testing.T) {
	t.Helper()
	if _, err := b.server.Listen("tcp", ":8080"); err != nil {
		t.Fatal(err)
	}
	conn, err := b.server.Handle.ListenConfig().ListenPacket(t.Context(), "udp", ":8080")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buffer := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(buffer[:n], from) // the sender may be gone
		}
	}()
}

// ask calls the tool; SERVER, SERVER6 and SERVICE are addresses.
func (b *traceBed) ask(t *testing.T, destination string, more ...any) (*dispatch.Envelope, fact.PacketTrace) {
	t.Helper()
	fill := strings.NewReplacer("SERVER6", b.server.IP6.String(), "SERVER", b.server.IP.String(), "SERVICE", b.service)
	return succeed[fact.PacketTrace](t, b.testbench, "trace_packet", traceArgs(fill.Replace(destination), more...))
}

func traceArgs(destination string, more ...any) map[string]any {
	args := curlArgs("", more...)
	delete(args, "url")
	args["destination"] = destination
	if args["netns"] != nil {
		delete(args, "pod")
	}
	return args
}

// checkHops holds a picture against parts of its lines, which are in that order; others
// may be between.
func checkHops(t *testing.T, got, want []string) {
	t.Helper()
	at := 0
	for _, w := range want {
		arrow, rest, _ := strings.Cut(w, " ")
		i := slices.IndexFunc(got[at:], func(line string) bool {
			line = strings.NewReplacer("other ", "PEER ", "pod shop/web ", "PEER ", "pod kube-system/coredns ", "PEER ", " (bridge)", "").Replace(line)
			return strings.HasPrefix(line, arrow+" ") && strings.Contains(line, " ms "+strings.TrimSpace(rest))
		})
		if i < 0 {
			t.Fatalf("no %q after %d lines of\n%s", w, at, strings.Join(got, "\n"))
		}
		at += i + 1
	}
}

// TestTracePacket: what one packet meets is shown there and back, whatever its protocol.
func TestTracePacket(t *testing.T) {
	t.Parallel()
	lab.Kernel(t, noJourney())
	for _, c := range []struct {
		title string
		idle  bool              // nobody serves
		node  *lab.FirewallRule // of the node
		peer  *lab.FirewallRule // of the server
		to    string
		with  []any

		outcome fact.Outcome
		code    fact.Code // "" for no finding
		says    string    // in the summary
		hops    []string
	}{
		{title: "tcp", to: "SERVER:8080", outcome: fact.OutcomeOK, says: "is answered after",
			hops: []string{"-> target eth0 queued SYN", "-> node veth", "-> PEER eth0 received", "<- PEER eth0 queued SYN-ACK", "<- target eth0 received"}},
		{title: "tcp by a service", to: "SERVICE", with: []any{"port", 80}, outcome: fact.OutcomeOK, says: ":8080 after NAT",
			hops: []string{"-> target eth0 queued SYN", "-> node", "-> PEER eth0 received", "<- PEER eth0 queued SYN-ACK", "<- target eth0 received"}},
		{title: "tcp over IPv6", to: "[SERVER6]:8080", outcome: fact.OutcomeOK,
			hops: []string{"-> target eth0 queued SYN", "-> PEER eth0 received", "<- target eth0 received"}},
		{title: "udp by a service", to: "SERVICE:80", with: []any{"protocol", "udp"}, outcome: fact.OutcomeOK, says: ":8080 after NAT",
			hops: []string{"-> target eth0 queued", "-> node", "-> PEER eth0 received", "<- PEER eth0 queued", "<- target eth0 received"}},
		{title: "udp over IPv6", to: "SERVER6", with: []any{"protocol", "udp", "port", 8080, "payload", "hex:c0ffee"}, outcome: fact.OutcomeOK,
			hops: []string{"-> target eth0 queued", "-> PEER eth0 received", "<- PEER eth0 queued", "<- target eth0 received"}},
		{title: "icmp", to: "SERVER", with: []any{"protocol", "icmp"}, outcome: fact.OutcomeOK,
			hops: []string{"-> target eth0 queued echo-request", "-> PEER eth0 received", "<- PEER eth0 queued echo-reply", "<- target eth0 received"}},
		{title: "icmp over IPv6", to: "SERVER6", with: []any{"protocol", "icmp"}, outcome: fact.OutcomeOK,
			hops: []string{"-> target eth0 queued echo-request", "-> PEER eth0 received", "<- PEER eth0 queued echo-reply", "<- target eth0 received"}},
		{title: "from the node", to: "SERVER:8080", with: []any{"netns", "host"}, outcome: fact.OutcomeOK,
			hops: []string{"-> target cni0 queued SYN", "-> PEER eth0 received", "<- PEER eth0 queued SYN-ACK", "<- target cni0 received"}},
		{title: "the node drops", node: &lab.FirewallRule{Hook: lab.Forwarded, Port: 8080}, to: "SERVICE:80", outcome: fact.OutcomeTimeout, code: diagnose.FirewallHostDrop,
			says: "is dropped by a packet filter of the node", hops: []string{"-> target eth0 queued SYN", "-x node"}},
		{title: "the node drops datagrams", node: &lab.FirewallRule{Hook: lab.Forwarded, Protocol: "udp", Port: 8080}, to: "SERVICE:80", with: []any{"protocol", "udp"},
			outcome: fact.OutcomeTimeout, code: diagnose.FirewallHostDrop, says: "the datagram to", hops: []string{"-> target eth0 queued", "-x node"}},
		{title: "the server drops", peer: &lab.FirewallRule{Hook: lab.Incoming, Port: 8080}, to: "SERVER:8080", outcome: fact.OutcomeTimeout, code: diagnose.FirewallPeerDrop,
			hops: []string{"-> PEER eth0 received", "-x PEER eth0 dropped (NETFILTER_DROP in"}},
		{title: "the node refuses by ICMP", node: &lab.FirewallRule{Hook: lab.Forwarded, Port: 8080, Verdict: lab.Prohibit}, to: "SERVER:8080", outcome: fact.OutcomeUnreachable, code: diagnose.FirewallHostReject},
		{title: "the node refuses by RST", node: &lab.FirewallRule{Hook: lab.Forwarded, Port: 8080, Verdict: lab.Reset}, to: "SERVER:8080", outcome: fact.OutcomeRefused, code: diagnose.TCPRefused},
		{title: "the server refuses by ICMP", peer: &lab.FirewallRule{Hook: lab.Incoming, Port: 8080, Verdict: lab.Refuse}, to: "SERVER:8080", outcome: fact.OutcomeRefused, code: diagnose.TCPRefused},
		{title: "the node refuses datagrams", node: &lab.FirewallRule{Hook: lab.Forwarded, Protocol: "udp", Port: 8080, Verdict: lab.Refuse}, to: "SERVER:8080", with: []any{"protocol", "udp"}, outcome: fact.OutcomeRefused},
		{title: "nobody listens", idle: true, to: "SERVICE:80", outcome: fact.OutcomeRefused, code: diagnose.TCPRefused,
			hops: []string{"-> PEER eth0 received", "<- PEER eth0 queued RST", "<- target eth0 received"}},
		{title: "nobody listens on UDP", idle: true, to: "SERVER:8080", with: []any{"protocol", "udp"}, outcome: fact.OutcomeRefused,
			says: "port-unreachable", hops: []string{"-> PEER eth0 received", "<- PEER eth0 queued port-unreachable", "<- target eth0 received"}},
		{title: "nobody has the address", to: "10.244.1.240", with: []any{"protocol", "icmp"}, outcome: fact.OutcomeUnreachable, code: diagnose.NeighFailed},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			b := newTraceBed(t)
			if !c.idle {
				b.serve(t)
			}
			for ns, rule := range map[*lab.Netns]*lab.FirewallRule{b.lab.Node.Netns: c.node, b.server.Netns: c.peer} {
				if rule == nil {
					continue
				}
				if err := ns.Firewall(*rule); err != nil {
					t.Fatal(err)
				}
			}
			answer, data := b.ask(t, c.to, c.with...)
			want := []string{}
			if c.code != "" {
				want = append(want, string(c.code))
			}
			if got := codes(answer.Findings); data.Outcome != c.outcome || !slices.Equal(got, want) || !strings.Contains(answer.Summary, c.says) {
				t.Errorf("%s %v, want %s %v and %q: %s", data.Outcome, got, c.outcome, want, c.says, answer.Summary)
			}
			checkHops(t, data.Hops, c.hops)
			if nat := ", NAT " + b.service + ":80 -> " + b.server.IP.String() + ":8080"; strings.Contains(c.to, "SERVICE") && !strings.Contains(strings.Join(data.Hops, "\n"), nat) {
				t.Errorf("no %q in %q", nat, data.Hops)
			}
			if j := data.Journey; j == nil || j.Status != fact.JourneyRecorded || j.Steps != nil || data.Mermaid != nil {
				t.Errorf("journey %+v", j)
			}
			if c.outcome == fact.OutcomeOK && !answer.Target.HostNetwork && len(answer.Next) > 0 {
				t.Errorf("next %v", answer.Next)
			}
			if raw, _ := json.Marshal(answer); len(raw) > 3000 {
				t.Errorf("%d bytes: %s", len(raw), raw)
			}
		})
	}
}

// TestTracePacketAsksForAName: a DNS question goes to port 53, and its answer's code is
// told; the destination's name is the target's own.
func TestTracePacketAsksForAName(t *testing.T) {
	t.Parallel()
	lab.Kernel(t, noJourney())
	b := newDNSBed(t, zoneHandler(t, "api. 30 IN A 192.0.2.1", "dns. 30 IN A 10.244.1.10"))
	if b.at != "10.244.1.10" {
		t.Fatalf("the server is %s", b.at)
	}
	b.web(t, nil, "nameserver "+b.at)
	for name, want := range map[string]string{"api": "NOERROR", "nobody": "NXDOMAIN"} {
		_, data := succeed[fact.PacketTrace](t, b.testbench, "trace_packet", map[string]any{"pod": "shop/web", "destination": "dns", "protocol": "udp", "dns_name": name})
		if data.Outcome != fact.OutcomeOK || data.RCode != want || data.DNS == nil || *data.AnswerBytes == 0 {
			t.Errorf("%s: %+v", name, data)
		}
		checkHops(t, data.Hops, []string{"-> target eth0 queued", "-> PEER eth0 received", "<- PEER eth0 queued", "<- target eth0 received"})
	}
	answer, data := succeed[fact.PacketTrace](t, b.testbench, "trace_packet", map[string]any{"pod": "shop/web", "destination": "nobody:80"})
	if data.Outcome != fact.OutcomeDNSFailed || !strings.HasPrefix(answer.Summary, "Nothing was sent") || !slices.Equal(codes(answer.Findings), []string{"dns.nxdomain"}) ||
		len(answer.Next) == 0 || answer.Next[0].Tool != "netns_dns_lookup" {
		t.Errorf("%s %v %v", answer.Summary, answer.Findings, answer.Next)
	}
}

// TestTracePacketInDetail: all steps, and the picture as a diagram.
func TestTracePacketInDetail(t *testing.T) {
	t.Parallel()
	lab.Kernel(t, noJourney())
	b := newTraceBed(t)
	b.serve(t)
	_, data := b.ask(t, "SERVICE:80", "details", true)
	if len(data.Journey.Steps) < len(data.Hops) || len(data.Mermaid) < len(data.Hops) || data.Mermaid[0] != "sequenceDiagram" {
		t.Errorf("%+v", data)
	}
}

// TestTracePacketBehindOwnNAT: what the target's own NAT rewrites before the first device is
// not known again, which is said.
func TestTracePacketBehindOwnNAT(t *testing.T) {
	t.Parallel()
	lab.Kernel(t, noJourney())
	b := newTraceBed(t)
	b.serve(t)
	answer, data := b.ask(t, "SERVICE:80", "netns", "host")
	noted := slices.ContainsFunc(answer.Notes, func(n dispatch.Note) bool { return n.Code == "packet_not_recognized" })
	if data.Outcome != fact.OutcomeOK || noted != (len(data.Hops) == 0) {
		t.Errorf("%s: %q %v", data.Outcome, data.Hops, answer.Notes)
	}
}

// TestTracePacketLeadsOn: to the destination's own network, by the address that the packet
// had after NAT.
func TestTracePacketLeadsOn(t *testing.T) {
	t.Parallel()
	lab.Kernel(t, noJourney())
	b := newTraceBed(t)
	answer, _ := b.ask(t, "SERVICE:80")
	at := slices.IndexFunc(answer.Next, func(n dispatch.Next) bool {
		return n.Tool == "trace_packet" && n.Arguments["destination"] == b.server.IP.String()+":8080"
	})
	if at < 0 {
		t.Fatalf("next %+v", answer.Next)
	}
	if inside := b.call(t, "trace_packet", answer.Next[at].Arguments); !slices.Equal(codes(inside.Findings), []string{"tcp.no_listener"}) {
		t.Errorf("%s %v", inside.Summary, inside.Findings)
	}
}

// TestTracePacketHeedsPolicy: for each protocol the literal address is what counts, and
// nothing goes to many.
func TestTracePacketHeedsPolicy(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, nil)
	b.lab.Pod(t, lab.PodSpec{Name: "client", Namespace: "shop"})
	for _, protocol := range []string{"tcp", "udp", "icmp"} {
		for _, to := range []string{"169.254.169.254", "::ffff:169.254.169.254", "224.0.0.1", "255.255.255.255", "ff02::1", "2852039166"} {
			args := traceArgs(to, "protocol", protocol)
			if protocol != "icmp" {
				args["port"] = 80
			}
			fail(t, b, dispatch.CodeDestinationDenied, "trace_packet", args)
		}
		for _, to := range []string{"127.0.0.1", "::1", "0.0.0.0"} {
			args := map[string]any{"netns": "host", "destination": to, "protocol": protocol}
			if protocol != "icmp" {
				args["port"] = 80
			}
			fail(t, b, dispatch.CodeDestinationDenied, "trace_packet", args)
		}
	}
	// The kernel keeps back what goes to a network's own broadcast address.
	_, data := succeed[fact.PacketTrace](t, b, "trace_packet", traceArgs("10.244.1.255", "protocol", "icmp", "timeout_ms", 1000))
	if data.Outcome == fact.OutcomeOK || len(data.Hops) > 0 {
		t.Errorf("%+v", data)
	}
}

// TestTracePacketWithoutJourney: who has switched it off is said; and where the kernel
// gives none, what became of the packet is known all the same.
func TestTracePacketWithoutJourney(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, func(c *dispatch.Config) { c.Policy.NoJourney = true })
	b.lab.Pod(t, lab.PodSpec{Name: "client", Namespace: "shop"})
	if e := fail(t, b, dispatch.CodeToolDisabled, "trace_packet", traceArgs("10.244.1.240:80")); !strings.Contains(e.Message, "the operator has switched") {
		t.Errorf("%+v", e)
	}
	s := newTestbench(t, nil)
	s.lab.Pod(t, lab.PodSpec{Name: "client", Namespace: "shop", Style: lab.Plain})
	answer, data := succeed[fact.PacketTrace](t, s, "trace_packet", traceArgs("192.0.2.1:80"))
	if data.Outcome != fact.OutcomeUnreachable || data.Journey == nil || data.Journey.Status != fact.JourneyUnavailable || !strings.Contains(answer.Summary, "not known") ||
		!slices.ContainsFunc(answer.Notes, func(n dispatch.Note) bool { return n.Code == "journey_unavailable" }) {
		t.Errorf("%s %+v %+v", answer.Summary, data, answer.Notes)
	}
}

// TestTracePacketArguments: each that makes no sense is refused with what would.
func TestTracePacketArguments(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, nil)
	b.lab.Pod(t, lab.PodSpec{Name: "client", Namespace: "shop"})
	for _, c := range []struct {
		to   string
		with []any
		says string
	}{
		{"http://api/", nil, "netns_curl"},
		{"10.0.0.0/8", nil, "netns_curl"},
		{"", nil, "destination"},
		{"api", nil, "needs a port"},
		{"api:http", nil, "no host:port"},
		{"api:0", nil, "no host:port"},
		{"api:80", []any{"port", 81}, "send one of them"},
		{"a b:80", nil, "no host name"},
		{"api:80", []any{"protocol", "icmp"}, "has no ports"},
		{"api", []any{"protocol", "icmp", "port", 7}, "has no ports"},
		{"api:80", []any{"payload", "x"}, "protocol udp"},
		{"api", []any{"dns_name", "x"}, "protocol udp"},
		{"api:80", []any{"protocol", "sctp"}, "tcp"},
		{"api:80", []any{"protocol", "udp", "payload", "x", "dns_name", "y"}, "one of the two"},
		{"api:80", []any{"protocol", "udp", "payload", "hex:abc"}, "whole bytes"},
		{"api:80", []any{"protocol", "udp", "payload", strings.Repeat("x", 1401)}, "more than 1400"},
		{"api", []any{"protocol", "udp", "dns_name", "a b"}, "dns_name"},
	} {
		e := fail(t, b, dispatch.CodeInvalidArguments, "trace_packet", traceArgs(c.to, c.with...))
		if !strings.Contains(e.Message, c.says) {
			t.Errorf("%s %v: %q lacks %q", c.to, c.with, e.Message, c.says)
		}
	}
}
