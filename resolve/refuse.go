package resolve

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// impossible reports a workload that has no network here, as far as its source
// knows.
func (e *entry) impossible() *Error {
	w := e.workload
	if w.remote && w.Status != nil && (w.Status.ended() || w.Node == "") {
		return w.podWithoutNetwork()
	}
	if err := e.elsewhere(); err != nil {
		return err
	}
	if e.knownAlive() {
		return nil
	}
	if w.Pod == "" && w.UID == "" {
		return e.stoppedContainer(&w.Containers[0])
	}
	return w.podWithoutNetwork()
}

// elsewhere reports a pod that runs on a node that this machine is not. A pod
// of which something is here needs no such question.
func (e *entry) elsewhere() *Error {
	w := e.workload
	if !w.remote || w.Node == "" {
		return nil
	}
	kin, known := e.kinship(e.ctx, w.Node)
	switch {
	case !known || kin != Stranger:
		// What is here will be seen in a moment.
		return nil
	case e.Node() != "":
		return w.onOtherNode("this is " + e.Node())
	}
	return w.onOtherNode("this machine is not that node")
}

func (w *Workload) onOtherNode(why string) *Error {
	return &Error{
		Kind: KindOtherNode, Node: w.Node,
		Candidates: []Candidate{{Source: w.Source, Pod: w.Pod, Namespace: w.Namespace, Node: w.Node}},
		Message:    fmt.Sprintf("pod %s runs on node %s; %s", w.podName(), w.Node, why),
		Hint:       "Run nsenter-mcp on that node and ask there.",
	}
}

// podWithoutNetwork explains a pod of which nothing runs.
func (w *Workload) podWithoutNetwork() *Error {
	if err := w.over(); err != nil {
		return err
	}
	if w.Sandbox != nil && !w.finished() {
		return w.oldSandbox()
	}
	c := w.Worst()
	switch {
	case c == nil || c.State != StateExited && c.State != StateDead:
		return w.noSandbox()
	case w.inferred && c.ExitCode == nil:
		return w.noProcess(c)
	}
	return &Error{
		Kind: KindNotRunning, State: c.State, ExitCode: c.ExitCode,
		Message: fmt.Sprintf("pod %s has ended: %s", w.podName(), c.trouble()),
		Hint:    "A pod that has ended has no network; kubectl logs and kubectl describe pod tell why it ended.",
	}
}

// oldSandbox explains a pod that had a network, or nearly so.
func (w *Workload) oldSandbox() *Error {
	if w.unstarted() {
		if w.Status != nil {
			return w.notStarted()
		}
		// So containerd leaves it where a CNI plugin is missing, and a kubelet
		// that has removed the containers of a pod that is over.
		return &Error{
			Kind:    KindNoSandbox,
			Message: fmt.Sprintf("the sandbox of pod %s %s and holds no container, so the pod has no network", w.podName(), w.Sandbox.State.Words()),
			Hint:    "The pod's network could not be set up (CNI, IPAM), or the pod is over and the containers were removed. resolve_pod_pid asks the Kubernetes API, and kubectl describe pod tells too.",
		}
	}
	e := &Error{
		Kind: KindNotRunning, State: w.Sandbox.State,
		Message: fmt.Sprintf("the sandbox of pod %s %s, so the pod has no network now", w.podName(), w.Sandbox.State.Words()),
		Hint: "If the pod is to run on, the kubelet makes a new sandbox: call again. If the pod has ended for good, no sandbox comes: " +
			"resolve_pod_pid asks the Kubernetes API, and kubectl describe pod tells why the pod was stopped.",
	}
	for i := range w.Containers {
		if c := &w.Containers[i]; c.Kind == "" && c.State == StateExited && c.ExitCode != nil {
			e.ExitCode = c.ExitCode
			e.Message += "; " + c.trouble()
			break
		}
	}
	return e
}

// unstarted reports whether no container of the pod was ever made, as far as is
// known.
func (w *Workload) unstarted() bool {
	return !slices.ContainsFunc(w.Containers, func(c Container) bool { return c.ID != "" || c.State != StateWaiting })
}

// noProcess explains a pod of which only files are left to tell: whether it has
// ended or is between two runs they do not say.
func (w *Workload) noProcess(c *Container) *Error {
	return &Error{
		Kind: KindNotRunning, State: c.State,
		Message: fmt.Sprintf("no process of pod %s runs: %s", w.podName(), c.trouble()),
		Hint: "A pod that has ended has no network. If the pod crashes and the runtime keeps the network without a process (CRI-O), only the runtime knows the network: " +
			"give the runtime's socket, or call again while a container runs. kubectl describe pod tells more.",
	}
}

// finished reports whether all containers have ended well, as those of a Job
// do; no new sandbox is made for them.
func (w *Workload) finished() bool {
	return len(w.Containers) > 0 && !slices.ContainsFunc(w.Containers, func(c Container) bool {
		return c.State != StateExited || c.ExitCode == nil || *c.ExitCode != 0
	})
}

