//go:build !linux

package resolve

import (
	"context"
	"fmt"

	"nsenter-mcp/nsexec"
)

func scanProcesses(context.Context, string, scanFor, func(process) bool) error {
	return fmt.Errorf("scan processes: %w", nsexec.ErrUnsupported)
}
