package diagnose

import (
	"strings"
	"testing"

	"nsenter-mcp/tools/fact"
)

// api is a healthy service with one pod; with changes it.
func api(with ...func(*fact.Service)) *fact.Service {
	s := &fact.Service{
		Name: "api", Namespace: "shop", Type: "ClusterIP", ClusterIP: "10.96.0.7", Selector: "app=api", Ready: 1, Total: 1,
		Ports:     []fact.ServicePort{{Port: 80, Protocol: "TCP", TargetPort: "8080", Ready: 1}, {Name: "dns", Port: 53, Protocol: "UDP", TargetPort: "53", Ready: 1}},
		Backends:  []fact.Backend{{Pod: "api-1", Address: "10.0.0.1:8080", Ready: true, Outcome: fact.OutcomeOK}},
		Endpoints: []string{"10.0.0.1"}, Asked: 80, Protocol: "TCP",
	}
	for _, change := range with {
		change(s)
	}
	return s
}

func unready(cause fact.BackendCause, why string) func(*fact.Service) {
	return func(s *fact.Service) {
		s.Ready, s.Ports[0].Ready = 0, 0
		s.Backends = []fact.Backend{{Pod: "api-1", Address: "10.0.0.1:8080", Cause: cause, Why: why}}
	}
}

func nobody(s *fact.Service) {
	s.Ready, s.Total, s.Ports[0].Ready, s.Backends, s.Endpoints = 0, 0, 0, nil, nil
}

func refusedBy(listeners ...string) func(*fact.Service) {
	return func(s *fact.Service) { s.Backends[0].Outcome, s.Backends[0].Listeners = fact.OutcomeRefused, listeners }
}

