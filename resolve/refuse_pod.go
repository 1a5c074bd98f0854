package resolve

import (
	"cmp"
	"fmt"
)

// Words of the API for why a pod is as it is.
const (
	reasonEvicted       = "Evicted"
	reasonUnschedulable = "Unschedulable"
	reasonGated         = "SchedulingGated"
	reasonSandbox       = "FailedCreatePodSandBox"
	reasonMount         = "FailedMount"
	reasonAttach        = "FailedAttachVolume"

	// Since Kubernetes 1.28: the sandbox is there and has a network.
	conditionSandbox = "PodReadyToStartContainers"
)

// over explains a pod that the API says has ended; nil where it has not, or where
// nobody asked the API.
func (w *Workload) over() *Error {
	if w.Status == nil || !w.Status.ended() {
		return nil
	}
	s := w.Status
	e := &Error{
		Kind: KindNotRunning, Said: s.Message,
		Hint: "A pod that has ended has no network; kubectl logs and kubectl describe pod tell why it ended.",
	}
	where := ""
	if w.Node != "" {
		where = " on node " + w.Node
	}
	switch {
	case s.Reason == reasonEvicted:
		e.Message = fmt.Sprintf("pod %s was evicted%s, so nothing of it runs", w.podName(), where)
		e.Hint = "The node was short of a resource, see details.untrusted. If the pod has an owner, the owner has made another pod: name that pod."
	case s.Phase == phaseSucceeded:
		e.Message = fmt.Sprintf("pod %s has ended well%s (%s)", w.podName(), where, reasonCompleted)
	default:
		e.Message = fmt.Sprintf("pod %s has failed%s", w.podName(), where)
		if s.Reason != "" {
			e.Message += " (" + s.Reason + ")"
		}
	}
	for i := range w.Containers {
		c := &w.Containers[i]
		if c.Kind != "" || c.State != StateExited || s.Phase == phaseSucceeded {
			continue
		}
		e.State, e.ExitCode = c.State, c.ExitCode
		e.Message += ": " + c.trouble()
		break
	}
	return w.mention(e)
}

// notStarted explains a pod that has no sandbox, in the words of the API.
func (w *Workload) notStarted() *Error {
	s := w.Status
	e := &Error{Kind: KindNoSandbox, Said: s.Message, Node: w.Node}
	name := w.podName()
	_, noSandbox := s.condition(conditionSandbox)
	switch {
	case !s.Deleted.IsZero():
		e.Kind = KindNotRunning
		e.Message = fmt.Sprintf("pod %s is being deleted and has no network any more", name)
		e.Hint = "Name the pod that replaces this one."
	case w.Node == "" && s.Reason == reasonGated:
		e.Message = fmt.Sprintf("pod %s has no node yet: it carries scheduling gates", name)
		e.Hint = "Whatever set the gates (spec.schedulingGates) has to lift them."
	case w.Node == "":
		e.Message = fmt.Sprintf("pod %s has no node yet (%s), so it has no network", name, cmp.Or(s.Reason, phasePending))
		e.Hint = "The scheduler says why in details.untrusted: resources, taints, affinity or volumes."
		if s.Reason != reasonUnschedulable {
			e.Hint = "The scheduler has not judged the pod yet: call again, or see whether the scheduler runs."
		}
	case s.Reason == reasonSandbox:
		e.Message = fmt.Sprintf("pod %s has no network: node %s could not make its sandbox (%s)", name, w.Node, s.Reason)
		e.Hint = "The CNI plugin, its IPAM or the runtime failed; details.untrusted has what the kubelet says. See whether the CNI's own pod runs on that node."
	case s.Reason == reasonMount || s.Reason == reasonAttach:
		e.Message = fmt.Sprintf("pod %s has no network yet: node %s waits for its volumes (%s)", name, w.Node, s.Reason)
		e.Hint = "The sandbox is made after the volumes, ConfigMaps and Secrets are there; details.untrusted says which is missing."
	case noSandbox || s.Phase == phasePending:
		e.Message = fmt.Sprintf("pod %s is being started on node %s and has no network yet", name, w.Node)
		if s.Reason != "" {
			e.Message += " (" + s.Reason + ")"
		}
		e.Hint = "Call again in a moment; kubectl describe pod tells what the kubelet waits for."
	default:
		e.Message = fmt.Sprintf("pod %s should run on node %s, but no process of it is here", name, w.Node)
		e.Hint = "The pod has just been stopped, or the server does not see the node's processes (hostPID, --host-root): nsenter-mcp doctor says."
	}
	return w.mention(e)
}

// mention adds which resource to look at, where the pod has an owner.
func (w *Workload) mention(e *Error) *Error {
	if owners := w.Status.Owner; len(owners) > 0 {
		o := owners[len(owners)-1]
		e.Message += fmt.Sprintf("; it belongs to %s %s", o.Kind, o.Name)
	}
	return e
}
