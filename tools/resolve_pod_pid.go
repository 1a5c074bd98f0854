package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/gather"
)

// ResolvePodPIDIn are the arguments of resolve_pod_pid.
type ResolvePodPIDIn struct {
	dispatch.TargetArgs
	IP      string `json:"ip,omitempty" jsonschema:"of a pod, node or service"`
	Limit   int    `json:"limit,omitempty" jsonschema:"rows without a target; default 30" min:"1" max:"200"`
	Details bool   `json:"details,omitempty" jsonschema:"full IDs, paths, older sandboxes"`
}

// Query adds the address to what every tool takes.
func (in *ResolvePodPIDIn) Query() resolve.Query {
	q := in.TargetArgs.Query()
	q.IP = in.IP
	return q
}

// ResolvePodPIDOut is the answer of resolve_pod_pid: one target, or with Here
// what can be named.
type ResolvePodPIDOut struct {
	// PID is the process whose network is entered. It is absent where a runtime
	// keeps the network without a process.
	PID      int    `json:"pid,omitempty"`
	PIDStart string `json:"pid_start,omitempty" jsonschema:"when that process started, RFC 3339"`
	Pod      string `json:"pod,omitempty" jsonschema:"namespace/name"`
	UID      string `json:"uid,omitempty"`
	// Status is absent where no Kubernetes API was asked, or does not know the pod.
	Status *podStatusOut `json:"status,omitempty" jsonschema:"what the Kubernetes API says of the pod"`
	// Sandbox owns the network of a pod, or of a container that joined another's.
	Sandbox    *sandboxOut                       `json:"sandbox,omitempty"`
	Containers []containerOut                    `json:"containers"`
	Namespaces map[string]gather.KernelNamespace `json:"namespaces,omitempty" jsonschema:"the process's Linux namespaces by kind"`
	FilesFrom  string                            `json:"files_from,omitempty" jsonschema:"whose files are read for resolv.conf and the like"`
	NetnsPath  string                            `json:"netns_path,omitempty"`
	Shell      string                            `json:"shell,omitempty" jsonschema:"the same by hand, for a person on the node"`
	Steps      []resolve.Step                    `json:"steps,omitempty" jsonschema:"how it was found"`
	Here       *inventoryOut                     `json:"here,omitempty" jsonschema:"what is on this node; only when no target was named"`
}

// podStatusOut is the pod as a whole, in the words of the API.
type podStatusOut struct {
	Phase  string `json:"phase,omitempty"`
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
	// Owner is the chain of controllers, the nearest first.
	Owner    []resolve.Owner `json:"owner,omitempty"`
	Services []string        `json:"services,omitempty" jsonschema:"services that select the pod"`
	PodIPs   []string        `json:"pod_ips,omitempty"`
	// Conditions are those that are not as they should be.
	Conditions     []resolve.Condition     `json:"conditions,omitempty" jsonschema:"those that are not met"`
	DeletedAt      string                  `json:"deleted_at,omitempty" jsonschema:"when it is to be gone, if it is being deleted"`
	Static         bool                    `json:"static,omitempty" jsonschema:"from a file of the node"`
	ShareProcesses bool                    `json:"share_processes,omitempty"`
	Untrusted      *dispatch.UntrustedText `json:"untrusted,omitempty"`
}

type sandboxOut struct {
	ID        string        `json:"id"`
	PID       int           `json:"pid,omitempty"`
	State     resolve.State `json:"state,omitempty"`
	Attempt   int           `json:"attempt"`
	Name      string        `json:"name,omitempty"`
	NetnsPath string        `json:"netns_path,omitempty"`
	Runtime   string        `json:"runtime,omitempty"`
	// Attempts are older sandboxes of the same pod; details only.
	Attempts []resolve.Sandbox `json:"attempts,omitempty"`
}

type containerOut struct {
	ID         string                  `json:"id"`
	Name       string                  `json:"name"`
	Image      string                  `json:"image,omitempty"`
	Kind       resolve.ContainerKind   `json:"kind,omitempty" jsonschema:"init, sidecar or ephemeral"`
	State      resolve.State           `json:"state,omitempty"`
	Waiting    string                  `json:"waiting,omitempty" jsonschema:"why the kubelet does not start it now"`
	Ready      *bool                   `json:"ready,omitempty"`
	Reason     string                  `json:"reason,omitempty"`
	ExitCode   *int                    `json:"exit_code,omitempty" jsonschema:"of the last run that ended"`
	Restarts   int                     `json:"restarts"`
	PID        int                     `json:"pid,omitempty"`
	StartedAt  string                  `json:"started_at,omitempty"`
	FinishedAt string                  `json:"finished_at,omitempty"`
	Untrusted  *dispatch.UntrustedText `json:"untrusted,omitempty"`
}