// What the state of a service proves of a request to it that failed.
func TestServiceFault(t *testing.T) {
	t.Parallel()
	elsewhere := []fact.Attempt{{Address: "10.96.0.7:80", Node: &fact.AttemptNode{SentTo: "10.0.0.9:8080"}}}
	trail := []fact.Attempt{{Address: "10.96.0.7:80", Journey: &fact.Journey{Status: fact.JourneyRecorded, Steps: []fact.JourneyStep{
		{Kind: "SYN", Place: fact.PlaceTarget, Dst: "10.96.0.7:80"}, {Kind: "SYN", Place: fact.PlaceNode, Dst: "10.0.0.9:8080"},
	}}}}
	for name, test := range map[string]struct {
		service  *fact.Service
		attempts []fact.Attempt
		code     fact.Code
		says     string
	}{
		"no service":       {nil, nil, "", ""},
		"all is well":      {api(), nil, "", ""},
		"translated right": {api(), []fact.Attempt{{Address: "10.96.0.7:80", Node: &fact.AttemptNode{SentTo: "10.0.0.1:8080"}}}, "", ""},
		"no such port":     {api(func(s *fact.Service) { s.Asked = 81 }), nil, K8sNoSuchPort, "service shop/api has no port 81/TCP: its ports are 80/TCP, 53/UDP"},
		"UDP only":         {api(func(s *fact.Service) { s.Asked = 53 }), nil, K8sNoSuchPort, "no port 53/TCP"},
		"node port":        {api(func(s *fact.Service) { s.Asked, s.ByNodePort, s.Ports[0].NodePort = 30080, true, 30080 }), nil, "", ""},
		"no such node port": {api(func(s *fact.Service) { s.Asked, s.ByNodePort, s.Ports[0].NodePort = 30081, true, 30080 }), nil,
			K8sNoSuchPort, "80/TCP (nodePort 30080)"},
		"port name that nobody has": {api(func(s *fact.Service) {
			s.Ports[0].Ready, s.Ports[0].TargetPort, s.PodPorts = 0, "htpp", []string{"http=8080/TCP"}
		}), nil, K8sNoSuchPort, "has a port of the name htpp, which is the targetPort of its port 80; they have http=8080/TCP"},
		"probe":    {api(unready(fact.BackendProbe, "its probe fails")), nil, K8sNotReady, "no ready endpoint: pod api-1: its probe fails"},
		"crash":    {api(unready(fact.BackendCrash, "exit code 3")), nil, K8sCrash, "pod api-1: exit code 3"},
		"selector": {api(nobody, func(s *fact.Service) { s.PodLabels = []string{"app=web"} }), nil, K8sSelectorMismatch, "no pod of namespace shop has the labels app=api that the service selects, and the pods there have app=web"},
		"scaled to 0": {api(nobody, func(s *fact.Service) { s.Workload = "ReplicaSet api-7 has such pods, and is to have 0 of them" }), nil,
			ServiceNoEndpoints, "ReplicaSet api-7"},
		"no selector":                   {api(nobody, func(s *fact.Service) { s.Selector = "" }), nil, ServiceNoEndpoints, "no selector"},
		"pods are not allowed":          {api(nobody, func(s *fact.Service) { s.Denied = "not allowed to list pods" }), nil, ServiceNoEndpoints, "not allowed to list pods"},
		"endpoints are not allowed":     {api(nobody, func(s *fact.Service) { s.EndpointsUnknown = true }), nil, "", ""},
		"target port":                   {api(refusedBy("0.0.0.0:9090")), nil, ServiceWrongTargetPort, "leads to 10.0.0.1:8080 (pod api-1), where nothing listens on port 8080, but on 0.0.0.0:9090"},
		"loopback only":                 {api(refusedBy("127.0.0.1:8080")), nil, TCPListenerLoopback, "only at 127.0.0.1:8080"},
		"nothing":                       {api(refusedBy([]string{}...), func(s *fact.Service) { s.Backends[0].Listeners = []string{} }), nil, TCPNoListener, "nothing listens on port 8080"},
		"something listens and refuses": {api(refusedBy("0.0.0.0:8080")), nil, "", ""},
		"refused from afar":             {api(refusedBy(), func(s *fact.Service) { s.Backends[0].Listeners = nil }), nil, "", ""},
		"one hangs": {api(func(s *fact.Service) {
			s.Backends = append(s.Backends, fact.Backend{Pod: "api-2", Address: "10.0.0.2:8080", Ready: true, Outcome: fact.OutcomeTimeout})
		}), nil, ServiceSomeBackendsDead, "1 answered and 1 failed: 10.0.0.2:8080 (pod api-2): timeout"},
		"all hang":                      {api(func(s *fact.Service) { s.Backends[0].Outcome = fact.OutcomeTimeout }), nil, "", ""},
		"stale NAT":                     {api(), elsewhere, ServiceStaleEndpoint, "translates 10.96.0.7:80 to 10.0.0.9:8080"},
		"stale NAT by a trail":          {api(), trail, ServiceStaleEndpoint, "10.0.0.9:8080"},
		"more endpoints than are known": {api(func(s *fact.Service) { s.Total = 2 }), elsewhere, "", ""},
		"headless":                      {api(func(s *fact.Service) { s.Headless = true }), nil, ServiceHeadlessPort, "port 80 is not translated to targetPort 8080"},
		"headless, no such port":        {api(func(s *fact.Service) { s.Headless, s.Asked = true, 81 }), nil, K8sNoSuchPort, "no port 81/TCP"},
		"an alias":                      {api(func(s *fact.Service) { s.ExternalName, s.Ports = "example.com", nil }), nil, "", ""},
	} {
		found := serviceFault(test.service, fact.OutcomeRefused, test.attempts)
		switch {
		case test.code == "" && found == nil:
		case len(found) != 1 || found[0].Code != test.code || !strings.Contains(found[0].Fact, test.says):
			t.Errorf("%s: %+v", name, found)
		}
	}
	// Silence says nothing of the ports of a headless service.
	if found := serviceFault(api(func(s *fact.Service) { s.Headless = true }), fact.OutcomeTimeout, nil); found != nil {
		t.Errorf("%+v", found)
	}
}

