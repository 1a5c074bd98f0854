// Package forward reaches the servers of other nodes: it starts a command for each
// node, such as "ssh -T {node} sudo -n nsenter-mcp", and is a client of the server
// that speaks through the command's standard input and output.
//
// [Template] is the command, words without a shell. A process (process.go) is one
// run of it, with streams that neither block nor grow (streams.go). A session
// (session.go) is the conversation with one node's server, started when it is
// first needed and shared by all calls; [Forwarder] keeps the sessions, ends the
// idle ones, and leaves a node alone for a while that has just failed.
//
// What the command writes to standard error is kept and quoted where the node
// cannot be reached; what it writes to standard output besides messages is
// skipped, up to a bound. Nothing of either is ever taken for our own words.
package forward
