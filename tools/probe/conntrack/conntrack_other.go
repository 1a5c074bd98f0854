//go:build !linux

package conntrack

import (
	"net/netip"

	"nsenter-mcp/nsexec"
)

// Get fails with [nsexec.ErrUnsupported].
func Get(*nsexec.Handle, byte, netip.AddrPort, netip.AddrPort) (Entry, error) {
	return Entry{}, nsexec.ErrUnsupported
}
