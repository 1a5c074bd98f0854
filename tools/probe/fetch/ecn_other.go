//go:build !linux

package fetch

import (
	"context"

	"nsenter-mcp/tools/fact"
)

func (s *step) compareECN(context.Context) *fact.ECN { return nil }
