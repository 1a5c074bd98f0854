package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// Config is what a [Forwarder] is made of.
type Config struct {
	Template Template
	Version  string // of this program
	Logger   *slog.Logger
}

// limits bound the sessions. They are fields only for tests.
type limits struct {
	// start is for a session to be opened; a call waits for that only as long as
	// it has time itself.
	start time.Duration
	// backoff is how long a node is left alone to which no session could be
	// opened.
	backoff time.Duration
	// idle is how long a session without calls is kept.
	idle time.Duration
	// silence is how long a call must have waited in vain for its session to be
	// taken for dead, if not a word has come from there meanwhile.
	silence time.Duration
	// sessions is how many nodes are spoken to at a time.
	sessions int
	// patience is for a process to end by itself, and then after each signal.
	patience time.Duration
}

func defaultLimits() limits {
	return limits{
		start:    20 * time.Second,
		backoff:  5 * time.Second,
		idle:     5 * time.Minute,
		silence:  5 * time.Second,
		sessions: 64,
		patience: time.Second,
	}
}

// Forwarder is the [dispatch.Forwarder] that starts a command for each node. The
// caller closes it.
type Forwarder struct {
	cfg    Config
	limits limits
	ctx    context.Context // of all sessions; ended by Close
	cancel context.CancelFunc

	mu       sync.Mutex
	sessions map[string]*session // by node; also those that failed of late
	work     sync.WaitGroup      // of the goroutines that open, watch and end sessions
}

// New returns a Forwarder that has started nothing yet.
func New(cfg Config) *Forwarder {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Forwarder{cfg: cfg, limits: defaultLimits(), sessions: map[string]*session{}}
	f.ctx, f.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // sessions are no call's alone; Close ends them
	return f
}

// Command is the program that is started for each node.
func (f *Forwarder) Command() string { return f.cfg.Template.Command() }

// ExecNamespace is [Template.ExecNamespace] of that command.
func (f *Forwarder) ExecNamespace() string { return f.cfg.Template.ExecNamespace() }

// ServerVersion is the version of a node's server, "" where there is no connection
// to it.
func (f *Forwarder) ServerVersion(node string) string {
	f.mu.Lock()
	s := f.sessions[node]
	f.mu.Unlock()
	if s == nil || !s.opened() || s.failed != nil {
		return ""
	}
	return s.client.Server().Version
}

// Close ends all sessions, and the calls under way with them. It returns when
// the last process has ended.
func (f *Forwarder) Close() error {
	f.mu.Lock() // no session begins meanwhile
	f.cancel()
	f.mu.Unlock()
	f.work.Wait()
	return nil
}

// Forward implements [dispatch.Forwarder].
func (f *Forwarder) Forward(ctx context.Context, c dispatch.Forwarded) (*dispatch.Envelope, error) {
	s, err := f.acquire(ctx, c)
	if err != nil {
		return nil, err
	}
	defer f.release(s)
	if c.Narrowing != nil && !slices.Contains(s.client.Server().Experimental, dispatch.NarrowingMeta) {
		return nil, &dispatch.NodeError{
			Code: dispatch.CodeNodeTooOld, Node: c.Node,
			Message: fmt.Sprintf("the server of node %s cannot be bound to what this server's policy takes away (destinations, host network)", c.Node),
			Hint:    fmt.Sprintf("the server there is of version %s, this one of %s: bring both to one", clip(s.client.Server().Version), f.cfg.Version),
		}
	}
	sent := time.Now()
	result, err := s.call(ctx, c)
	if err != nil {
		return f.failure(ctx, s, sent, err)
	}
	answer, err := decodeEnvelope(result.JSON)
	if err != nil {
		return nil, &dispatch.NodeError{
			Code: dispatch.CodeNodeLost, Node: c.Node, Err: err,
			Message: fmt.Sprintf("what the server of node %s answers is no answer of nsenter-mcp: %v", c.Node, err),
			Hint:    fmt.Sprintf("the server there is of version %s, this one of %s: bring both to one", clip(s.client.Server().Version), f.cfg.Version),
		}
	}
	f.sayVersion(s, answer)
	return answer, nil
}

// failure explains why a call has no answer. An error that the other dispatcher
// has made is an answer all the same.
func (f *Forwarder) failure(ctx context.Context, s *session, sent time.Time, err error) (*dispatch.Envelope, error) {
	var remote *mcpclient.RemoteError
	switch {
	case errors.As(err, &remote):
		answer := refusal(remote)
		f.sayVersion(s, answer)
		return answer, nil
	case errors.Is(err, mcpclient.ErrLost), !s.alive():
		if f.ctx.Err() != nil {
			return nil, unreachable(s.node, "this server is ending", "", "start it again")
		}
		return nil, s.lost(f.limits.patience)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		// The other server answers in time whatever happens on its node. One that
		// has said nothing at all for so long is not there any more.
		if time.Since(sent) >= f.limits.silence && s.process.out.heard.Load() < sent.UnixNano() {
			f.drop(s, "it has not answered a call in time")
			return nil, &dispatch.NodeError{
				Code: dispatch.CodeTimeout, Node: s.node, Err: ctx.Err(), Said: s.process.said.String(),
				Message: fmt.Sprintf("node %s has said nothing until the call's time was up; the connection to it is given up", s.node),
				Hint:    "call again: a new connection is made; if the node does not answer then either, see whether it is up",
			}
		}
		return nil, &dispatch.NodeError{
			Code: dispatch.CodeTimeout, Node: s.node, Err: ctx.Err(),
			Message: fmt.Sprintf("node %s has not answered until the call's time was up", s.node),
			Hint:    fmt.Sprintf("call again with a larger timeout_ms (at most %d)", dispatch.MaxDeadline.Milliseconds()),
		}
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	f.drop(s, "it does not take what it is sent")
	return nil, &dispatch.NodeError{
		Code: dispatch.CodeNodeLost, Node: s.node, Err: err, Said: s.process.said.String(),
		Message: fmt.Sprintf("the call could not be sent to node %s: %s", s.node, brief(err)),
		Hint:    "call again in a moment: a new connection is made",
	}
}

// sayVersion adds, where the other server did not understand the call, that it is
// of another version.
func (f *Forwarder) sayVersion(s *session, answer *dispatch.Envelope) {
	there := s.client.Server().Version
	if answer.Error == nil || there == f.cfg.Version {
		return
	}
	switch answer.Error.Code {
	case dispatch.CodeUnknownArgument, dispatch.CodeUnknownTool, dispatch.CodeInvalidArguments:
		answer.Notes = append(answer.Notes, dispatch.Note{
			Code: "version_differs",
			Message: fmt.Sprintf("the server of node %s is of version %s, this one of %s; what one knows the other may not",
				s.node, clip(there), f.cfg.Version),
		})
	}
}
