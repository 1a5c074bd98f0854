package gather

import (
	"cmp"
	"context"
	"net/netip"
	"strings"
	"time"

	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe/fetch"
	"nsenter-mcp/tools/probe/lookup"
)

// DNSRequest is a name to look up inside a target. Its Window is what the caller has
// set, in place of the usual one; Beside is not read.
type DNSRequest = lookup.Request

// CheckName says in words for the caller why a name cannot be looked up.
func CheckName(name string) error { return lookup.CheckName(name) }

// ParseType reads the name of a record type.
func ParseType(name string) (uint16, bool) { return lookup.ParseType(name) }

// wordingTime is what a lookup keeps back of a call's time, to word the answer.
const wordingTime = 200 * time.Millisecond

// LookUp looks a name up as the target's applications do, and gathers what the answer
// is judged by. What the network did is no error; errors are those of the policy
// ([*destination.DeniedError]), and what kept from measuring.
func LookUp(ctx context.Context, node Node, target *resolve.Target, r DNSRequest) (*fact.LookupEvidence, error) {
	r.Window = cmp.Or(r.Window, lookup.DefaultWindow)
	if deadline, ok := ctx.Deadline(); ok {
		r.Window = max(min(r.Window, time.Until(deadline)-wordingTime), time.Millisecond)
	}
	r.Beside = besideNames(target, r.Name)
	environ, cut := applicationEnviron(ctx, target)
	allow := allowedFor(ctx, node.Destinations, target)
	whose := lookupTarget(target, environ, allow)
	whose.EnvironCut, whose.Tracer = cut, node.Tracer
	found, err := lookup.Run(ctx, whose, r)
	if err != nil {
		return nil, err
	}
	describeLookup(ctx, node, target, found)
	e := &fact.LookupEvidence{DNSLookup: found, Host: target.HostNetwork, Namespace: target.Workload.Namespace}
	if found.Unheard() {
		e.Links = Links(ctx, node.Host, target)
	}
	e.ServiceUnknown = askLookup(ctx, node, target, allow, found)
	return e, nil
}

// besideNames are where a service of the cluster would be found that the
// application's search list does not lead to.
func besideNames(target *resolve.Target, name string) []string {
	namespace := target.Workload.Namespace
	if namespace == "" || strings.HasSuffix(name, ".") || strings.Count(name, ".") > 2 {
		return nil
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return nil
	}
	if !strings.Contains(name, ".") {
		name += "." + namespace
	}
	return []string{name + ".svc.cluster.local"}
}

func lookupTarget(target *resolve.Target, environ []byte, allow allowed) lookup.Target {
	whose := lookup.Target{
		Network:   lookup.Network{Handle: target.Net, Allow: allow},
		WholeRoot: target.Files != nil,
		From:      target.FilesFrom,
	}
	if target.FilesFrom != "" {
		whose.Files = target
	}
	whose.LocalDomain, whose.ResOptions = lookup.ParseEnvironment(environ)
	if target.App != nil {
		whose.Hostname = target.App.Hostname
	}
	return whose
}

// nameLookup looks names up as the target's applications do. Each lookup is given
// to tell too.
func nameLookup(node Node, target *resolve.Target, environ []byte, allow allowed, tell func(*fact.DNSLookup)) fetch.Lookup {
	whose := lookupTarget(target, environ, allow)
	whose.Tracer = node.Tracer
	return func(ctx context.Context, name string) ([]netip.Addr, fact.Resolution, error) {
		found, err := lookup.Run(ctx, whose, lookup.Request{Name: name, Hurry: true})
		if err != nil {
			return nil, fact.Resolution{}, err
		}
		describeLookup(ctx, node, target, found)
		tell(found)
		how := fact.Resolution{
			Name: name, Outcome: found.Outcome, Addresses: found.Addresses, Source: found.Source, AppWaitMS: found.AppWaitMS,
		}
		if found.HalfDenied() {
			how.Outcome = "half_denied"
		}
		if found.Server != "" { // without an answer, Source is empty
			how.Source = strings.TrimSpace(how.Source + " " + found.Server)
		}
		if found.SearchDomain != "" {
			how.FoundAs = found.Name
		}
		var addrs []netip.Addr
		for _, text := range found.Addresses {
			if ip, err := netip.ParseAddr(text); err == nil {
				addrs = append(addrs, ip)
			}
		}
		return addrs, how, nil
	}
}
