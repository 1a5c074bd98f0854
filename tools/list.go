package tools

import "nsenter-mcp/internal/dispatch"

// All returns every tool of the program, in the order in which an agent reads
// them. A new tool is one file and one line here.
func All() []dispatch.Tool {
	return []dispatch.Tool{
		resolvePodPIDTool(),
		listPodsTool(),
		netnsIPAddrTool(),
		netnsDNSLookupTool(),
		netnsCurlTool(),
	}
}