const resolvePodPID dispatch.Name[ResolvePodPIDIn] = "resolve_pod_pid"

func resolvePodPIDTool() dispatch.Tool {
	return dispatch.Define(resolvePodPID, dispatch.Spec{
		Title: "Find the process and network of a pod or container",
		Description: "Which process and network namespace stand for a pod, container, PID, netns or IP; in which state; how it was found. " +
			"Works in CrashLoopBackOff: the pause process keeps the network. Without arguments: what can be named on this node, networks too.",
		Purpose:        "who is it, in which state, whose network is entered; without arguments, what is here",
		Toolset:        dispatch.Inspect,
		Capabilities:   []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"},
		TargetOptional: true,
		Describe:       true,
	}, handleResolvePodPID)
}

func handleResolvePodPID(ctx context.Context, env *dispatch.Env, t *resolve.Target, in ResolvePodPIDIn) (dispatch.Answer[ResolvePodPIDOut], error) {
	if t == nil {
		return discover(ctx, env, in)
	}
	w := &t.Workload
	out := ResolvePodPIDOut{
		PID:        t.PID(),
		UID:        w.UID,
		Status:     podStatusOf(w),
		Sandbox:    sandboxOf(w, in.Details),
		Containers: containersOf(w, in.Details),
		FilesFrom:  t.FilesFrom,
		NetnsPath:  t.NetnsPath,
		Shell:      shellLine(t),
		Steps:      t.Steps,
	}
	if w.Pod != "" {
		out.Pod = podName(w)
	}
	if t.Process != nil {
		out.PIDStart = t.Process.Started().UTC().Format(time.RFC3339)
		namespaces, err := gather.Namespaces(thisNode(env, nil), t.Process)
		if err != nil {
			return dispatch.Answer[ResolvePodPIDOut]{}, err
		}
		out.Namespaces = namespaces
	}
	return dispatch.Answer[ResolvePodPIDOut]{
		Summary: describeTarget(t),
		Data:    out,
		Next: []dispatch.Next{dispatch.Propose(netnsIPAddr, NetnsIPAddrIn{TargetArgs: dispatch.ArgumentsOf(t)},
			"see its interfaces and addresses from the inside")},
	}, nil
}

// inventoryOut is what can be named on this node, for a caller that named
// nothing.
type inventoryOut struct {
	Workloads []workloadOut         `json:"workloads" jsonschema:"pods and containers, trouble first"`
	Total     int                   `json:"total"`
	Returned  int                   `json:"returned"`
	Netns     []resolve.NamedNetns  `json:"netns" jsonschema:"named network namespaces"`
	Sources   []resolve.SourceState `json:"sources" jsonschema:"who was asked"`
}

// discover answers a caller that named no target.
func discover(ctx context.Context, env *dispatch.Env, in ResolvePodPIDIn) (dispatch.Answer[ResolvePodPIDOut], error) {
	found, err := env.Resolver.Discover(ctx)
	if err != nil {
		return dispatch.Answer[ResolvePodPIDOut]{}, err
	}
	limit := cmp.Or(in.Limit, defaultRows)
	here := &inventoryOut{
		Workloads: []workloadOut{}, Total: found.Total,
		Netns: found.Netns[:min(limit, len(found.Netns))], Sources: found.Sources,
	}
	for _, w := range found.Workloads[:min(limit, len(found.Workloads))] {
		here.Workloads = append(here.Workloads, workloadRow(&w))
	}
	here.Returned = len(here.Workloads)
	answer := dispatch.Answer[ResolvePodPIDOut]{
		Summary: summarizeInventory(&found),
		Data:    ResolvePodPIDOut{Containers: []containerOut{}, Here: here},
	}
	answer.Notes = silentNotes(found.Sources)
	if found.NoRuntime {
		answer.Notes = append(answer.Notes, noRuntimeNote(env.Forwards))
	}
	if here.Returned < here.Total {
		answer.Notes = append(answer.Notes, dispatch.Note{
			Code:    "more_rows",
			Message: fmt.Sprintf("%d of %d are shown; a larger limit shows more", here.Returned, here.Total),
		})
	}
	if len(found.Workloads) > 0 {
		in := ResolvePodPIDIn{TargetArgs: nameOf(&found.Workloads[0])}
		answer.Next = []dispatch.Next{dispatch.Propose(resolvePodPID, in, "look at the first of them")}
	} else if len(found.Netns) > 0 {
		in := NetnsIPAddrIn{TargetArgs: dispatch.TargetArgs{Netns: found.Netns[0].Name}}
		answer.Next = []dispatch.Next{dispatch.Propose(netnsIPAddr, in, "look into the first of them")}
	} else {
		answer.Next = nextWithoutNames(env)
	}
	return answer, nil
}

