//go:build !linux

package resolve

import (
	"net/netip"

	"nsenter-mcp/nsexec"
)

// ownsAddress fails with [nsexec.ErrUnsupported].
func ownsAddress(*nsexec.Handle, netip.Addr) (bool, error) { return false, nsexec.ErrUnsupported }

func attached(_, _ *nsexec.Handle, _ netip.Addr) bool { return false }

// globalAddresses fails: without namespaces there is nothing to look into.
func globalAddresses(*nsexec.Handle) ([]netip.Addr, error) { return nil, nsexec.ErrUnsupported }
