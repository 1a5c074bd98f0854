// Package conformance runs the official MCP conformance suite
// (@modelcontextprotocol/conformance) against this project's own HTTP stack:
// the real constructor and the real transport, with the real tools and, beside
// them, the tools, prompts and resources that the suite calls. `make e2e` runs
// it (build tag e2e).
package conformance
