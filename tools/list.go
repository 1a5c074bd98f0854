package tools

import (
	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/tools/gather"
)

// All returns every tool of the program, in the order in which an agent reads
// them. A new tool is one file and one line here.
func All() []dispatch.Tool {
	tracer := new(gather.Tracer) // all tools share what it attaches to the kernel
	return []dispatch.Tool{
		resolvePodPIDTool(),
		listPodsTool(),
		netnsIPAddrTool(),
		netnsDNSLookupTool(tracer),
		netnsCurlTool(tracer),
		tracePacketTool(tracer),
	}
}
