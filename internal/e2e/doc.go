// Package e2e tests the built program with real parts: a Docker engine, an
// sshd with sudo, and MCP clients that are not ours. `make e2e` installs what
// is needed, builds the program and runs the tests (build tag e2e).
//
// Everything runs in a network and mount namespace of its own with a private
// /run and a private copy of /etc, so the engine's bridge and firewall rules,
// the account that sshd serves and the rule in sudoers are gone with the test.
package e2e