// nextWithoutNames is for where nothing can be named but processes: the cluster may know
// pods, and the network of the node itself is always there.
func nextWithoutNames(env *dispatch.Env) []dispatch.Next {
	next := []dispatch.Next{dispatch.Propose(listPods, ListPodsIn{AllNodes: true}, "see the pods of the cluster, where a Kubernetes API is configured")}
	if !env.Forwards {
		next = append(next, dispatch.Propose(netnsIPAddr, NetnsIPAddrIn{TargetArgs: dispatch.TargetArgs{Netns: "host"}},
			"look into the network of the node itself"))
	}
	return next
}

func summarizeInventory(found *resolve.Inventory) string {
	text := fmt.Sprintf("%s, %s on this node", tally(found.Total, found.NoNames), words.Plural(found.NetnsTotal, "named network namespace"))
	if found.Total == 0 && len(found.Netns) == 0 {
		text = "nothing can be named here but pids: no container runtime answered with a container, and no network namespace has a name"
	}
	if found.Troubled > 0 {
		text += fmt.Sprintf("; %d in trouble", found.Troubled)
	}
	if failed := silentNames(found.Sources); len(failed) > 0 {
		text += "; " + strings.Join(failed, " and ") + " could not be asked, so pods and containers may be missing"
	}
	return text + "."
}

// containerLabel is the container's name, or where only its cgroup is known the
// start of its ID.
func containerLabel(c *resolve.Container) string {
	return words.Printable(cmp.Or(c.Name, dispatch.ShortID(c.ID, false)))
}

func sandboxOf(w *resolve.Workload, details bool) *sandboxOut {
	s := w.Sandbox
	if s == nil {
		return nil
	}
	out := &sandboxOut{ID: dispatch.ShortID(s.ID, details), PID: s.PID, State: s.State, Attempt: s.Attempt, Runtime: s.Runtime}
	if details {
		out.Name, out.NetnsPath, out.Attempts = s.Name, s.NetnsPath, w.Attempts
	}
	return out
}

func podStatusOf(w *resolve.Workload) *podStatusOut {
	s := w.Status
	if s == nil {
		return nil
	}
	out := &podStatusOut{
		Phase: s.Phase, Ready: s.Ready, Reason: s.Reason, Owner: s.Owner, Services: s.Services, PodIPs: s.PodIPs,
		Conditions: s.Conditions, DeletedAt: timestamp(s.Deleted), Static: s.Static, ShareProcesses: s.ShareProcesses,
	}
	if s.Message != "" {
		out.Untrusted = &dispatch.UntrustedText{Message: words.Escape(s.Message)}
	}
	return out
}

