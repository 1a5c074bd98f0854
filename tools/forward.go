package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

// ForwardedMeta is the member of a request's _meta by which the server of another
// node knows that a call was forwarded.
const ForwardedMeta = "nsenter-mcp/forwarded"

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
		Code: e.Code, Stage: stageForward, Message: e.Message, Hint: e.Hint, Details: ErrorDetails{Node: e.Node},
	}
	if e.Said != "" {
		shown.Details.Untrusted = &containerText{Message: escape(e.Said)}
	}
	return shown
}

// CheckNode reports what keeps name from being that of a node in Kubernetes: a
// DNS subdomain (RFC 1123). Such a name is no option of a command, no path and
// no pattern.
func CheckNode(name string) error {
	const longest = 253
	switch {
	case name == "":
		return errors.New("is empty")
	case len(name) > longest:
		return fmt.Errorf("is longer than %d characters", longest)
	}
	inner := false // within a part, where a hyphen may stand
	for i := range len(name) {
		c := name[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			inner = true
		case c == '-' && inner:
			if i+1 == len(name) || name[i+1] == '.' {
				return errors.New("has a part that ends in a hyphen")
			}
		case c == '.' && inner && i+1 < len(name):
			inner = false
		default:
			return errors.New("is not made of parts of a-z, 0-9 and hyphens, with dots between them")
		}
	}
	return nil
}

// place is where a call is to be carried out.
type place struct {
	node string
	// pod and namespace name the target there without any doubt; "" leaves it as
	// the caller has named it.
	pod, namespace string
	// given: the caller named the node.
	given bool
}

// elsewhere reports where the target of a call is, if that is not here. The
// caller may say it; for a pod the resolver finds it out.
func (d *Dispatcher) elsewhere(ctx context.Context, c Call, call *invocation) (place, bool, error) {
	if call.node == "" {
		return place{}, false, nil
	}
	if err := CheckNode(call.node); err != nil {
		return place{}, false, invalidArgument("node", quote(call.node)+" "+err.Error())
	}
	here := d.Env.Resolver.Node()
	if here == "" && !d.forwards(c) {
		// Answers say it as soon as an API does, so it may well be this one's. Where
		// nobody can say, it is not known to be.
		here, _ = d.Env.Resolver.FindNode(ctx)
	}
	switch {
	case call.node == here:
		return place{}, false, nil
	case d.forwards(c):
		// The command of --via goes wherever a name leads, so that an agent that was
		// talked into it could name any machine. Where there is an API, it says what is
		// a node; while it does not answer, the operator's command is all there is.
		if has, err := d.Env.Resolver.HasNode(ctx, call.node); err == nil && !has {
			return place{}, false, &failure{public: Error{
				Code: string(resolve.KindNotFound), Stage: stageForward,
				Message: "the cluster has no node " + quote(call.node),
				Hint:    "list_pods with all_nodes shows on which nodes pods run; leave node out where the pod is named",
			}}
		}
		return place{node: call.node, given: true}, true, nil
	}
	which := "its own node only"
	if here != "" {
		which = "node " + here + " only"
	}
	return place{}, false, &failure{public: Error{
		Code: string(resolve.KindOtherNode), Stage: stageForward,
		Message: fmt.Sprintf("node %s is out of reach: this server looks at %s", call.node, which),
		Hint:    "leave node out to look at this node, or let the operator start a server with --via, which reaches the others",
		Details: ErrorDetails{Node: call.node},
	}}
}

// forwards: a call that was forwarded once stays where it is, so that servers
// that know of each other cannot send it round in circles.
func (d *Dispatcher) forwards(c Call) bool { return d.Forwarder != nil && !c.Forwarded }

// placeOf tells from a resolver's error that the target lives on another node.
func placeOf(err error) (place, bool) {
	var resolving *resolve.Error
	if !errors.As(err, &resolving) || resolving.Kind != resolve.KindOtherNode || CheckNode(resolving.Node) != nil {
		return place{}, false
	}
	to := place{node: resolving.Node}
	if c := resolving.Candidates; len(c) == 1 {
		to.pod, to.namespace = c[0].Pod, c[0].Namespace
	}
	return to, true
}

// sayWhere tells a caller who named a target of this machine that it has none,
// and one who named a pod that this server cannot tell on which node it is.
func (d *Dispatcher) sayWhere(c Call, err error) error {
	var resolving *resolve.Error
	if !d.forwards(c) || !errors.As(err, &resolving) {
		return err
	}
	told := *resolving
	switch {
	case resolving.NoCluster:
		told.Hint = "If it is on another node, give a kubeconfig (--kubeconfig), or name the node (node). " + told.Hint
		return &told
	case resolving.Kind != resolve.KindUnsupported:
		return err
	}
	told.Hint = "this machine only leads to the nodes: name a pod of the cluster, or add node to what is on a node"
	return &told
}

