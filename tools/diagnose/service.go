package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

// serviceFault is what the state of a service proves about a failure, by what the request
// of it met; nil for nothing. The first rule that proves something is the cause.
func serviceFault(s *fact.Service, outcome fact.Outcome, attempts []fact.Attempt) []fact.Finding {
	if s == nil || s.Missing || s.ExternalName != "" {
		return nil
	}
	if s.Headless {
		if outcome == fact.OutcomeRefused {
			return headlessPort(s)
		}
		return nil
	}
	port := s.Port()
	if port == nil {
		return finding(K8sNoSuchPort, "%s has no port %d/%s: its ports are %s", nameOf(s), s.Asked, s.Protocol, portsOf(s))
	}
	for _, rule := range [...]func(*fact.Service, *fact.ServicePort) []fact.Finding{noReadyEndpoint, closedTargetPort, deadBackends} {
		if found := rule(s, port); found != nil {
			return found
		}
	}
	return staleEndpoint(s, attempts)
}

// nameOf names a service in a sentence.
func nameOf(s *fact.Service) string { return "service " + s.Namespace + "/" + s.Name }

// portsOf lists the ports of a service.
func portsOf(s *fact.Service) string {
	var ports []string
	for _, p := range s.Ports {
		text := fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if s.ByNodePort && p.NodePort != 0 {
			text += fmt.Sprintf(" (nodePort %d)", p.NodePort)
		}
		ports = append(ports, text)
	}
	return cmp.Or(some(ports), "none")
}

// headlessPort: the name of a headless service leads to the pods' own addresses, where
// nobody translates its ports.
func headlessPort(s *fact.Service) []fact.Finding {
	port := s.Port()
	switch {
	case port == nil:
		return finding(K8sNoSuchPort, "headless %s has no port %d/%s: its ports are %s", nameOf(s), s.Asked, s.Protocol, portsOf(s))
	case port.TargetPort != "" && port.TargetPort != fmt.Sprint(port.Port):
		return finding(ServiceHeadlessPort, "%s is headless, so its name leads to the pods' own addresses, and port %d is not translated to targetPort %s",
			nameOf(s), port.Port, port.TargetPort)
	}
	return nil
}

// noReadyEndpoint: no pod stands behind the port, so the node refuses or drops what is
// sent to it.
func noReadyEndpoint(s *fact.Service, port *fact.ServicePort) []fact.Finding {
	if s.EndpointsUnknown || port != nil && port.Ready > 0 || port == nil && s.Ready > 0 {
		return nil
	}
	if port != nil && s.Ready > 0 {
		declared := ""
		if len(s.PodPorts) > 0 {
			declared = "; they have " + some(s.PodPorts)
		}
		return finding(K8sNoSuchPort, "no container behind %s has a port of the name %s, which is the targetPort of its port %d%s",
			nameOf(s), port.TargetPort, port.Port, declared)
	}
	text := nameOf(s) + " has no ready endpoint"
	switch {
	case len(s.Backends) > 0:
		b := worst(s.Backends)
		code := K8sNotReady
		if b.Cause == fact.BackendCrash {
			code = K8sCrash
		}
		who := "its endpoint " + b.Address
		if b.Pod != "" {
			who = "pod " + b.Pod
		}
		return finding(code, "%s: %s: %s", text, who, cmp.Or(b.Why, "is not ready"))
	case s.Selector == "":
		return finding(ServiceNoEndpoints, "%s: the service has no selector, and nobody has given it endpoints", text)
	case s.Denied != "":
		return finding(ServiceNoEndpoints, "%s (%s)", text, s.Denied)
	case s.Workload != "":
		return finding(ServiceNoEndpoints, "%s: no pod has the labels %s; %s", text, s.Selector, s.Workload)
	}
	instead := ""
	if len(s.PodLabels) > 0 {
		instead = ", and the pods there have " + some(s.PodLabels)
	}
	return finding(K8sSelectorMismatch, "%s: no pod of namespace %s has the labels %s that the service selects%s", text, s.Namespace, s.Selector, instead)
}

// worst is the backend whose state says most.
func worst(all []fact.Backend) *fact.Backend {
	order := [...]fact.BackendCause{fact.BackendCrash, fact.BackendProbe, fact.BackendStarting, fact.BackendDeleted, fact.BackendEnded, ""}
	found := &all[0]
	for i := range all {
		if slices.Index(order[:], all[i].Cause) < slices.Index(order[:], found.Cause) {
			found = &all[i]
		}
	}
	return found
}

// dead reports whether a backend failed by itself, alive whether it answered.
func dead(b fact.Backend) bool {
	switch b.Outcome {
	case fact.OutcomeRefused, fact.OutcomeTimeout, fact.OutcomeReset, fact.OutcomeUnreachable:
		return true
	}
	return false
}

