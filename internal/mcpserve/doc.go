// Package mcpserve shows the tools of package tools to MCP clients. It is the
// only place that imports mcp-go.
//
// Calls (tools/call) have one road, Server.callTool, from every client to the
// dispatcher. mcp-go interprets everything else of the protocol, both its session era
// and the stateless one of 2026-07-28. This package owns what carries the messages:
// there the library leaves gaps that a server on a production node cannot have. It
// drops running calls at the end of input, reads lines of any length, starts a
// goroutine for each request without limit, keeps one session object for the whole
// process, and says nothing useful about a tool that does not exist.
//
// A [Server] is what is served, built once from a [Dispatcher]. A transport reads
// texts and hands each to client.begin, so that all transports answer alike. There are
// two: [Server.ServeStdio], in stdio.go and lines.go; and [HTTP], in http.go (the server
// around it), http_guard.go and token.go (who may call), http_post.go, http_sessions.go
// and http_response.go; listen.go makes its sockets. The library's own server for HTTP
// is not used: in the stateless era any client can cancel any other's request with it,
// in both it loses notifications sent just before a result and changes large ids, and
// its sessions are not bound to who opened them. The server asks its clients nothing
// (sampling, elicitation) and sends them no log messages.
package mcpserve
