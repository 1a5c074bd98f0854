//go:build !linux

package conntrack

import (
	"context"
	"net/netip"

	"nsenter-mcp/nsexec"
)

// Get fails with [nsexec.ErrUnsupported].
func Get(context.Context, *nsexec.Handle, byte, netip.AddrPort, netip.AddrPort) (Entry, error) {
	return Entry{}, nsexec.ErrUnsupported
}
