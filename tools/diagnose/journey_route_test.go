package diagnose

import (
	"strconv"
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

// parseTrail reads steps as [fact.JourneyStep.String] writes them, a line each, after the
// number of milliseconds. Each place is one network, each device of it another one.
func parseTrail(t *testing.T, text string) []fact.JourneyStep {
	t.Helper()
	inodes := map[string]uint64{fact.PlaceTarget: 1, fact.PlaceNode: 2, fact.PlaceOther: 3}
	devices := map[string]int{}
	var steps []fact.JourneyStep
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line, reason, _ := strings.Cut(strings.TrimSpace(line), " (")
		var after string
		if reason != "" {
			reason, after, _ = strings.Cut(reason, ")")
			line += after
		}
		f := strings.Fields(line)
		ms, err := strconv.ParseFloat(f[0], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if devices[f[1]+f[2]] == 0 {
			devices[f[1]+f[2]] = len(devices) + 1
		}
		s := fact.JourneyStep{MS: ms, Place: f[1], NetnsInode: inodes[f[1]], Dev: f[2], Ifindex: devices[f[1]+f[2]], What: f[3], Proto: "udp"}
		s.Reason, s.Function, _ = strings.Cut(reason, " in ")
		if len(f) == 8 {
			s.Kind, s.Proto = f[4], "icmp"
			if s.Kind == "RST" || strings.HasPrefix(s.Kind, "SYN") {
				s.Proto = "tcp"
			}
		}
		s.Src, s.Dst = f[len(f)-3], f[len(f)-1]
		s.Back = strings.Contains(s.Src, ":80") || strings.Contains(s.Src, ":53") || s.Proto == "icmp"
		steps = append(steps, s)
	}
	return steps
}

// TestSilentNextHop: a next hop that is not the destination is named.
func TestSilentNextHop(t *testing.T) {
	t.Parallel()
	steps := parseTrail(t, `
		0 target eth0 queued SYN 10.244.1.60:4000 > 10.244.2.10:80
		0.1 node veth1 received SYN 10.244.1.60:4000 > 10.244.2.10:80
		1024.1 node eth0 dropped (NEIGH_FAILED in neigh_invalidate) SYN 10.244.1.60:4000 > 10.244.2.10:80`)
	j := fact.Journey{Steps: steps, NextHop: &fact.AttemptNeigh{Dst: "172.18.0.9", State: "FAILED"}}
	if cause, text := newTrail(&j, "the SYN", "10.244.2.10:80").judge(); cause != fact.CauseNeighbourSilent || !strings.Contains(text, "the next hop, 172.18.0.9, answers no ARP there") {
		t.Errorf("%s %q", cause, text)
	}
}

// TestRouteRules: what the network says where a packet ended, and only that, is blamed.
// The trails are recorded ones.
func TestRouteRules(t *testing.T) {
	t.Parallel()
	const (
		sent = `
			0 target eth0 queued SYN 10.244.1.60:4000 > 10.244.2.10:80
			0.1 node veth1 received SYN 10.244.1.60:4000 > 10.244.2.10:80
			0.1 node cni0 received SYN 10.244.1.60:4000 > 10.244.2.10:80
			`
		blackhole = sent + `0.2 node cni0 dropped (NOT_SPECIFIED in ip_error) SYN 10.244.1.60:4000 > 10.244.2.10:80`
		addresses = sent + `0.2 node cni0 dropped (IP_INADDRERRORS in ip_error) SYN 10.244.1.60:4000 > 10.244.2.10:80`
		arrived   = sent + `0.2 node eth0 queued SYN 10.244.1.60:4000 > 10.244.2.10:80
			0.3 other eth0 received SYN 10.244.1.60:4000 > 10.244.2.10:80`
		answered = arrived + `
			0.4 other eth0 queued SYN-ACK 10.244.2.10:80 > 10.244.1.60:4000
			0.5 node eth0 received SYN-ACK 10.244.2.10:80 > 10.244.1.60:4000`
		unresolved = `
			0 target eth0 queued SYN 10.244.1.60:4000 > 10.244.2.10:80
			0.1 node veth1 received SYN 10.244.1.60:4000 > 10.244.2.10:80
			1024 target eth0 queued SYN 10.244.1.60:4000 > 10.244.2.10:80
			1024.1 node eth0 dropped (NEIGH_FAILED in neigh_invalidate) SYN 10.244.1.60:4000 > 10.244.2.10:80
			1024.2 node veth1 received SYN 10.244.1.60:4000 > 10.244.2.10:80`
	)
	yes, no := true, false
	route := func(kind, dst string) *fact.AttemptRoute {
		return &fact.AttemptRoute{Type: kind, Dst: dst, Dev: "eth0"}
	}
	for _, c := range []struct {
		title, trail string
		end          *fact.JourneyEnd
		cause        fact.Cause
		says         string
	}{
		{"forwarding is off", addresses, &fact.JourneyEnd{Forwarding: &no}, fact.CauseNotForwarding,
			"the SYN to 10.244.2.10:80 is dropped on the node, at cni0, which does not forward: net.ipv4.conf.cni0.forwarding is 0 there (IP_INADDRERRORS in ip_error)"},
		{"forwarding is off, and nothing is dropped there", arrived, &fact.JourneyEnd{Forwarding: &no}, "", ""},
		{"the same reason, and the node forwards", addresses, &fact.JourneyEnd{Forwarding: &yes}, "", ""},
		{"the same reason, and nobody was asked", addresses, nil, "", ""},
		{"another network need not forward", strings.Replace(addresses, "node cni0 dropped", "other wire dropped", 1), &fact.JourneyEnd{Forwarding: &no}, "", ""},
		{"another network need have no route", strings.Replace(blackhole, "node cni0 dropped", "other wire dropped", 1),
			&fact.JourneyEnd{Forwarding: &no, Route: route(fact.RouteNone, "")}, "", ""},
		{"forwarding is off for IPv6", `0 target eth0 queued SYN [fd00::1]:4000 > [fd00:2::2]:80
			0.2 node cni0 dropped (IP_INADDRERRORS in ip6_forward) SYN [fd00::1]:4000 > [fd00:2::2]:80`, &fact.JourneyEnd{Forwarding: &no},
			fact.CauseNotForwarding, "net.ipv6.conf.all.forwarding is 0 there"},
		{"a blackhole", blackhole, &fact.JourneyEnd{Forwarding: &yes, Route: route(fact.RouteBlackhole, "10.244.2.0/24")}, fact.CauseBlackhole,
			"the SYN to 10.244.2.10:80 is dropped on the node, at cni0: for 10.244.2.10 there is a route of type blackhole (prefix 10.244.2.0/24) there (NOT_SPECIFIED in ip_error)"},
		{"dropped there, and the route is fine", blackhole, &fact.JourneyEnd{Forwarding: &yes, Route: route("unicast", "10.244.2.0/24")}, "", ""},
		{"dropped there, and which route is not known", blackhole, &fact.JourneyEnd{Forwarding: &yes}, "", ""},
		{"a packet filter drops, and a blackhole would", sent + `0.2 node cni0 dropped (NETFILTER_DROP in nft_do_chain) SYN 10.244.1.60:4000 > 10.244.2.10:80`,
			&fact.JourneyEnd{Route: route(fact.RouteBlackhole, "10.244.2.0/24")}, fact.CauseNodeDrop, ""},
		{"dropped elsewhere in the kernel, and a blackhole would", sent + `0.2 node cni0 dropped (NOT_SPECIFIED in br_handle_frame) SYN 10.244.1.60:4000 > 10.244.2.10:80`,
			&fact.JourneyEnd{Route: route(fact.RouteBlackhole, "10.244.2.0/24")}, "", ""},
		{"no route", sent + `0.2 node cni0 dropped (IP_INNOROUTES in ip_error) SYN 10.244.1.60:4000 > 10.244.2.10:80`, &fact.JourneyEnd{Route: route(fact.RouteNone, "")},
			fact.CauseUnreachableRoute, "for 10.244.2.10 there is no route there"},
		{"a rule that prohibits", blackhole, &fact.JourneyEnd{Route: &fact.AttemptRoute{Type: fact.RouteProhibit, Rule: "80: prohibit"}}, fact.CauseProhibited,
			"there is a policy rule of type prohibit (rule 80: prohibit) there"},
		{"a blackhole for IPv6", `0 target eth0 queued SYN [fd00::1]:4000 > [fd00:2::2]:80
			0.2 node cni0 dropped (NOT_SPECIFIED in dst_discard_out) SYN [fd00::1]:4000 > [fd00:2::2]:80`, &fact.JourneyEnd{Route: route(fact.RouteBlackhole, "fd00:2::/64")},
			fact.CauseBlackhole, "for fd00:2::2 there is a route of type blackhole"},
		{"the answer meets a blackhole", answered + `
			0.6 node eth0 dropped (NOT_SPECIFIED in ip_error) SYN-ACK 10.244.2.10:80 > 10.244.1.60:4000`, &fact.JourneyEnd{Route: route(fact.RouteBlackhole, "10.244.1.0/26")},
			fact.CauseNoReturn, "the answer of 10.244.2.10:80 is dropped on the node, at eth0: for 10.244.1.60 there is a route of type blackhole"},
		{"no way back", arrived, &fact.JourneyEnd{Route: route(fact.RouteLocal, ""), Return: route(fact.RouteNone, "")}, fact.CauseNoReturn,
			"the SYN to 10.244.2.10:80 arrived in another network on this node, at eth0, and no answer can leave: for 10.244.1.60 there is no route there"},
		{"no way back from a network that is not the destination's", arrived, &fact.JourneyEnd{Route: route(fact.RouteNone, ""), Return: route(fact.RouteNone, "")}, "", ""},
		{"a way back", arrived, &fact.JourneyEnd{Route: route(fact.RouteLocal, ""), Return: route("unicast", "default")}, "", ""},
		{"no way back, and the answer left", answered, &fact.JourneyEnd{Route: route(fact.RouteLocal, ""), Return: route(fact.RouteNone, "")}, "", ""},
		{"a question", `0 target eth0 queued 10.244.1.60:4000 > 10.96.0.10:53
			0.1 node cni0 dropped (NOT_SPECIFIED in ip_error) 10.244.1.60:4000 > 10.244.2.10:53`, &fact.JourneyEnd{Route: route(fact.RouteBlackhole, "10.244.2.0/24")},
			fact.CauseBlackhole, "translated to 10.244.2.10:53, is dropped"},
		{"no link-layer address", unresolved, nil, fact.CauseNeighbourSilent, "gets no further on the node, at eth0: the next hop answers no ARP there"},
		{"a link-layer address at last", unresolved + `
			1025 node eth0 queued SYN 10.244.1.60:4000 > 10.244.2.10:80`, nil, "", ""},
	} {
		cause, text := newTrail(&fact.Journey{Steps: parseTrail(t, c.trail), End: c.end}, "the SYN", "10.244.2.10:80").judge()
		if cause != c.cause || !strings.Contains(text, c.says) {
			t.Errorf("%s: %s %q, want %s %q", c.title, cause, text, c.cause, c.says)
		}
	}
}

// TestLeftOpen: how far a packet was seen is said, and no more.
func TestLeftOpen(t *testing.T) {
	t.Parallel()
	const sent = `
		0 target eth0 queued SYN 10.244.1.60:4000 > 10.244.2.10:80
		`
	const onNode = sent + `0.1 node eth0 queued SYN 10.244.1.60:4000 > 10.244.2.10:80
		`
	for _, c := range []struct{ trail, role, says string }{
		{sent, "", ""},
		{onNode, fact.RoleUplink, "the SYN to 10.244.2.10:80 left the node by eth0"},
		{onNode, fact.RoleBridge, "the SYN to 10.244.2.10:80 was sent on the node, at eth0, and was not seen again"},
		{onNode, "", "the SYN to 10.244.2.10:80 was sent on the node, at eth0, and was not seen again"},
		{sent + `0.1 node veth1 received SYN 10.244.1.60:4000 > 10.244.2.10:80`, "", "the SYN to 10.244.2.10:80 came in on the node, at veth1, and was not seen again"},
		{sent + `0.1 node veth1 dropped (NOT_SPECIFIED in br_handle_frame) SYN 10.244.1.60:4000 > 10.244.2.10:80`, "",
			"the SYN to 10.244.2.10:80 was dropped on the node, at veth1 (NOT_SPECIFIED in br_handle_frame)"},
		{onNode + `0.2 other eth0 received SYN 10.244.1.60:4000 > 10.244.2.10:80`, "", "the SYN to 10.244.2.10:80 arrived in another network on this node, at eth0, and no answer was sent"},
		{onNode + `0.2 other eth0 dropped (NOT_SPECIFIED in tcp_v4_rcv) SYN 10.244.1.60:4000 > 10.244.2.10:80`, "",
			"the SYN to 10.244.2.10:80 arrived in another network on this node, at eth0, and no answer was sent"},
		{onNode + `0.2 node veth1 received SYN-ACK 10.244.2.10:80 > 10.244.1.60:4000`, "", "the answer of 10.244.2.10:80 was last seen on the node, at veth1"},
	} {
		j := fact.Journey{Steps: parseTrail(t, c.trail)}
		j.Steps[len(j.Steps)-1].Role = c.role
		if got := newTrail(&j, "the SYN", "10.244.2.10:80").leftOpen(); got != c.says {
			t.Errorf("%q, want %q", got, c.says)
		}
	}
}
