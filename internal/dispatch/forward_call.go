package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

// forward has another node's server carry out the call. What this server's
// policy forbids does not come so far, or goes along as a [Narrowing] where only
// the other server can tell; that one has a policy of its own.
func (d *Dispatcher) forward(ctx context.Context, c Call, tool *Tool, call *invocation, to nodeRoute) *Envelope {
	policy := d.Policy.narrowedBy(c.Narrowing)
	if d.Authorize != nil {
		if err := d.Authorize(ctx, c.Caller, tool.Spec, &resolve.Target{Query: call.query, Node: to.node}); err != nil {
			return failed(nil, err, StagePolicy)
		}
	}
	if policy.NoHostNetwork && call.query.Netns == "host" {
		return failed(nil, hostNetworkDenied(to.node), StagePolicy)
	}
	if call.permitted != nil {
		if err := call.permitted(policy); err != nil {
			return failed(nil, err, StagePolicy)
		}
	}
	var remaining int64
	answer, err := d.Forwarder.Forward(ctx, Forwarded{
		Node: to.node, Tool: tool.Name, Narrowing: policy.narrowing(), Progress: sanitizedProgress(c.Progress),
		Arguments: func() (json.RawMessage, error) {
			remaining = remainingTimeout(ctx)
			return to.arguments(c.Arguments, remaining)
		},
	})
	if err == nil {
		answer, err = sanitize(answer)
	}
	if err != nil {
		failure := failed(nil, err, StageForward)
		failure.Error.Details.Node = to.node
		return failure
	}
	for _, n := range answer.Next {
		call.restoreTimeout(n.Arguments, remaining)
	}
	return d.adopt(tool, policy, to, answer)
}

// restoreTimeout puts the caller's own timeout_ms, or none, where a next step repeats
// the one that the other server got, which is what was left of the time.
func (call *invocation) restoreTimeout(arguments map[string]any, there int64) {
	const name = "timeout_ms"
	switch {
	case fmt.Sprint(arguments[name]) != strconv.FormatInt(there, 10):
	case call.timeoutMS == 0:
		delete(arguments, name)
	default:
		arguments[name] = call.timeoutMS
	}
}

// hostNetworkDenied: what is closed here is closed on other nodes too. node is ""
// where its name is not known.
func hostNetworkDenied(node string) error {
	what := "its node"
	if node != "" {
		what = "node " + node
	}
	return &Error{
		Code: string(resolve.KindHostNetworkDenied), Stage: StagePolicy,
		Message: "the target uses the network of " + what + " itself, which the operator of the server keeps closed",
		Hint:    "choose a target with a network of its own, or ask the operator to allow the host network",
		Details: ErrorDetails{Node: node},
	}
}

// adopt makes another server's answer one of this server: within the same
// bounds, and with next steps that can be sent to this server as they are.
func (d *Dispatcher) adopt(tool *Tool, policy Policy, to nodeRoute, answer *Envelope) *Envelope {
	if answer.Target != nil && answer.Target.HostNetwork && policy.NoHostNetwork {
		return failed(nil, hostNetworkDenied(to.node), StagePolicy)
	}
	if data, ok := answer.Data.(json.RawMessage); ok && len(data) > tool.MaxBytes {
		return failed(answer.Target, tooLarge(len(data), tool.MaxBytes), StageForward)
	}
	if answer.Target != nil {
		if said := answer.Target.Node; said != "" && said != to.node {
			answer.Notes = append(answer.Notes, Note{
				Code:    "node_name_differs",
				Message: fmt.Sprintf("the server reached as node %s says that its node is %s", to.node, words.Printable(said)),
			})
		}
		answer.Target.Node = to.node
	}
	if answer.Error != nil {
		answer.Error.Details.Node = to.node
		if answer.Error.Stage == "" {
			answer.Error.Stage = StageForward
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
