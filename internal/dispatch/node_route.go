package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
)

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

// nodeRoute says where a call is to be carried out.
type nodeRoute struct {
	node string
	// pod and namespace name the target there without any doubt; "" leaves it as
	// the caller has named it.
	pod, namespace string
	// given: the caller named the node.
	given bool
}

// routeToNode reports where the target of a call is, if that is not here. The
// caller may say it; for a pod the resolver finds it out.
func (d *Dispatcher) routeToNode(ctx context.Context, c Call, call *invocation) (nodeRoute, bool, error) {
	if call.node == "" {
		if call.query.Netns == "host" && d.forwards(c) && !d.isNode(ctx) {
			return nodeRoute{}, false, hostNeedsNode()
		}
		return nodeRoute{}, false, nil
	}
	if err := CheckNode(call.node); err != nil {
		return nodeRoute{}, false, InvalidArgument("node", words.Quote(call.node)+" "+err.Error())
	}
	here := d.Env.Resolver.Node()
	if here == "" && !d.forwards(c) {
		// Answers say it as soon as an API does, so it may well be this one's. Where
		// nobody can say, it is not known to be.
		here, _ = d.Env.Resolver.FindNode(ctx)
	}
	switch {
	case call.node == here:
		return nodeRoute{}, false, nil
	case d.forwards(c):
		// The command of --via goes wherever a name leads, so that an agent that was
		// talked into it could name any machine. Where there is an API, it says what is
		// a node; while it does not answer, the operator's command is all there is.
		if has, err := d.Env.Resolver.HasNode(ctx, call.node); err == nil && !has {
			return nodeRoute{}, false, &Error{
				Code: string(resolve.KindNotFound), Stage: StageForward,
				Message: "the cluster has no node " + words.Quote(call.node),
				Hint:    "list_pods with all_nodes shows on which nodes pods run; leave node out where the pod is named",
			}
		}
		return nodeRoute{node: call.node, given: true}, true, nil
	}
	which := "its own node only"
	if here != "" {
		which = "node " + here + " only"
	}
	return nodeRoute{}, false, &Error{
		Code: string(resolve.KindOtherNode), Stage: StageForward,
		Message: fmt.Sprintf("node %s is out of reach: this server looks at %s", call.node, which),
		Hint:    "leave node out to look at this node, or let the operator start a server with --via, which reaches the others",
		Details: ErrorDetails{Node: call.node},
	}
}

// forwards: a call that was forwarded once stays where it is, so that servers
// that know of each other cannot send it round in circles.
func (d *Dispatcher) forwards(c Call) bool { return d.Forwarder != nil && !c.Forwarded }

// routeOfError tells from a resolver's error that the target lives on another node.
func routeOfError(err error) (nodeRoute, bool) {
	var resolving *resolve.Error
	if !errors.As(err, &resolving) || resolving.Kind != resolve.KindOtherNode || CheckNode(resolving.Node) != nil {
		return nodeRoute{}, false
	}
	to := nodeRoute{node: resolving.Node}
	if c := resolving.Candidates; len(c) == 1 {
		to.pod, to.namespace = c[0].Pod, c[0].Namespace
	}
	return to, true
}

// isNode reports whether this machine is known to be a node of the cluster.
func (d *Dispatcher) isNode(ctx context.Context) bool {
	name, err := d.Env.Resolver.FindNode(ctx)
	return err == nil && name != ""
}

// hostNeedsNode: to a caller who asks for a node's network, that of the machine from which
// the nodes are reached would be a wrong answer.
func hostNeedsNode() error {
	return &Error{
		Code: CodeInvalidArguments, Stage: StageArguments,
		Message: "netns host needs node: this server leads to the nodes of a cluster, and its own machine is none of them",
		Hint:    "add node: list_pods shows on which node a pod runs; a server without --via looks at its own machine",
	}
}

// thisMachineNote says whose network was looked at, where that may not be the one that
// was meant.
func thisMachineNote() Note {
	return Note{
		Code: "this_machine", Message: "this is about the server's own machine, which is not known to be a node of the cluster; add node to look at a node",
	}
}

// explainAtFront tells a caller who named a target of this machine that it has none,
// and one who named a pod that this server cannot tell on which node it is.
func (d *Dispatcher) explainAtFront(ctx context.Context, c Call, err error) error {
	var resolving *resolve.Error
	if !d.forwards(c) || !errors.As(err, &resolving) {
		return err
	}
	told := *resolving
	switch {
	case resolving.NoCluster:
		told.Hint = "If the target is on another node, give a kubeconfig (--kubeconfig), or name the node (node). " + told.Hint
	case resolving.Kind == resolve.KindUnsupported,
		(resolving.Kind == resolve.KindNotFound && len(resolving.NearMisses) == 0 || resolving.Kind == resolve.KindSource) && !d.isNode(ctx):
		told.Message = strings.ReplaceAll(told.Message, "on this node", "on this machine")
		told.Hint = "this machine only leads to the nodes: name a pod of the cluster (list_pods shows them), or add node to what is on a node"
	default:
		return err
	}
	return &told
}

// remainingTimeout is what the other server may take, in milliseconds: a little less
// than is left, so that what it has measured by then is back in time.
func remainingTimeout(ctx context.Context) int64 {
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
func (to nodeRoute) arguments(raw json.RawMessage, timeoutMS int64) (json.RawMessage, error) {
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
