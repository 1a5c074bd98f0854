package forward

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// session is the conversation with one node's server. Its life: starting, until
// ready is closed; then either it has failed, or it carries calls until its process
// ends or dropped is closed.
type session struct {
	node  string
	began time.Time
	ready chan struct{}
	// dropped is closed when no more calls are to come, and what runs the session
	// is to end it. Whoever closes it holds Forwarder.mu.
	dropped chan struct{}

	// Valid once ready is closed.
	failed  *dispatch.NodeError
	process *process
	client  *mcpclient.Client

	// What follows is guarded by Forwarder.mu.
	calls    int       // under way
	lastUsed time.Time // when the last of them ended, or opening did
}

// serverName is how a server of ours introduces itself.
const serverName = "nsenter-mcp"

// open starts the command and makes the handshake within ctx. On failure the
// process has ended when it returns.
func (s *session) open(ctx context.Context, template Template, l limits) {
	argv, err := template.Argv(s.node)
	if err != nil {
		s.failed = unreachable(s.node, err.Error(), "", "give the name of a node as kubectl get nodes shows it")
		return
	}
	p, err := launch(ctx, argv, l.patience)
	if err != nil {
		s.failed = cannotStart(s.node, argv[0], err)
		return
	}
	client, err := mcpclient.Connect(ctx, p.out, p.in)
	if err == nil {
		if name := client.Server().Name; name != serverName {
			err = fmt.Errorf("the server that answers is %s, not %s", clip(name), serverName)
		}
	}
	if err == nil {
		s.process, s.client = p, client
		return
	}
	// How it ended says more than that a pipe is closed. Which pipe is noticed first,
	// the input or the output, is chance.
	if p.gone() {
		p.within(l.patience)
	}
	how, cause := ending(p), ctx.Err()
	p.end(l.patience) // its standard error is whole then
	s.failed = explainNoServer(cause, s.node, p, how, err)
}

// call has the server carry out one call.
func (s *session) call(ctx context.Context, c dispatch.Forwarded) (mcpclient.Result, error) {
	arguments, err := c.Arguments()
	if err != nil {
		return mcpclient.Result{}, err
	}
	meta := map[string]any{dispatch.ForwardedMeta: true}
	if c.Narrowing != nil {
		meta[dispatch.NarrowingMeta] = c.Narrowing
	}
	request := mcpclient.Request{Tool: c.Tool, Arguments: arguments, Meta: meta}
	if report := c.Progress; report != nil {
		request.Progress = func(done, total float64, message string) {
			report(dispatch.Progress{Done: done, Total: total, Message: message})
		}
	}
	return s.client.Do(ctx, request)
}

// opened reports whether opening has ended, well or not.
func (s *session) opened() bool { return over(s.ready) }

// alive reports whether a session that was opened still carries calls.
func (s *session) alive() bool { return !s.process.gone() }

// end ends the process. Calls under way fail.
func (s *session) end(patience time.Duration) {
	_ = s.client.Close() // only closes the process's input
	s.process.end(patience)
}

// lost words the end of a connection during a call.
func (s *session) lost(patience time.Duration) *dispatch.NodeError {
	s.process.within(patience)
	how := ending(s.process)
	if _, err := s.process.out.failure(); err != nil {
		how = err.Error()
	}
	return &dispatch.NodeError{
		Code: dispatch.CodeNodeLost, Node: s.node,
		Message: fmt.Sprintf("the connection to node %s was lost during the call: %s", s.node, how),
		Hint:    "call again: a new connection is made; what the call had begun on the node ends with the old one",
		Said:    s.process.said.String(), Err: mcpclient.ErrLost,
	}
}

// ending says in words how a process has ended, or that it has closed its pipes; ""
// while it has done neither.
func ending(p *process) string {
	var status *exec.ExitError
	name := program(p)
	switch {
	case !p.gone():
		return ""
	case !over(p.exited):
		return name + " closed the connection"
	case p.err == nil:
		return name + " ended"
	case errors.As(p.err, &status) && status.Exited():
		return fmt.Sprintf("%s ended with exit code %d", name, status.ExitCode())
	}
	return fmt.Sprintf("%s ended: %v", name, p.err)
}
