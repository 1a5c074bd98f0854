// Package tools is what an agent sees: the tools, their arguments and the one
// envelope in which every answer comes.
//
// A tool is one file: its input struct, its output struct, its handler and its
// declaration, and one line in [All]. Handlers know nothing of MCP and do only
// their own work: the [Dispatcher] decodes the arguments, asks the policy,
// resolves the target, sets the deadline, checks that the network is still the
// expected one, recovers from panics, and writes the audit record.
//
// Errors of the rooms below (resolve, nsexec) become codes in one place,
// failure.go.
package tools
