package dispatch

import (
	"context"
	"encoding/json"
	"net/netip"

	"nsenter-mcp/internal/words"
)

// ForwardedMeta is the member of a request's _meta by which the server of another
// node knows that a call was forwarded.
const ForwardedMeta = "nsenter-mcp/forwarded"

// NarrowingMeta is the member in which a [Narrowing] travels beside it. A server
// that knows it says so by an experimental capability of that name.
const NarrowingMeta = "nsenter-mcp/narrowing"

// Narrowing is what the policy of the server that forwards a call takes away from
// that of the server that carries it out. It can take away only.
type Narrowing struct {
	NoHostNetwork bool `json:"no_host_network,omitempty"`
	NoJourney     bool `json:"no_journey,omitempty"`
	// Deny and Only are those of [destination.Policy].
	Deny []netip.Prefix `json:"deny,omitempty"`
	Only []netip.Prefix `json:"only"`
}

// Forwarder carries calls to the servers of other nodes. It is safe for
// concurrent use.
type Forwarder interface {
	// Forward has the server of a node carry out a call and returns the answer as
	// it came. It returns soon after ctx ends, and the other server is told then.
	// An error says why there is no answer: a [*NodeError], or that of ctx.
	Forward(ctx context.Context, call Forwarded) (*Envelope, error)
}

// Forwarded is a call for another node's server.
type Forwarded struct {
	Node string // a valid name, see [CheckNode]
	Tool string
	// Arguments makes the JSON object of the arguments. It is asked when the call
	// is sent: they say how much time is left, and a way to the node may have to be
	// made before.
	Arguments func() (json.RawMessage, error)
	// Narrowing takes from what the other server allows; nil takes nothing. The call
	// must not reach a server that does not know it.
	Narrowing *Narrowing
	// Progress gets what the other server reports on the way, from one goroutine
	// at a time; nil where nobody wants it.
	Progress func(Progress)
}

// Progress is how far a call has come.
type Progress struct {
	Done    float64 // grows with each report
	Total   float64 // 0 where it is not known
	Message string
}

// The codes of a [NodeError].
const (
	// CodeNodeUnreachable: no connection to the node's server could be made.
	CodeNodeUnreachable = "node_unreachable"
	// CodeNodeLost: the connection ended before the answer.
	CodeNodeLost = "node_lost"
	// CodeNodeTooOld: the node's server does not know what a [Narrowing] is.
	CodeNodeTooOld = "node_too_old"
)

// NodeError says why a node's server gave no answer.
type NodeError struct {
	Code    string
	Node    string
	Message string // our own words
	Hint    string
	// Said is what the command that leads to the node wrote: not our words.
	Said string
	Err  error // the cause, where there is one
}

func (e *NodeError) Error() string { return e.Message }

func (e *NodeError) Unwrap() error { return e.Err }

// public words the error for the agent.
func (e *NodeError) public() *Error {
	shown := &Error{
		Code: e.Code, Stage: StageForward, Details: ErrorDetails{Node: e.Node},
		// What the other end said may be part of an error.
		Message: sanitizeText(e.Message, maxRemoteText), Hint: sanitizeText(e.Hint, maxRemoteText),
	}
	if e.Said != "" {
		shown.Details.Untrusted = &UntrustedText{Message: words.Escape(e.Said)}
	}
	return shown
}
