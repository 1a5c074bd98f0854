package diagnose

import (
	"slices"
	"testing"

	"nsenter-mcp/tools/fact"
)

// TestAfterLookup: the node is asked the same absolute name of the same server, and only
// where an answer there would tell one path from another.
func TestAfterLookup(t *testing.T) {
	t.Parallel()
	lookup := func(outcome, server string, change func(*fact.LookupEvidence)) *fact.LookupEvidence {
		l := &fact.DNSLookup{Outcome: outcome, Asked: "api", Resolver: fact.DNSResolver{Servers: []string{server}},
			Tried: []fact.DNSTry{{Name: "api.shop.svc.cluster.local.", Server: server, Outcome: outcome}}}
		e := &fact.LookupEvidence{DNSLookup: l, Namespace: "shop"}
		if change != nil {
			change(e)
		}
		return e
	}
	onHost := func(e *fact.LookupEvidence) { e.Host, e.Namespace = true, "" }
	const name = "api.shop.svc.cluster.local."
	for _, c := range []struct {
		title    string
		e        *fact.LookupEvidence
		findings []fact.Finding
		want     []Step
	}{
		{"answered", lookup("answered", "10.96.0.10", nil), nil, nil},
		{"silent", lookup("timeout", "10.96.0.10", nil), nil, []Step{{Move: FromNode, Name: name}, {Move: FromInside, Name: name}, {Move: ShowLink}}},
		{"refused", lookup("unreachable", "10.96.0.10", func(e *fact.LookupEvidence) { e.Tried[0].Reason = refusal }), nil,
			[]Step{{Move: FromInside, Name: name}, {Move: FromNode, Name: name}}},
		{"the server fails", lookup("servfail", "10.96.0.10", nil), nil, []Step{{Move: FromNode, Name: name}}},
		{"the server fails on a name of others", lookup("servfail", "10.96.0.10", func(e *fact.LookupEvidence) { e.Name = "example.com." }), nil,
			[]Step{{Move: FromNode, Name: "example.com."}, {Move: AsServer, Name: "example.com."}}},
		{"denied", lookup("nxdomain", "10.96.0.10", nil), nil, []Step{{Move: LookUpName, Name: clusterName}}},
		{"denied outside of Kubernetes", lookup("nxdomain", "10.96.0.10", func(e *fact.LookupEvidence) { e.Namespace = "" }), nil, nil},
		{"asked by the node", lookup("timeout", "10.96.0.10", onHost), nil, []Step{{Move: FromInside, Name: name}}},
		{"denied to the node", lookup("nxdomain", "10.96.0.10", onHost), nil, nil},
		{"another server there: loopback", lookup("timeout", "127.0.0.11", nil), nil, []Step{{Move: ShowLink}}},
		{"another server there: link-local", lookup("servfail", "169.254.20.10", nil), nil, nil},
		{"with a port", lookup("servfail", "10.0.0.1:5353", nil), nil, []Step{{Move: FromNode, Name: name}}},
		{"settled", lookup("timeout", "10.96.0.10", nil), []fact.Finding{{Code: LinkDetached}}, nil},
	} {
		got := AfterLookup(c.e, c.findings)
		for i := range got {
			if got[i].Why == "" {
				t.Errorf("%s: a step without a reason", c.title)
			}
			got[i].Why = ""
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %+v, want %+v", c.title, got, c.want)
		}
	}
}

// TestComparableName: what the node is asked is a name that can exist.
func TestComparableName(t *testing.T) {
	t.Parallel()
	tried := []fact.DNSTry{{Name: "api.shop.svc.cluster.local.", Beside: true}, {Name: "api.cluster.local."}, {Name: "api."}}
	for _, c := range []struct {
		title, want string
		l           fact.DNSLookup
	}{
		{"decided", "api.", fact.DNSLookup{Outcome: "servfail", Asked: "api", Name: "api.", Tried: tried}},
		{"nobody answered", "api.cluster.local.", fact.DNSLookup{Outcome: "timeout", Asked: "api", Name: "api.", Tried: tried}},
		{"nothing was asked", "api.", fact.DNSLookup{Outcome: "timeout", Asked: "api"}},
		{"two final dots", "api.", fact.DNSLookup{Outcome: "timeout", Asked: "api", Name: "api..", TwoDots: true, Tried: tried}},
	} {
		if got := comparableName(&c.l); got != c.want {
			t.Errorf("%s: %s, want %s", c.title, got, c.want)
		}
	}
}
