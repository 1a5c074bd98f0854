package diagnose

import (
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

// TestRoots: what the links prove stands first, and its consequence is no finding.
func TestRoots(t *testing.T) {
	t.Parallel()
	yes := true
	lo := fact.Link{Name: "lo", LinkType: "loopback", Flags: []string{"UP"}, AddrInfo: []fact.Addr{{Family: "inet", Local: "127.0.0.1", Scope: "host"}}}
	bare := fact.Link{Name: "eth0", Flags: []string{"UP"}, Carrier: &yes, AddrInfo: []fact.Addr{}}
	fine := bare
	fine.AddrInfo = []fact.Addr{{Family: "inet", Local: "10.0.0.2", PrefixLen: 24, Scope: "global"}}
	down, second := fine, fine
	down.Flags, second.Name = nil, "net1"
	fallback := []fact.Route{{Family: "inet", Dst: "default", Dev: "eth0", Table: 100}}
	for _, c := range []struct {
		name   string
		links  []fact.Link
		routes []fact.Route
		route  string // type of the attempt's
		to     string
		want   string
	}{
		{"link down", []fact.Link{lo, down}, nil, "none", "10.9.9.9:80", "link.down"},
		{"no link", []fact.Link{lo}, nil, "none", "10.9.9.9:80", "link.missing"},
		{"no address", []fact.Link{lo, bare}, nil, "none", "10.9.9.9:80", "addr.none"},
		{"no route", []fact.Link{lo, fine}, nil, "none", "10.9.9.9:80", "route.no_default"},
		{"a spare link is down", []fact.Link{lo, fine, second}, nil, "none", "10.9.9.9:80", "route.no_default"},
		{"one of two is down", []fact.Link{lo, down, second}, nil, "none", "10.9.9.9:80", "route.no_default"},
		{"default route in a table that no rule leads to", []fact.Link{lo, fine}, fallback, "none", "10.9.9.9:80", "tcp.unreachable"},
		{"no route by IPv6", []fact.Link{lo, fine}, fallback, "none", "[2001:db8::1]:80", "route.no_default"},
		{"loopback without a link", []fact.Link{lo}, nil, "local", "127.0.0.1:80", "tcp.refused"},
	} {
		attempt := fact.Attempt{Address: c.to, Outcome: fact.OutcomeUnreachable, Errno: "ENETUNREACH", Route: &fact.AttemptRoute{Type: c.route}}
		if c.route == "local" {
			attempt.Errno, attempt.Route.Dev = "ECONNREFUSED", "lo"
		}
		e := fact.FetchEvidence{
			Fetch: &fact.Fetch{Stage: fact.StageConnect, Attempts: []fact.Attempt{attempt}},
			Links: &fact.LinkEvidence{Links: c.links, Routes: c.routes, AllRoutes: true, AllDefaults: true},
		}
		if got := codes(Fetch(&e)); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %v, want %s (%s)", c.name, got, c.want, e.Reason)
		}
	}
}

// TestLookupRoots: why no server was heard.
func TestLookupRoots(t *testing.T) {
	t.Parallel()
	yes := true
	fine := fact.Link{Name: "eth0", Flags: []string{"UP"}, Carrier: &yes, AddrInfo: []fact.Addr{{Family: "inet", Local: "10.0.0.2", Scope: "global"}}}
	down := fine
	down.Flags = nil
	near := []fact.Route{{Family: "inet", Dst: "10.96.0.0/16", Dev: "eth0"}}
	for _, c := range []struct {
		name   string
		links  *fact.LinkEvidence
		server string
		reason string
		want   string
	}{
		{"nothing known", nil, "10.96.0.10", "ENETUNREACH", "dns.nameserver_unreachable"},
		{"link down", &fact.LinkEvidence{Links: []fact.Link{down}, AllRoutes: true, AllDefaults: true}, "10.96.0.10", "ENETUNREACH", "link.down"},
		{"no route", &fact.LinkEvidence{Links: []fact.Link{fine}, AllRoutes: true, AllDefaults: true}, "10.96.0.10", "ENETUNREACH", "route.no_default"},
		{"a router says so", &fact.LinkEvidence{Links: []fact.Link{fine}, Routes: near, AllRoutes: true, AllDefaults: true}, "10.96.0.10", "ENETUNREACH", "dns.nameserver_unreachable"},
		{"routes unknown", &fact.LinkEvidence{Links: []fact.Link{fine}}, "10.96.0.10", "ENETUNREACH", "dns.nameserver_unreachable"},
		{"its own loopback", &fact.LinkEvidence{Links: []fact.Link{down}, AllRoutes: true, AllDefaults: true}, "127.0.0.1", "EPERM", "dns.nameserver_unreachable"},
	} {
		l := fact.DNSLookup{Outcome: "unreachable", Name: "a.", Resolver: fact.DNSResolver{File: "f", Servers: []string{c.server}}, Tried: []fact.DNSTry{{
			Name: "a.", Server: c.server, Outcome: "unreachable", Reason: c.reason,
			Answers: []fact.DNSAnswer{{Type: "A", Outcome: "unreachable", Reason: c.reason}},
		}}}
		if got := codes(Lookup(&fact.LookupEvidence{DNSLookup: &l, Links: c.links})); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
}
