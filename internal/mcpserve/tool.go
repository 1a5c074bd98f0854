package mcpserve

import (
	"github.com/mark3labs/mcp-go/mcp"

	"nsenter-mcp/tools"
)

// published is a tool as clients see it.
func published(t tools.Tool) mcp.Tool {
	return mcp.Tool{
		Name:            t.Name,
		Title:           t.Title,
		Description:     t.Description,
		RawInputSchema:  t.InputSchema,
		RawOutputSchema: t.OutputSchema,
		Annotations:     annotations(t.Spec),
	}
}

// annotations states all four hints: what is left out counts as destructive
// and open-world (MCP 2025-11-25, ToolAnnotations).
func annotations(s tools.Spec) mcp.ToolAnnotation {
	changes := s.Changes || s.Toolset == tools.Exec // anything can be run
	return mcp.ToolAnnotation{
		ReadOnlyHint:    mcp.ToBoolPtr(!changes),
		DestructiveHint: mcp.ToBoolPtr(changes),
		IdempotentHint:  mcp.ToBoolPtr(!changes),
		OpenWorldHint:   mcp.ToBoolPtr(s.SendsPackets || changes),
	}
}
