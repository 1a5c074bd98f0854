package dispatch

import (
	"slices"

	"nsenter-mcp/internal/dispatch/destination"
)

// Policy is what the operator allows. The zero value allows nothing; see
// [DefaultPolicy].
type Policy struct {
	Toolsets []Toolset
	// Destinations are what probes may connect to.
	Destinations destination.Policy
	// UnsafeMethods: netns_curl may send methods other than GET, HEAD and
	// OPTIONS.
	UnsafeMethods bool
	// NoHostNetwork: nothing is looked at that uses the node's own network. The
	// resolver refuses it (resolve.Config.AllowHostNetwork).
	NoHostNetwork bool
	// NoJourney: probes do not follow their packets through the node.
	NoJourney bool
}

// CodeDestinationDenied is the error for an address that probes may not connect
// to.
const CodeDestinationDenied = "destination_denied"

// DefaultPolicy allows the toolsets that look and probe.
func DefaultPolicy() Policy { return Policy{Toolsets: []Toolset{Inspect, Probe}} }

// allows reports whether the tool may be listed and called.
func (p Policy) allows(t *Tool) bool { return slices.Contains(p.Toolsets, t.Toolset) }

// narrowing is what a server that carries out a call for this one has to be told
// of the policy; nil where nothing is to be told. Which tools and methods there are
// has been decided before.
func (p Policy) narrowing() *Narrowing {
	if !p.NoHostNetwork && !p.NoJourney && len(p.Destinations.Deny) == 0 && p.Destinations.Only == nil {
		return nil
	}
	return &Narrowing{NoHostNetwork: p.NoHostNetwork, NoJourney: p.NoJourney, Deny: p.Destinations.Deny, Only: p.Destinations.Only}
}

// narrowedBy is what is left of the policy for a call that came with n.
func (p Policy) narrowedBy(n *Narrowing) Policy {
	if n == nil {
		return p
	}
	p.NoHostNetwork = p.NoHostNetwork || n.NoHostNetwork
	p.NoJourney = p.NoJourney || n.NoJourney
	p.Destinations = p.Destinations.Narrow(destination.Policy{Deny: n.Deny, Only: n.Only})
	return p
}
