//go:build !linux

package probe

import (
	"context"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// Links fails with [nsexec.ErrUnsupported].
func Links(context.Context, *nsexec.Handle, LinkOptions) (LinkList, error) {
	return LinkList{}, nsexec.ErrUnsupported
}

// HostPeers fails with [nsexec.ErrUnsupported].
func HostPeers(context.Context, *nsexec.Handle, *nsexec.Handle, []fact.Link, LinkOptions) error {
	return nsexec.ErrUnsupported
}
