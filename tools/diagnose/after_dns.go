package diagnose

import (
	"cmp"
	"net/netip"
	"strings"

	"nsenter-mcp/tools/fact"
)

// clusterDomain is the usual one, and clusterName the service of the Kubernetes API.
const (
	clusterDomain = ".cluster.local."
	clusterName   = "kubernetes.default.svc" + clusterDomain
)

// AfterLookup returns the moves that bring the search further after a lookup that gave
// nothing. Where a finding settles the cause, nothing is compared any more.
func AfterLookup(e *fact.LookupEvidence, findings []fact.Finding) []Step {
	if e.Outcome == "answered" || len(e.Resolver.Servers) == 0 || Settled(findings) {
		return showServices(e.DNSLookup, findings)
	}
	if e.Outcome == "nxdomain" {
		// From elsewhere the same server says the same; whether it knows the cluster decides.
		if e.Namespace == "" || e.HalfDenied() || strings.HasPrefix(e.Asked, clusterName) {
			return nil
		}
		return []Step{{LookUpName, clusterName,
			"a name that every cluster has: a server without that name does not serve the cluster's names"}}
	}
	var steps []Step
	add := func(move Move, why string) { steps = append(steps, Step{move, comparableName(e.DNSLookup), why}) }
	silent := e.Outcome == "timeout" || e.Outcome == "unreachable"
	elsewhere := sameElsewhere(e.Resolver.Servers[0]) && e.Outcome != "no_nameserver"
	const inside = "whether the server answers to itself"
	if elsewhere && silent && !e.Unheard() {
		add(FromInside, inside) // the way there and back works
	}
	switch {
	case !elsewhere || e.Host:
	case silent:
		add(FromNode, "the same question to the same server from the node: any answer, NXDOMAIN too, puts the fault on the pod's path")
	default:
		add(FromNode, "the same question to the same server from the node: if the answer is the same, the fault is the server's or the name's")
	}
	switch {
	case !elsewhere:
	case silent && e.Unheard():
		add(FromInside, inside)
	case e.Outcome == "servfail" && !strings.HasSuffix(comparableName(e.DNSLookup), clusterDomain):
		add(AsServer, "whether the servers of the nameserver's own resolv.conf answer, to which a nameserver usually forwards")
	}
	if !e.Host && e.Unheard() {
		steps = append(steps, Step{ShowLink, "", "state of the interface and of the interface's other end on the host"})
	}
	return steps
}

// sameElsewhere reports whether a server's address means the same server in another
// network. A loopback or link-local address means another one there, or nobody.
func sameElsewhere(server string) bool {
	to, err := netip.ParseAddrPort(server)
	ip := to.Addr()
	if err != nil {
		ip, err = netip.ParseAddr(server)
	}
	return err == nil && !ip.IsLoopback() && !ip.IsLinkLocalUnicast()
}

// comparableName is the absolute name to ask from elsewhere: the one that decided,
// or where nobody answered, the first that the application tries. Which one the
// library gives up at says nothing about which exists.
func comparableName(l *fact.DNSLookup) string {
	name := cmp.Or(l.Name, l.Asked)
	switch {
	case l.TwoDots:
		name = l.Asked
	case l.Name != "" && l.Outcome != "timeout" && l.Outcome != "unreachable":
	default:
		for _, t := range l.Tried {
			if !t.Beside {
				name = t.Name
				break
			}
		}
	}
	return strings.TrimSuffix(name, ".") + "."
}
