// Package config reads the operator's file, and narrows what it allows by flags.
//
// Flags may come from the configuration of an agent's program, which is not the
// operator's. So only one file can allow more than the defaults: [Path], which
// nobody but root can write. Everything else takes away from it, and asking for
// more than it allows is an error that says where to allow it. Where there is
// such a file, it also says where to look for the node and its runtimes, and
// how other nodes are reached.
package config
