// Package tools is what an agent sees: the tools and their arguments.
//
// A tool is one file: its input struct, its output struct, its handler and its
// declaration, and one line in [All]. Handlers know nothing of MCP and do only
// their own work; all else is the business of package dispatch. Evidence that
// more than one tool needs comes from package gather, judgement from package
// diagnose.
package tools
