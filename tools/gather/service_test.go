package gather

import (
	"net/netip"
	"reflect"
	"testing"

	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

func TestServiceName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]string{
		"api.shop.svc.cluster.local.":     {"api", "shop"},
		"api.shop.svc.example.com":        {"api", "shop"},
		"db-0.db.shop.svc.cluster.local.": {"db", "shop"},
		"api.shop.":                       {},
		"svc.cluster.local.":              {},
		"a.b.c.d.svc.cluster.local.":      {},
		"":                                {},
	} {
		if s, n := serviceName(name); s != want[0] || n != want[1] {
			t.Errorf("%s is %s in %s", name, s, n)
		}
	}
}

func TestMeantName(t *testing.T) {
	t.Parallel()
	l := &fact.DNSLookup{Tried: []fact.DNSTry{
		{Name: "api.prod.shop.svc.cluster.local."}, {Name: "api.prod.svc.cluster.local."}, {Name: "other.prod.svc.cluster.local.", Beside: true},
	}}
	if got := meantName(&resolve.Target{}, l); got != "api.prod.svc.cluster.local." {
		t.Error(got)
	}
	l.Tried = []fact.DNSTry{{Name: "api."}, {Name: "api.shop.svc.cluster.local.", Beside: true}}
	if got := meantName(&resolve.Target{}, l); got != "api.shop.svc.cluster.local." {
		t.Error(got)
	}
	if got := meantName(&resolve.Target{}, &fact.DNSLookup{Tried: []fact.DNSTry{{Name: "example.com."}}}); got != "" {
		t.Error(got)
	}
}

// Where nobody could be asked, the pod's namespace says which service is meant.
func TestMeantNameOfAPod(t *testing.T) {
	t.Parallel()
	pod := &resolve.Target{Workload: resolve.Workload{Namespace: "shop"}}
	for name, want := range map[string]string{"api": "api.shop.svc.cluster.local", "api.prod": "api.prod.svc.cluster.local", "www.example.com.": ""} {
		if got := meantName(pod, &fact.DNSLookup{Asked: name}); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Endpoints come with the port that was asked, pods without an endpoint after them, and
// what the kubelet says of a pod stands under untrusted alone.
func TestBackends(t *testing.T) {
	t.Parallel()
	state := &resolve.ServiceState{
		Service: resolve.Service{Endpoints: []resolve.Endpoint{
			{Address: "10.0.0.1", Ready: true, Pod: "a", Ports: map[string]uint16{"http": 8080}}, {Address: "10.0.0.2", Pod: "b", Ports: map[string]uint16{"http": 9090}},
		}},
		Pods: []resolve.ServicePod{
			{Name: "c", Cause: "starting", Words: "does not start"}, {Name: "b", Cause: "probe", Words: "its probe fails", Message: "evil"}, {Name: "a", Ready: true},
		},
	}
	want := []fact.Backend{
		{Pod: "a", Address: "10.0.0.1:8080", Ready: true},
		{Pod: "b", Address: "10.0.0.2:9090", Cause: fact.BackendProbe, Why: "its probe fails", Untrusted: &fact.BackendText{Message: "evil"}},
		{Pod: "c", Cause: fact.BackendStarting, Why: "does not start"},
	}
	if got := backends(state, &fact.ServicePort{Name: "http"}); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	want[0].Address, want[1].Address = "10.0.0.1", "10.0.0.2"
	if got := backends(state, nil); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	many := &resolve.ServiceState{}
	for range 20 {
		many.Endpoints = append(many.Endpoints, resolve.Endpoint{Address: "10.0.0.1"})
	}
	if got := backends(many, nil); len(got) != maxBackends {
		t.Errorf("%d backends", len(got))
	}
}

// Without an API, and for what no service can be, nobody is asked.
func TestNoServiceIsAskedFor(t *testing.T) {
	t.Parallel()
	resolver := resolve.New(resolve.Config{})
	t.Cleanup(resolver.Close)
	for _, to := range []place{{}, {at: netip.MustParseAddrPort("127.0.0.1:80")}, {at: netip.MustParseAddrPort("10.96.0.1:80")}} {
		if s, said := serviceAt(t.Context(), Node{Resolver: resolver}, to); s != nil || said != "" {
			t.Errorf("%v: %+v, %s", to, s, said)
		}
	}
}

// A request's destination is asked about once, and only where one is known.
func TestInquiry(t *testing.T) {
	t.Parallel()
	asked := 0
	want := place{name: "api.shop.svc.cluster.local.", at: netip.MustParseAddrPort("10.96.0.7:80"), protocol: "TCP"}
	i := &inquiry{to: place{protocol: "TCP"}, ask: func(to place) (*fact.Service, string) {
		if asked++; to != want {
			t.Errorf("asked for %+v", to)
		}
		return &fact.Service{Name: "api"}, ""
	}}
	i.named(&fact.DNSLookup{Name: want.name})
	if i.begin(); asked != 0 || i.service != nil {
		t.Error("asked without an address")
	}
	i.sentTo(want.at)
	i.begin()
	i.begin()
	if asked != 1 || i.service == nil {
		t.Errorf("asked %d times", asked)
	}
}