func alive(b fact.Backend) bool {
	return b.Outcome != "" && !dead(b) && b.Outcome != fact.OutcomeBlockedLocally && b.Outcome != fact.OutcomeNoPort
}

// closedTargetPort: all ready endpoints refuse, and in the network of one nothing listens
// where the service leads to.
func closedTargetPort(s *fact.Service, port *fact.ServicePort) []fact.Finding {
	if slices.ContainsFunc(s.Backends, func(b fact.Backend) bool { return b.Ready && b.Outcome != fact.OutcomeRefused }) {
		return nil
	}
	i := slices.IndexFunc(s.Backends, func(b fact.Backend) bool { return b.Listeners != nil })
	if i < 0 {
		return nil
	}
	b := &s.Backends[i]
	leads := fmt.Sprintf("port %d of %s leads to %s (pod %s)", port.Port, nameOf(s), b.Address, b.Pod)
	on := onPort(b.Listeners, b.Address)
	switch {
	case listensOn(b.Listeners, b.Address):
		return nil // something else refuses, or it began only now
	case len(on) > 0 && !slices.ContainsFunc(on, isNoLoopback):
		return finding(TCPListenerLoopback, "%s, where port %s is listened on only at %s", leads, portOf(b.Address), strings.Join(on, ", "))
	case len(on) == 0 && slices.ContainsFunc(b.Listeners, isNoLoopback):
		return finding(ServiceWrongTargetPort, "%s, where nothing listens on port %s, but on %s", leads, portOf(b.Address), some(b.Listeners))
	case len(on) == 0:
		return finding(TCPNoListener, "%s, where nothing listens on port %s", leads, portOf(b.Address))
	}
	return nil
}

// deadBackends: of the endpoints, each asked by itself from the same place, some answer.
func deadBackends(s *fact.Service, _ *fact.ServicePort) []fact.Finding {
	var failed []string
	for _, b := range s.Backends {
		if dead(b) {
			text := b.Address
			if b.Pod != "" {
				text += " (pod " + b.Pod + ")"
			}
			failed = append(failed, text+": "+string(b.Outcome))
		}
	}
	n := 0
	for _, b := range s.Backends {
		if alive(b) {
			n++
		}
	}
	if n == 0 || len(failed) == 0 {
		return nil
	}
	return finding(ServiceSomeBackendsDead, "of the ready endpoints of %s, each asked by itself, %d answered and %d failed: %s",
		nameOf(s), n, len(failed), strings.Join(failed, ", "))
}

// staleEndpoint: the node's NAT led to an address that is no endpoint.
func staleEndpoint(s *fact.Service, attempts []fact.Attempt) []fact.Finding {
	if s.EndpointsUnknown || s.Total > len(s.Endpoints) {
		return nil
	}
	for i := range attempts {
		if to := translatedTo(&attempts[i]); to != "" && !s.Has(to) {
			return finding(ServiceStaleEndpoint, "the node translates %s to %s, which is no endpoint of %s that the Kubernetes API knows",
				attempts[i].Address, to, nameOf(s))
		}
	}
	return nil
}

// translatedTo is where the node's NAT led the last SYN of an attempt; "" where that is
// not known.
func translatedTo(a *fact.Attempt) string {
	if a.Node != nil && a.Node.SentTo != "" {
		return a.Node.SentTo
	}
	if a.Journey == nil {
		return ""
	}
	for _, s := range a.Journey.Last() {
		if s.Kind == "SYN" && !s.Back && s.Dst != a.Address && s.Dst != a.SentTo {
			return s.Dst
		}
	}
	return ""
}

// unheardServer: the first nameserver is a service, whose state explains that nobody
// answers there.
func unheardServer(l *fact.DNSLookup) []fact.Finding {
	if isResponse(l.Outcome) {
		return nil
	}
	outcome := fact.OutcomeTimeout
	if slices.ContainsFunc(l.Tried, func(t fact.DNSTry) bool { return t.Reason == refusal }) {
		outcome = fact.OutcomeRefused
	}
	found := serviceFault(l.Nameserver, outcome, nil)
	for i := 0; i < len(l.Tried) && found == nil; i++ {
		found = untranslated(l.Nameserver, newTrail(l.Tried[i].Journey, "the question", l.Tried[i].Server), false)
	}
	return found
}

