package gather

import (
	"context"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
)

// LinkOptions widens what is read of interfaces.
type LinkOptions = probe.LinkOptions

// RouteWindow is which routes of an interface are counted and kept.
type RouteWindow = probe.RouteWindow

// LinkName is an interface's name as answers write it.
func LinkName(raw string) string { return probe.LinkName(raw) }

// Interfaces are those of a target, with their ends on the host, and its routes.
type Interfaces struct {
	fact.LinkEvidence
	Complete    bool           // no interface and no address is missing
	RouteTotals map[string]int // of each interface, as [RouteWindow] says
	HostErr     error          // why the ends on the host are not known
}

// ReadInterfaces reads them. What a target sees of itself is true without the host too,
// which may be nil.
func ReadInterfaces(ctx context.Context, host *nsexec.Handle, target *resolve.Target, options LinkOptions) (Interfaces, error) {
	var list probe.LinkList
	var hostErr error
	// In one turn: a pod may have thousands of addresses, and who waits for another turn
	// keeps the list meanwhile.
	err := target.Net.Look(ctx, func() (err error) {
		if list, err = probe.Links(ctx, target.Net, options); err == nil && host != nil {
			hostErr = probe.HostPeers(ctx, target.Net, host, list.Links, options)
		}
		return err
	})
	if err != nil {
		return Interfaces{}, err
	}
	found := Interfaces{Complete: list.Complete, HostErr: hostErr, RouteTotals: list.RouteTotals, LinkEvidence: fact.LinkEvidence{
		Links: list.Links, Host: target.HostNetwork, Pod: ownNetworkOfPod(target),
		Routes: list.Routes, AllRoutes: list.AllRoutes, AllDefaults: list.AllDefaults,
	}}
	return found, nil
}

// Links are the interfaces and routes by which a failure is explained; nil in the
// node's own network, and where they cannot be read.
func Links(ctx context.Context, host *nsexec.Handle, target *resolve.Target) *fact.LinkEvidence {
	if target.HostNetwork {
		return nil
	}
	found, err := ReadInterfaces(ctx, host, target, LinkOptions{})
	if err != nil {
		return nil
	}
	found.AllRoutes, found.AllDefaults = found.AllRoutes && found.Complete, found.AllDefaults && found.Complete
	return &found.LinkEvidence
}

// ownNetworkOfPod reports whether the target is the network of a pod that Kubernetes
// has set up: such a pod has a namespace there.
func ownNetworkOfPod(target *resolve.Target) bool {
	w := target.Workload
	return w.Pod != "" && w.Namespace != "" && !w.HostNetwork && !target.HostNetwork
}