// noSandbox explains a pod that has no network yet, or no more.
func (w *Workload) noSandbox() *Error {
	if w.Status != nil {
		return w.notStarted()
	}
	return &Error{
		Kind:    KindNoSandbox,
		Message: w.describe() + " has no sandbox on this node yet, so it has no network",
		Hint:    "The pod is not scheduled, or the pod's network could not be set up (CNI, IPAM): kubectl describe pod tells which.",
	}
}

// knownAlive reports whether something of the workload has a network, or may
// have one because nothing is known of its state.
func (e *entry) knownAlive() bool {
	w := e.workload
	// The API tells of containers; the sandbox outlives them, and is looked for.
	if w.remote && w.Status != nil {
		return !w.Status.ended()
	}
	unknown := w.Sandbox == nil || w.Sandbox.State == ""
	for i := range w.Containers {
		unknown = unknown && w.Containers[i].State == ""
	}
	return unknown || w.alive()
}

func (e *entry) stoppedContainer(c *Container) *Error {
	err := &Error{Kind: KindNotRunning, State: c.State, ExitCode: c.ExitCode}
	what := fmt.Sprintf("container %s %s", quote(c.label()), c.State.Words())
	switch c.State {
	case StateRestarting:
		err.Hint = "The container crashes and is started again, and has a network only while running: call again, or read the log (docker logs " + c.label() + ")."
	case StateCreated:
		err.Hint = "Start the container (docker start " + c.label() + "), then call again."
	case StateRemoving, StateDead:
		err.Hint = "The runtime is removing the container; nothing is left to enter."
	default:
		err.Hint = "Start the container (docker start " + c.label() + "), then call again; docker logs " + c.label() + " tells why the container ended."
	}
	if c.ExitCode != nil && c.State != StateCreated {
		what += fmt.Sprintf(", last exit code %d", *c.ExitCode)
		if c.Reason != "" {
			what += " (" + c.Reason + ")"
		}
	}
	err.Said = c.Message
	err.Message = what + "; a container that does not run has no network"
	return err
}

// explain sums up why nothing could be opened: the cause that can be cured
// first, else that the workload is gone.
func (e *entry) explain() *Error {
	what := e.workload.describe()
	if e.ctx.Err() != nil {
		return ended(e.ctx, nil)
	}
	away := e.workload.remote && e.workload.Node != "" && e.Node() != e.workload.Node
	for _, err := range e.failures {
		switch enterError(what, err).Kind {
		case KindUnsupported:
			if away {
				continue // a laptop cannot enter it, but its node can
			}
			return enterError(what, err)
		case KindPermission, KindKernelTooOld, KindBusy:
			return enterError(what, err)
		}
	}
	var said []string
	for _, err := range e.failures {
		said = append(said, err.Error())
	}
	err := &Error{
		Kind:    KindGone,
		Message: fmt.Sprintf("%s: none of its processes could be entered", what),
		Hint:    "The container was probably just stopped or restarted, or is just being started: call again. If that does not help, see details.steps.",
	}
	switch w := e.workload; {
	case away:
		err = w.onOtherNode("no process of the pod is here, and the name of this node is not known")
	case w.Sandbox == nil && (!w.alive() || w.remote && w.Status != nil):
		err = w.noSandbox()
	case w.netnsClosed():
		err = &Error{
			Kind: KindNotRunning, State: w.Sandbox.State,
			Message: fmt.Sprintf("the runtime has closed the network of %s, and no process is left in it", what),
			Hint:    "Wait until the kubelet has made a new sandbox, and call again; if no new sandbox comes, delete the pod.",
		}
	}
	err.Err = errors.Join(e.failures...)
	if len(said) > 0 {
		const shown = 3 // details.steps has all
		err.Message += " (" + strings.Join(said[:min(len(said), shown)], "; ") + ")"
	}
	return err
}

// describe names the workload in messages.
func (w *Workload) describe() string {
	switch {
	case w.Pod != "" || w.UID != "":
		return "pod " + w.podName()
	case len(w.Containers) > 0:
		return "container " + w.Containers[0].label()
	}
	return "the target"
}

// checkHost marks a target whose network is the host's, and refuses it where
// the operator keeps that closed.
func (r *Resolver) checkHost(t *Target) *Error {
	t.HostNetwork = t.Net.Identity().Same(r.cfg.Host.Identity())
	if !t.HostNetwork || r.cfg.AllowHostNetwork {
		return nil
	}
	what := "this target"
	if t.Workload.Source != "" {
		what = t.Workload.describe()
	}
	return &Error{
		Kind:    KindHostNetworkDenied,
		Message: what + " uses the network of the host itself, which the operator of this server keeps closed",
		Hint:    "Choose a target with a network of its own, or ask the operator to allow the host network.",
	}
}