// forward has another node's server carry out the call. What this server's
// policy forbids does not come so far; the other one has a policy of its own.
func (d *Dispatcher) forward(ctx context.Context, c Call, tool *Tool, call *invocation, to place) *Envelope {
	if d.Authorize != nil {
		if err := d.Authorize(ctx, c.Caller, tool.Spec, &resolve.Target{Query: call.query, Node: to.node}); err != nil {
			return failed(nil, err, stagePolicy)
		}
	}
	if d.Policy.NoHostNetwork && call.query.Netns == "host" {
		return failed(nil, hostNetworkDenied(to), stagePolicy)
	}
	if call.permitted != nil {
		if err := call.permitted(d.Policy); err != nil {
			return failed(nil, err, stagePolicy)
		}
	}
	arguments := func() (json.RawMessage, error) { return to.arguments(c.Arguments, timeThere(ctx)) }
	answer, err := d.Forwarder.Forward(ctx, Forwarded{Node: to.node, Tool: tool.Name, Arguments: arguments, Progress: c.Progress})
	if err != nil {
		failure := failed(nil, err, stageForward)
		failure.Error.Details.Node = to.node
		return failure
	}
	return d.settle(tool, to, answer)
}

// hostNetworkDenied: what is closed here is closed on other nodes too.
func hostNetworkDenied(to place) error {
	return &failure{public: Error{
		Code: string(resolve.KindHostNetworkDenied), Stage: stagePolicy,
		Message: "the target uses the network of node " + to.node + " itself, which the operator of this server keeps closed",
		Hint:    "choose a target with a network of its own, or ask the operator to allow the host network",
		Details: ErrorDetails{Node: to.node},
	}}
}

// timeThere is what the other server may take, in milliseconds: a little less
// than is left, so that what it has measured by then is back in time.
func timeThere(ctx context.Context) int64 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return MaxDeadline.Milliseconds()
	}
	left := time.Until(deadline)
	return max(1, (left - min(left/10, time.Second)).Milliseconds())
}

// arguments are those of the call as the other server gets them: without node,
// which only says the way, and with what is left of the time. What else there is
// goes along as it was written.
func (to place) arguments(raw json.RawMessage, timeoutMS int64) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &all); err != nil {
			return nil, fmt.Errorf("arguments: %w", err)
		}
	}
	if all == nil { // null
		all = map[string]json.RawMessage{}
	}
	delete(all, "node")
	all["timeout_ms"] = strconv.AppendInt(nil, timeoutMS, 10)
	if to.pod != "" {
		// The other server may know fewer names than the API that found the pod.
		delete(all, "ip")
		for name, value := range map[string]string{"pod": to.pod, "namespace": to.namespace} {
			text, err := json.Marshal(value)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			all[name] = text
		}
	}
	return json.Marshal(all)
}

// settle makes another server's answer one of this server: within the same
// bounds, and with next steps that can be sent to this server as they are.
func (d *Dispatcher) settle(tool *Tool, to place, answer *Envelope) *Envelope {
	if answer.Target != nil && answer.Target.HostNetwork && d.Policy.NoHostNetwork {
		return failed(nil, hostNetworkDenied(to), stagePolicy)
	}
	if data, ok := answer.Data.(json.RawMessage); ok && len(data) > tool.MaxBytes {
		return failed(answer.Target, tooLarge(len(data), tool.MaxBytes), stageForward)
	}
	if answer.Target != nil {
		if said := answer.Target.Node; said != "" && said != to.node {
			answer.Notes = append(answer.Notes, Note{
				Code:    "node_name_differs",
				Message: fmt.Sprintf("the server reached as node %s says that its node is %s", to.node, word(said)),
			})
		}
		answer.Target.Node = to.node
	}
	if answer.Error != nil {
		answer.Error.Details.Node = to.node
		if answer.Error.Stage == "" {
			answer.Error.Stage = stageForward
		}
	}
	if answer.Findings == nil {
		answer.Findings = []fact.Finding{}
	}
	answer.Findings = answer.Findings[:min(len(answer.Findings), maxFindings)]
	if answer.Notes == nil {
		answer.Notes = []Note{}
	}
	next := answer.Next
	answer.Next = []Next{}
	for _, n := range next {
		// A pod is found again by its name, wherever it has gone by then.
		if _, named := n.Arguments["pod"]; to.given || !named {
			if n.Arguments == nil {
				n.Arguments = map[string]any{}
			}
			n.Arguments["node"] = to.node
		}
		answer.Next = append(answer.Next, n)
	}
	answer.Next = d.sendable(answer.Next)
	return answer
}