// The services that take part in a lookup.
func TestServicesOfALookup(t *testing.T) {
	t.Parallel()
	dns := func(with ...func(*fact.Service)) *fact.Service {
		s := api(with...)
		s.Name, s.Namespace, s.Asked, s.Protocol = "kube-dns", "kube-system", 53, "UDP"
		return s
	}
	dead := func(s *fact.Service) { unready(fact.BackendCrash, "exit code 1")(s); s.Ports[1].Ready = 0 }
	for name, test := range map[string]struct {
		outcome             string
		service, nameserver *fact.Service
		code                fact.Code
	}{
		"nothing is known":                  {"nxdomain", nil, dns(), ""},
		"answered":                          {"answered", api(), dns(), ""},
		"denied":                            {"nxdomain", api(), dns(), DNSServiceDenied},
		"refused":                           {"refused", api(), dns(), DNSServiceDenied},
		"denied by a server of elsewhere":   {"nxdomain", api(), nil, ""},
		"in another namespace":              {"nxdomain", &fact.Service{Name: "api", Namespace: "shop", Missing: true, Elsewhere: []string{"prod"}}, dns(), K8sOtherNamespace},
		"alias of nothing":                  {"nxdomain", api(func(s *fact.Service) { s.ExternalName = "nosuch.example" }), dns(), K8sExternalName},
		"headless and empty":                {"nxdomain", api(nobody, func(s *fact.Service) { s.Headless = true }), dns(), K8sSelectorMismatch},
		"headless and denied":               {"nxdomain", api(func(s *fact.Service) { s.Headless = true }), dns(), DNSServiceDenied},
		"the nameserver has no endpoint":    {"unreachable", nil, dns(dead), K8sCrash},
		"the nameserver is well and silent": {"timeout", nil, dns(), ""},
	} {
		l := &fact.DNSLookup{Outcome: test.outcome, Service: test.service, Nameserver: test.nameserver, Name: "api.shop.svc.cluster.local.", Server: "10.96.0.10"}
		found := lookupServices(l)
		if test.code == "" && found != nil || test.code != "" && (len(found) != 1 || found[0].Code != test.code) {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// A pod that does not ask the cluster's DNS, by its own spec.
func TestNotClusterDNS(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		policy string
		host   bool
		proves bool
	}{{"Default", false, true}, {"ClusterFirst", true, true}, {"ClusterFirst", false, false}, {"ClusterFirstWithHostNet", true, false}, {"None", false, false}, {"", true, false}} {
		l := &fact.DNSLookup{Outcome: "nxdomain", Service: api(), DNSPolicy: test.policy, HostNetwork: test.host, Resolver: fact.DNSResolver{Servers: []string{"192.0.2.53"}}}
		found := lookupServices(l)
		if proves := len(found) == 1 && found[0].Code == DNSNotClusterDNS && strings.Contains(found[0].Fact, "192.0.2.53"); proves != test.proves || !proves && found != nil {
			t.Errorf("%+v: %+v", test, found)
		}
	}
}

// A pod whose state is the cause is the next to be looked at; nothing is compared.
func TestBackendIsShown(t *testing.T) {
	t.Parallel()
	e := &fact.FetchEvidence{Fetch: &fact.Fetch{
		Outcome: fact.OutcomeRefused, Stage: fact.StageConnect, Service: api(unready(fact.BackendProbe, "its probe fails")),
		Attempts: []fact.Attempt{{Address: "10.96.0.7:80", Outcome: fact.OutcomeRefused, Errno: "ECONNREFUSED", Answer: &fact.Answer{Kind: "icmp", ICMP: "port unreachable", From: "10.0.0.254"},
			Node: &fact.AttemptNode{IsAnswerer: true}}},
	}}
	findings := Fetch(e)
	if len(findings) != 1 || findings[0].Code != K8sNotReady || !strings.HasPrefix(e.Reason, findings[0].Fact) {
		t.Errorf("%+v, %s", findings, e.Reason)
	}
	steps := AfterFetch(e, findings)
	if len(steps) != 1 || steps[0].Move != ShowPod || steps[0].Name != "shop/api-1" {
		t.Errorf("%+v", steps)
	}
}

// kube-proxy's REJECT for a service without endpoints is no firewall, also where the limit
// of ICMP errors keeps the answer back. Behind NAT a drop stays what it is.
func TestRejectOfAServiceIsNoFirewall(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		service *fact.Service
		codes   int
	}{
		"no pod is ready": {api(unready(fact.BackendProbe, "its probe fails")), 1}, "no pod is selected": {api(nobody), 1},
		"nobody has the port": {api(func(s *fact.Service) { s.Ports[0].Ready = 0 }), 1}, "a closed targetPort": {api(refusedBy("0.0.0.0:9090")), 2},
	} {
		found := withRoots(serviceFault(test.service, fact.OutcomeTimeout, nil), finding(FirewallHostDrop, "dropped"))
		if len(found) != test.codes {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// The route to a service's address, which kube-proxy translates, is no evidence from the node.
func TestRouteToAServiceFromTheNode(t *testing.T) {
	t.Parallel()
	e := &fact.FetchEvidence{Host: true, Fetch: &fact.Fetch{
		Outcome: fact.OutcomeTimeout, Stage: fact.StageConnect, Service: api(),
		Attempts: []fact.Attempt{{Address: "10.96.0.7:80", Outcome: fact.OutcomeTimeout, Errno: "ETIMEDOUT",
			Route: &fact.AttemptRoute{Type: "unicast", Dev: "eth0", Gateway: "10.0.0.254"}, Neigh: &fact.AttemptNeigh{Dst: "10.0.0.254", State: "FAILED"}}},
	}}
	for _, f := range Fetch(e) {
		if strings.HasPrefix(string(f.Code), "neigh.") || strings.HasPrefix(string(f.Code), "route.") {
			t.Errorf("%+v", f)
		}
	}
}