// deniedService: the cluster has the service of the name, and the lookup gives nothing.
func deniedService(l *fact.DNSLookup) []fact.Finding {
	s := l.Service
	switch {
	case s == nil || l.Outcome == "answered" || l.HalfDenied():
		return nil
	case l.Nameserver == nil && !s.Missing:
		if found := notClusterDNS(l); found != nil {
			return found
		}
	}
	switch {
	case !isResponse(l.Outcome):
		return nil
	case s.Missing:
		return finding(K8sOtherNamespace, "namespace %s has no service %s: a service of that name is in %s", s.Namespace, s.Name, some(s.Elsewhere))
	case s.ExternalName != "":
		return finding(K8sExternalName, "%s is an alias of %s, which gives no address", nameOf(s), s.ExternalName)
	case s.Headless && s.Ready == 0:
		return noReadyEndpoint(s, nil)
	case l.Nameserver == nil:
		return nil
	}
	return finding(DNSServiceDenied, "the Kubernetes API has %s, and nameserver %s, which is %s, answers %s for %s%s",
		nameOf(s), l.Server, nameOf(l.Nameserver), strings.ToUpper(l.Outcome), l.Name, podStates(l.Nameserver))
}

// notClusterDNS: the pod's policy gives it the node's nameservers, which do not know the
// cluster's names. In the host's network ClusterFirst means that, too (Kubernetes, Pod's
// DNS Policy).
func notClusterDNS(l *fact.DNSLookup) []fact.Finding {
	why := "has dnsPolicy Default"
	switch {
	case l.DNSPolicy == "Default":
	case l.DNSPolicy == "ClusterFirst" && l.HostNetwork:
		why = "is in the host's network with dnsPolicy ClusterFirst, not ClusterFirstWithHostNet"
	default:
		return nil
	}
	return finding(DNSNotClusterDNS, "the Kubernetes API has %s, and the pod %s: it asks the node's nameservers (%s), which are no service of the cluster",
		nameOf(l.Service), why, SomeOf(l.Resolver.Servers))
}

// podStates says how the pods of the cluster's DNS are, where not all is well.
func podStates(s *fact.Service) string {
	for _, b := range s.Backends {
		if b.Why != "" {
			return fmt.Sprintf("; of its pods, %s: %s", b.Pod, b.Why)
		}
	}
	return fmt.Sprintf("; %s of it ready", plural(s.Ready, "endpoint is", "endpoints are"))
}

// lookupServices are the faults of services that explain a lookup.
func lookupServices(l *fact.DNSLookup) []fact.Finding {
	if found := unheardServer(l); found != nil {
		return found
	}
	return deniedService(l)
}

// showServices shows a backend of the services that take part in a lookup.
func showServices(l *fact.DNSLookup, findings []fact.Finding) []Step {
	return append(showBackend(l.Nameserver, findings), showBackend(l.Service, findings)...)
}

// showBackend shows a pod behind a service, where its state is the cause.
func showBackend(s *fact.Service, findings []fact.Finding) []Step {
	states := func(f fact.Finding) bool {
		return f.Code == K8sCrash || f.Code == K8sNotReady || f.Code == DNSServiceDenied
	}
	if s == nil || len(s.Backends) == 0 || !slices.ContainsFunc(findings, states) {
		return nil
	}
	if b := worst(s.Backends); b.Pod != "" {
		return []Step{{ShowPod, s.Namespace + "/" + b.Pod, "the state of pod " + b.Pod + " behind " + nameOf(s) + ", and what the kubelet says of it"}}
	}
	return nil
}

// showBackendLink shows the interface of a pod of this or another node behind a service
// from which nothing came.
func showBackendLink(s *fact.Service) []Step {
	if s == nil {
		return nil
	}
	i := slices.IndexFunc(s.Backends, func(b fact.Backend) bool {
		return b.Pod != "" && (b.Outcome == fact.OutcomeTimeout || b.Outcome == fact.OutcomeUnreachable)
	})
	if i < 0 {
		return nil
	}
	pod := s.Backends[i].Pod
	return []Step{{ShowPodLink, s.Namespace + "/" + pod, "whether the interface of pod " + pod + " behind " + nameOf(s) + " leads to its neighbours: nothing came from there"}}
}

// forgetServiceRoute: the node's own route to a service's address says nothing of the
// way, as kube-proxy translates the address first.
func forgetServiceRoute(e *fact.FetchEvidence) {
	if !e.Host || e.Service == nil {
		return
	}
	for i := range e.Attempts {
		if a := &e.Attempts[i]; hostOf(a.Address) == e.Service.ClusterIP {
			a.Route, a.Neigh = nil, nil
		}
	}
}

// notTheRoute: that a service cannot be reached says nothing of a route of its address.
func notTheRoute(f *fact.Fetch, findings []fact.Finding) []fact.Finding {
	for i := range findings {
		if f.Service != nil && findings[i].Code == RouteUnreachable {
			findings[i].Code = TCPUnreachable
		}
	}
	return findings
}
