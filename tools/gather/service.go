package gather

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/attempt"
	"nsenter-mcp/tools/probe/lookup"
)

// serviceTime bounds the questions to the API about a service.
const serviceTime = 5 * time.Second

// maxBackends bounds those that are told, and tried by themselves.
const maxBackends = 5

// place is what a probe was sent to: an address, and the absolute name by which it was
// found, where there was one.
type place struct {
	name     string
	at       netip.AddrPort
	protocol string // TCP or UDP
}

// inquiry asks about the place that a request is sent to, and tries what is behind it,
// once the request has failed, or half of its time is over.
type inquiry struct {
	ask func(place) (*fact.Service, string)

	mu   sync.Mutex
	to   place
	once sync.Once
	// What was found.
	service *fact.Service
	said    string
}

// sentTo notes an address that is connected to.
func (i *inquiry) sentTo(at netip.AddrPort) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.to.at = at
}

// named notes a name that was looked up.
func (i *inquiry) named(l *fact.DNSLookup) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.to.name = l.Name
}

// begin asks, where an address is known by now, and nobody has asked before.
func (i *inquiry) begin() {
	i.mu.Lock()
	to := i.to
	i.mu.Unlock()
	if to.at.IsValid() {
		i.once.Do(func() { i.service, i.said = i.ask(to) })
	}
}

// half is when half of ctx's time is over, from now.
func half(ctx context.Context) time.Duration {
	const unlimited = 5 * time.Second
	deadline, ok := ctx.Deadline()
	if !ok {
		return unlimited
	}
	return time.Until(deadline) / 2
}

// serviceAt asks the Kubernetes API what service a place is; nil where it is none
// that the API knows. said is why that is not known, where there is an API.
func serviceAt(ctx context.Context, node Node, to place) (found *fact.Service, said string) {
	ip := to.at.Addr().Unmap().WithZone("")
	if node.Resolver == nil || to.name == "" && (!ip.IsValid() || ip.IsLoopback()) {
		return nil, ""
	}
	ctx, cancel := context.WithTimeout(ctx, serviceTime)
	defer cancel()
	var queries []resolve.ServiceQuery
	if name, namespace := serviceName(to.name); name != "" {
		queries = append(queries, resolve.ServiceQuery{Name: name, Namespace: namespace})
	}
	if ip.IsValid() {
		q := resolve.ServiceQuery{IP: ip}
		if isOwn(ctx, node.Host, ip) {
			q.NodePort = int(to.at.Port())
		}
		queries = append(queries, q)
	}
	for _, q := range queries {
		state, err := node.Resolver.Service(ctx, q)
		switch {
		case errors.Is(err, resolve.ErrAbsent):
			return nil, ""
		case err != nil:
			said = err.Error()
		case state == nil:
		case q.Name != "" && ip.IsValid() && (state.Missing || state.ClusterIP != "" && state.ClusterIP != ip.String()):
			// The name led elsewhere: the address says more.
		default:
			s := serviceFacts(state)
			s.Asked, s.Protocol, s.ByNodePort = int(to.at.Port()), to.protocol, q.NodePort != 0
			s.Backends = backends(state, s.Port())
			return s, ""
		}
	}
	return nil, said
}

// askLookup adds what the cluster knows of a lookup that failed: the service that the
// name means, and the one that the first nameserver is. said is why that is not known.
func askLookup(ctx context.Context, node Node, target *resolve.Target, allow allowed, l *fact.DNSLookup) (said string) {
	if l.Outcome == "answered" || node.Resolver == nil || len(l.Resolver.Servers) == 0 {
		return ""
	}
	for _, text := range serverAddresses(l) {
		server, err := netip.ParseAddrPort(text)
		if err != nil {
			continue
		}
		if l.Nameserver, said = serviceAt(ctx, node, place{at: server, protocol: "UDP"}); l.Nameserver != nil {
			tryBackends(ctx, l.Nameserver, func(ctx context.Context, at netip.AddrPort) fact.Outcome {
				return askServer(ctx, target, allow, l, at)
			})
			break
		}
	}
	denied := l.Outcome == "nxdomain" || l.Outcome == "nodata" || l.Outcome == "refused" || l.Outcome == "servfail"
	if name := meantName(target, l); name != "" && (denied || l.Nameserver == nil) {
		l.Service, said = serviceAt(ctx, node, place{name: name})
		if w := target.Workload; l.Service != nil && l.Nameserver == nil && w.Pod != "" && w.Namespace != "" {
			l.DNSPolicy, l.HostNetwork = node.Resolver.DNSPolicy(ctx, w.Namespace, w.Pod)
		}
	}
	return said
}

// serverAddresses are the nameservers with their ports.
func serverAddresses(l *fact.DNSLookup) []string {
	var all []string
	for _, text := range l.Resolver.Servers {
		if ip, err := netip.ParseAddr(text); err == nil {
			text = netip.AddrPortFrom(ip, 53).String()
		}
		all = append(all, text)
	}
	return all
}

