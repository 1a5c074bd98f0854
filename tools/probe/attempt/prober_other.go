//go:build !linux

package attempt

import (
	"context"
	"net"
	"net/netip"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// Connect fails with [nsexec.ErrUnsupported].
func (p *Prober) Connect(_ context.Context, _ *nsexec.Handle, r Request) (net.Conn, fact.Attempt, error) {
	return nil, fact.Attempt{Address: r.Address.String()}, nsexec.ErrUnsupported
}

// Ask fails with [nsexec.ErrUnsupported].
func (p *Prober) Ask(_ context.Context, _ *nsexec.Handle, r Request, _ Question) (fact.Attempt, []byte, error) {
	return fact.Attempt{Address: r.Address.String()}, nil, nsexec.ErrUnsupported
}

// Gateways fails with [nsexec.ErrUnsupported].
func Gateways(context.Context, *nsexec.Handle) ([]netip.Addr, error) {
	return nil, nsexec.ErrUnsupported
}

// AskNode does nothing.
func AskNode(_ context.Context, _, _ *nsexec.Handle, _ []fact.Attempt) {}

// AskJourney does nothing.
func AskJourney(context.Context, *nsexec.Handle, *nsexec.Handle, *fact.Journey) {}

// DescribeDevices does nothing.
func DescribeDevices(context.Context, []Network, []*fact.Journey) {}

// AskEnd does nothing.
func AskEnd(context.Context, *nsexec.Handle, *fact.Journey) {}

// MeasureWays does nothing.
func MeasureWays(context.Context, *nsexec.Handle, []fact.Attempt) {}

// CompareECN measures nothing.
func CompareECN(context.Context, *nsexec.Handle, netip.AddrPort) *fact.ECN { return nil }

// Listeners are not known.
func Listeners(context.Context, *nsexec.Handle, uint16) []string { return nil }
