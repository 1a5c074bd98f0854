// Package mcpserve shows the tools of package tools to MCP clients. It is the
// only place that imports mcp-go.
//
// mcp-go interprets the protocol (both its session era and the stateless one
// of 2026-07-28); this package owns what carries the messages, because there
// the library leaves gaps that a server on a production node cannot have: it
// drops running calls at the end of input, reads lines of any length, starts a
// goroutine for each request without limit, keeps one session object for the
// whole process, and says nothing useful about a tool that does not exist.
//
// A [Server] is what is served, built once from a [Dispatcher]. A transport
// reads requests and hands each to Server.respond, with its origin in the
// context, so that all transports answer alike: [Server.ServeStdio] is one, in
// stdio.go (streams), connection.go (scheduling), lines.go and output.go.
package mcpserve
