// Package probe measures networks: it takes handles of namespaces and returns
// facts. It knows nothing of pods, containers or MCP, and it judges nothing.
//
// Every function takes the handles that it needs and no more, keeps nothing
// between calls, and may be called from any goroutine. What comes from the
// kernel or the network is parsed by pure, bounded functions that are fuzzed.
// Names that a container may choose are made printable here, so that no caller
// has to remember it.
package probe
