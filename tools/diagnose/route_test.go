package diagnose

import (
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

// TestNoDefaultRoute: only what is proven of a pod is a finding.
func TestNoDefaultRoute(t *testing.T) {
	t.Parallel()
	own := fact.Route{Family: "inet", Dst: "10.244.1.0/24", Dev: "eth0"}
	way := func(family, dst string, change ...func(*fact.Route)) fact.Route {
		r := fact.Route{Family: family, Dst: dst, Dev: "eth0", Gateway: "10.244.1.1"}
		for _, c := range change {
			c(&r)
		}
		return r
	}
	ipv6Only := eth0(func(l *fact.Link) { l.AddrInfo = []fact.Addr{address("fd00::7", 64, "global")} })
	for _, test := range []struct {
		name     string
		evidence LinkEvidence
		says     string // "" for no finding
	}{
		{"pod", LinkEvidence{Links: []fact.Link{lo(), eth0()}, Routes: []fact.Route{own}}, "no routing table has a default route: eth0 reaches 10.244.1.0/24 alone by IPv4"},
		{"no route at all", LinkEvidence{Links: []fact.Link{lo(), eth0()}}, "eth0 reaches nothing by IPv4"},
		{"many routes", LinkEvidence{Links: []fact.Link{eth0()}, Routes: []fact.Route{own, own, own, own}}, "and a few more"},
		{"a large network is no default", LinkEvidence{Links: []fact.Link{eth0()}, Routes: []fact.Route{way("inet", "10.0.0.0/8")}}, "no routing table has a default route"},
		{"multicast is no default", LinkEvidence{Links: []fact.Link{eth0()}, Routes: []fact.Route{way("inet", "224.0.0.0/4")}}, "no routing table has a default route"},
		{"default", LinkEvidence{Links: []fact.Link{eth0()}, Routes: []fact.Route{own, way("inet", "default")}}, ""},
		{"default in another table", LinkEvidence{Links: []fact.Link{eth0()}, Routes: []fact.Route{own, way("inet", "default", func(r *fact.Route) { r.Table = 100 })}}, ""},
		{"default on the link", LinkEvidence{Links: []fact.Link{eth0()}, Routes: []fact.Route{way("inet", "default", func(r *fact.Route) { r.Gateway = "" })}}, ""},
		{"halves", LinkEvidence{Links: []fact.Link{eth0()}, Routes: []fact.Route{own, way("inet", "0.0.0.0/1"), way("inet", "128.0.0.0/1")}}, ""},
		{"default of IPv6 alone", LinkEvidence{Links: []fact.Link{eth0()}, Routes: []fact.Route{own, way("inet6", "default")}}, ""},
		{"global IPv6 space", LinkEvidence{Links: []fact.Link{eth0()}, Routes: []fact.Route{own, way("inet6", "2000::/3")}}, ""},
		{"rejecting default", LinkEvidence{Links: []fact.Link{eth0()}, Routes: []fact.Route{own, way("inet", "default", func(r *fact.Route) { r.Type = "unreachable" })}}, ""},
		{"IPv6 alone", LinkEvidence{Links: []fact.Link{lo(), ipv6Only}}, ""},
		{"down", LinkEvidence{Links: []fact.Link{eth0(down)}}, ""},
		{"a bridge of its own", LinkEvidence{Links: []fact.Link{lo(), link("inner", "bridge", func(l *fact.Link) { l.AddrInfo = []fact.Addr{address("10.1.1.1", 24, "global")} })}}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			e := test.evidence
			e.Pod, e.AllDefaults = true, true
			found := noDefaultRoute(e)
			if (len(found) == 1) != (test.says != "") || len(found) == 1 && (found[0].Code != RouteNoDefault || !strings.Contains(found[0].Fact, test.says)) {
				t.Errorf("found %v, want %q", found, test.says)
			}
			for _, change := range []func(*LinkEvidence){
				func(e *LinkEvidence) { e.Pod = false },
				func(e *LinkEvidence) { e.AllDefaults = false },
			} {
				less := e
				change(&less)
				if found := noDefaultRoute(less); found != nil {
					t.Errorf("found %v with %+v", found, less)
				}
			}
		})
	}
	if slices.ContainsFunc(Links(LinkEvidence{Links: []fact.Link{lo(), eth0()}, Host: true, Pod: true, AllDefaults: true}), func(f fact.Finding) bool { return f.Code == RouteNoDefault }) {
		t.Error("a finding for the host's network")
	}
}

func TestDefaultRejected(t *testing.T) {
	t.Parallel()
	plain := fact.Route{Family: "inet", Dst: "default", Gateway: "10.0.0.1"}
	blackhole := fact.Route{Family: "inet", Dst: "default", Type: "blackhole"}
	other := fact.Route{Family: "inet6", Dst: "default", Type: "unreachable"}
	for _, test := range []struct {
		routes []fact.Route
		want   string
	}{
		{nil, ""},
		{[]fact.Route{plain}, ""},
		{[]fact.Route{blackhole}, "blackhole"},
		{[]fact.Route{blackhole, plain}, ""},
		{[]fact.Route{other}, ""},
	} {
		if got := DefaultRejected(test.routes); got != test.want {
			t.Errorf("%v: %q, want %q", test.routes, got, test.want)
		}
	}
}