// askServer asks one endpoint of the nameservers' service the same.
func askServer(ctx context.Context, target *resolve.Target, allow allowed, l *fact.DNSLookup, at netip.AddrPort) fact.Outcome {
	name := l.Asked
	if len(l.Tried) > 0 {
		name = l.Tried[0].Name
	}
	found, err := lookup.Run(ctx, lookup.Target{Network: lookup.Network{Handle: target.Net, Allow: allow}}, lookup.Request{
		Name: name, Server: at, NoSearch: true, Hurry: true, Window: backendTime, Types: []uint16{lookup.TypeA},
	})
	if err != nil {
		return ""
	}
	switch found.Outcome {
	case "timeout":
		return fact.OutcomeTimeout
	case "unreachable":
		if slices.ContainsFunc(found.Tried, func(t fact.DNSTry) bool { return t.Reason == "ECONNREFUSED" }) {
			return fact.OutcomeRefused
		}
		return fact.OutcomeUnreachable
	}
	return fact.OutcomeOK
}

// meantName is the name of a service among those that were tried, or beside them; "" for
// none.
func meantName(target *resolve.Target, l *fact.DNSLookup) string {
	for _, beside := range [...]bool{false, true} {
		for _, t := range l.Tried {
			labels := strings.Split(t.Name, ".")
			if t.Beside == beside && slices.Index(labels, "svc") == 2 {
				return t.Name
			}
		}
	}
	if names := besideNames(target, l.Asked); len(names) > 0 {
		return names[0] // nobody could be asked
	}
	return ""
}

// serviceName reads a name of the cluster's DNS: service.namespace.svc.zone, also with
// a pod's name before it; "" for any other.
func serviceName(absolute string) (name, namespace string) {
	labels := strings.Split(strings.TrimSuffix(absolute, "."), ".")
	if i := slices.Index(labels, "svc"); i == 2 || i == 3 {
		return labels[i-2], labels[i-1]
	}
	return "", ""
}

// isOwn reports whether an address is the node's own.
func isOwn(ctx context.Context, host *nsexec.Handle, ip netip.Addr) bool {
	if host == nil {
		return false
	}
	all, err := host.Addresses(ctx, 0)
	return err == nil && slices.ContainsFunc(all, func(a nsexec.Address) bool { return a.Prefix.Addr().Unmap() == ip })
}

func serviceFacts(state *resolve.ServiceState) *fact.Service {
	s := &fact.Service{
		Name: state.Name, Namespace: state.Namespace, Type: state.Type, ClusterIP: state.ClusterIP, Headless: state.Headless,
		ExternalName: state.ExternalName, Selector: state.Selector, Missing: state.Missing, Elsewhere: state.Elsewhere,
		Ready: state.Ready, Total: state.Total, PodLabels: state.Labels, Workload: state.Workload,
		Denied: state.Denied, EndpointsUnknown: state.Unknown != "",
	}
	for _, p := range state.Ports {
		s.Ports = append(s.Ports, fact.ServicePort(p))
	}
	for _, e := range state.Endpoints {
		s.Endpoints = append(s.Endpoints, e.Address)
	}
	for _, p := range state.Pods {
		for _, port := range p.Ports {
			if !slices.Contains(s.PodPorts, port) {
				s.PodPorts = append(s.PodPorts, port)
			}
		}
	}
	return s
}

// backends are the endpoints of a service, with the port that was asked, and the pods
// that it selects and that have none.
func backends(state *resolve.ServiceState, port *fact.ServicePort) []fact.Backend {
	var all []fact.Backend
	for _, e := range state.Endpoints {
		b := fact.Backend{Pod: e.Pod, Node: e.Node, Address: e.Address, Ready: e.Ready}
		if port != nil && e.Ports[port.Name] > 0 {
			b.Address = netip.AddrPortFrom(netip.MustParseAddr(e.Address), e.Ports[port.Name]).String()
		}
		all = append(all, b)
	}
	for _, p := range state.Pods {
		i := slices.IndexFunc(all, func(b fact.Backend) bool { return b.Pod == p.Name })
		if i < 0 {
			all = append(all, fact.Backend{Pod: p.Name, Node: p.Node, Ready: p.Ready})
			i = len(all) - 1
		}
		b := &all[i]
		b.Cause, b.Why = fact.BackendCause(p.Cause), p.Words
		if p.Message != "" {
			b.Untrusted = &fact.BackendText{Message: p.Message}
		}
	}
	return all[:min(len(all), maxBackends)]
}

// tryBackends sends the same to each endpoint that is ready, side by side.
func tryBackends(ctx context.Context, s *fact.Service, try func(context.Context, netip.AddrPort) fact.Outcome) {
	var wg sync.WaitGroup
	for i := range s.Backends {
		b := &s.Backends[i]
		if at, err := netip.ParseAddrPort(b.Address); err == nil && b.Ready {
			wg.Go(func() { b.Outcome = try(ctx, at) })
		}
	}
	wg.Wait()
}

// readListeners adds where something listens in the networks of those backends of this
// node that refused.
func readListeners(ctx context.Context, node Node, target *resolve.Target, s *fact.Service) {
	for i := range s.Backends {
		b := &s.Backends[i]
		at, err := netip.ParseAddrPort(b.Address)
		if err != nil || b.Outcome != fact.OutcomeRefused {
			continue
		}
		if owner, _ := OwnerOf(ctx, node.Resolver, node.Host, target, b.Address); owner != nil {
			b.Listeners = attempt.Listeners(ctx, owner.Net, at.Port())
			_ = owner.Close() // was only looked at
		}
	}
}
