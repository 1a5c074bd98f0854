// Package dispatch is the one way from a caller to a tool's handler, and the one
// envelope in which every answer comes.
//
// A tool is declared by [Define]. Its handler does only its own work: the
// [Dispatcher] decodes the arguments, asks the policy, resolves the target or
// forwards the call to another node's server, sets the deadline, checks that the
// network is still the expected one, recovers from panics, and writes the audit
// record. It knows nothing of MCP and of no tool in particular.
//
// Errors of the rooms below (resolve, nsexec) become codes in one place,
// failure.go.
package dispatch