func containersOf(w *resolve.Workload, details bool) []containerOut {
	out := make([]containerOut, 0, len(w.Containers))
	for _, c := range w.Containers {
		row := containerOut{
			ID: dispatch.ShortID(c.ID, details), Name: words.Printable(c.Name), Image: c.Image, Kind: c.Kind, State: c.State,
			Waiting: c.Waiting, Ready: c.Ready, Reason: c.Reason,
			ExitCode: c.ExitCode, Restarts: c.Restarts, PID: c.PID,
			StartedAt: timestamp(c.StartedAt), FinishedAt: timestamp(c.FinishedAt),
		}
		if c.Message != "" {
			row.Untrusted = &dispatch.UntrustedText{Message: words.Escape(c.Message)}
		}
		out = append(out, row)
	}
	return out
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// shellLine is what an engineer would type on the node.
func shellLine(t *resolve.Target) string {
	if pid := t.PID(); pid != 0 {
		return "nsenter -t " + strconv.Itoa(pid) + " -n"
	}
	if t.NetnsPath != "" {
		return "nsenter --net=" + words.Printable(t.NetnsPath)
	}
	return ""
}

// describeTarget is the summary for one target.
func describeTarget(t *resolve.Target) string {
	var b strings.Builder
	switch w := &t.Workload; {
	case w.Pod != "":
		fmt.Fprintf(&b, "pod %s", words.Printable(podName(w)))
		if t.Container != "" {
			fmt.Fprintf(&b, ", container %s", words.Printable(t.Container))
		}
		b.WriteString(": " + describeContainers(w.Containers))
	case w.UID != "":
		fmt.Fprintf(&b, "pod %s: %s", words.Printable(w.UID), describeContainers(w.Containers))
	case len(w.Containers) > 0:
		b.WriteString(describeContainers(w.Containers))
	case t.Query.PID != nil:
		fmt.Fprintf(&b, "pid %d belongs to no container that is known here", *t.Query.PID)
	default:
		b.WriteString("network namespace " + t.Net.Identity().String())
	}
	fmt.Fprintf(&b, "; entered by %s", describeEntry(t))
	if t.HostNetwork {
		b.WriteString("; it uses the node's own network")
	}
	b.WriteByte('.')
	return b.String()
}

func describeEntry(t *resolve.Target) string {
	process := ""
	if pid := t.PID(); pid != 0 {
		process = fmt.Sprintf(", pid %d", pid)
	}
	switch t.Via {
	case resolve.ViaSandbox:
		if crashing(t.Workload.Containers) {
			return "its sandbox (pause)" + process + ", which keeps the network while containers come and go"
		}
		return "its sandbox (pause)" + process
	case resolve.ViaContainer:
		return "the container's process" + process
	case resolve.ViaPID:
		return fmt.Sprintf("pid %d", t.PID())
	}
	switch {
	case t.NetnsPath != "":
		return words.Printable(t.NetnsPath)
	case t.PID() != 0:
		return fmt.Sprintf("pid %d, which is in it", t.PID())
	}
	return t.Net.Identity().String()
}

// crashing reports whether some container is down, and may come back.
func crashing(containers []resolve.Container) bool {
	return slices.ContainsFunc(containers, func(c resolve.Container) bool { return !c.State.Alive() && !c.Done() })
}

// describeContainers names the containers that are in trouble, with the reason, or
// says that all run. Those that have ended as they should are no trouble.
func describeContainers(containers []resolve.Container) string {
	const named = 3
	var down []string
	done := 0
	for i := range containers {
		switch c := &containers[i]; {
		case c.Done():
			done++
		case !c.State.Alive() || c.Why() != "":
			down = append(down, describeContainer(c))
		}
	}
	running := len(containers) - done
	switch {
	case len(containers) == 0:
		return "no container known"
	case len(down) > named:
		return strings.Join(down[:named], ", ") + fmt.Sprintf(" and %d more are in trouble", len(down)-named)
	case len(down) > 0:
		return strings.Join(down, ", ")
	case len(containers) == 1:
		return describeContainer(&containers[0])
	case running == 0:
		return fmt.Sprintf("all %d containers have ended as they should", done)
	case done == 0:
		return fmt.Sprintf("all %d containers run", running)
	}
	return fmt.Sprintf("%s running, %d ended as it should", words.Plural(running, "container"), done)
}

func describeContainer(c *resolve.Container) string {
	var why []string
	if reason := c.Why(); reason != "" {
		why = append(why, words.Printable(reason))
	}
	if c.ExitCode != nil && !c.Done() && (!c.State.Alive() || len(why) > 0) {
		why = append(why, fmt.Sprintf("exit code %d", *c.ExitCode))
	}
	if c.Restarts > 0 && !c.Done() {
		why = append(why, words.Plural(c.Restarts, "restart"))
	}
	text := fmt.Sprintf("container %s %s", containerLabel(c), c.State.Words())
	if len(why) > 0 {
		text += " (" + strings.Join(why, ", ") + ")"
	}
	return text
}
