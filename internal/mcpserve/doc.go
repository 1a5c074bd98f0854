// Package mcpserve shows the tools of package tools to MCP clients. It is the
// only place that imports mcp-go.
//
// mcp-go interprets the protocol (both its session era and the stateless one
// of 2026-07-28); this package owns what carries the messages, because there
// the library leaves gaps that a server on a production node cannot have: it
// drops running calls at the end of input, reads lines of any length, starts a
// goroutine for each request without limit, keeps one session object for the
// whole process, and says nothing useful about a tool that does not exist. Calls of
// which nothing is left to interpret (Server.answer) go to the dispatcher directly.
//
// A [Server] is what is served, built once from a [Dispatcher]. A transport
// reads requests and hands each to Server.respond, with its origin in the
// context, so that all transports answer alike. There are two:
//
// [Server.ServeStdio], in stdio.go (streams), connection.go (scheduling),
// lines.go and output.go.
//
// [HTTP], in http.go (the server around it), http_guard.go and token.go (who may
// call), http_post.go and http_stateless.go (the two eras of the protocol),
// http_sessions.go, http_exchange.go (a request as mcp-go sees it) and
// http_response.go; listen.go makes its sockets. The library's own server for
// HTTP is not used: in the stateless era any client can cancel any other's
// request with it, in both it loses notifications sent just before a result and
// changes large ids, and its sessions are not bound to who opened them.
package mcpserve
