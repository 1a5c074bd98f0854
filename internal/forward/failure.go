package forward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"strings"

	"nsenter-mcp/internal/dispatch"
)

func unreachable(node, why, said, hint string) *dispatch.NodeError {
	return &dispatch.NodeError{
		Code: dispatch.CodeNodeUnreachable, Node: node,
		Message: fmt.Sprintf("node %s cannot be reached: %s", node, why), Said: said, Hint: hint,
	}
}

// program is the name of the command that a process runs.
func program(p *process) string { return filepath.Base(p.cmd.Path) }

// cannotStart explains a command that does not run at all.
func cannotStart(node, command string, err error) *dispatch.NodeError {
	hint := "see the command that --via gives"
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		hint = "install it, or give its full path in --via"
	}
	e := unreachable(node, fmt.Sprintf("%s cannot be started: %v", filepath.Base(command), err), "", hint)
	e.Err = err
	return e
}

// explainNoServer explains a command that ran and led to no server. How it ended
// before it was made to may be "", cause is why nobody waited longer.
func explainNoServer(cause error, node string, p *process, ended string, err error) *dispatch.NodeError {
	said := p.said.String()
	stray, broken := p.out.failure()
	name := program(p)
	why := fmt.Sprintf("%s led to no server: %s", name, brief(err))
	hint := "try it by hand: the command of --via with this node in it and the word version at its end"
	switch {
	case broken != nil:
		why = fmt.Sprintf("what %s leads to is no MCP server: %v", name, broken)
	case ended != "" && cause == nil:
		why = ended + " before the server answered"
	case errors.Is(cause, context.DeadlineExceeded):
		why = name + " led to no server that answers in time"
		hint = "if it waits for a password or for a host key to be confirmed, it waits in vain: " +
			"with ssh use -o BatchMode=yes, an agent that holds the key, and a known_hosts that knows the node; with sudo use -n"
	case errors.Is(cause, context.Canceled):
		why = "this server is ending"
		hint = "start it again"
	}
	if said == "" {
		said = stray
	}
	if known := hintFor(said); known != "" {
		hint = known
	}
	e := unreachable(node, why, said, hint)
	e.Err = err
	return e
}

// brief bounds an error that may quote what the other end said.
func brief(err error) string {
	const limit = 500 // bytes
	text := err.Error()
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}

// hintFor knows what the usual commands say when they fail, as they say it in
// English (OpenSSH 9, sudo 1.9, kubectl 1.3x, the shells' "not found").
func hintFor(said string) string {
	for _, known := range [...]struct{ words, hint string }{
		{"Host key verification failed", "the node's host key is not known, or is another one than before: log in once by hand (ssh NODE) and compare the fingerprint"},
		{"REMOTE HOST IDENTIFICATION HAS CHANGED", "the node's host key is another one than before: find out why before you remove the old one from known_hosts"},
		{"Permission denied (", "ssh was not let in: load the key into the agent (ssh-add), or name user and key in the ssh configuration"},
		{"Could not resolve hostname", "the node's name does not resolve here: give it a Host entry in the ssh configuration, with HostName or ProxyJump"},
		{"Connection timed out", "nothing answers at the node's address: is it up, and is it reached from here without a jump host (ProxyJump)?"},
		{"No route to host", "the node's address is not reached from here: is it up, and does it take a jump host (ProxyJump)?"},
		{"Connection refused", "no ssh server listens at the node's address, or on another port"},
		{"a password is required", "sudo asks for a password: the node needs a NOPASSWD rule for exactly this command (see the README)"},
		{"a terminal is required", "sudo asks for a password: the node needs a NOPASSWD rule for exactly this command (see the README)"},
		{"is not allowed to execute", "sudo on the node has no rule for exactly this command, arguments included (see the README)"},
		{"command not found", "install nsenter-mcp on the node, or give its full path in --via"},
		{"executable file not found", "install nsenter-mcp on the node, or give its full path in --via"},
		{"No such file or directory", "install nsenter-mcp on the node, or give its full path in --via"},
		{"(NotFound)", "there is no such pod on the node: see what deploy/ makes, and the namespace and name in --via"},
		{"(Forbidden)", "kubectl may not do that: this user's role needs get and list on pods, and get and create on pods/exec, in that namespace (docs/cluster.md)"},
		{"You must be logged in", "kubectl is not logged in: renew its credentials"},
	} {
		if strings.Contains(said, known.words) {
			return known.hint
		}
	}
	return ""
}
