package gather

import (
	"context"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
)

// Links are the interfaces of the target, with their ends on the host, and its routes;
// nil in the node's own network, and where they cannot be read.
func Links(ctx context.Context, host *nsexec.Handle, target *resolve.Target) *fact.LinkEvidence {
	if target.HostNetwork {
		return nil
	}
	var list probe.LinkList
	if target.Net.Look(ctx, func() (err error) {
		list, err = probe.Links(ctx, target.Net, probe.LinkOptions{})
		return err
	}) != nil {
		return nil
	}
	if host != nil { // what the target sees of itself is true without the host too
		_ = host.Look(ctx, func() error { return probe.HostPeers(ctx, target.Net, host, list.Links, probe.LinkOptions{}) })
	}
	return &fact.LinkEvidence{Links: list.Links, Pod: OwnNetworkOfPod(target), Routes: list.Routes, AllRoutes: list.AllRoutes && list.Complete}
}

// OwnNetworkOfPod reports whether the target is the network of a pod that Kubernetes
// has set up: such a pod has a namespace there.
func OwnNetworkOfPod(target *resolve.Target) bool {
	w := target.Workload
	return w.Pod != "" && w.Namespace != "" && !w.HostNetwork && !target.HostNetwork
}
