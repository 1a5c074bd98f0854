package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
)

// ListPodsIn are the arguments of list_pods. It takes no target.
type ListPodsIn struct {
	Namespace string `json:"namespace,omitempty" jsonschema:"only this one"`
	Name      string `json:"name,omitempty" jsonschema:"part of the name"`
	Node      string `json:"node,omitempty" jsonschema:"implies all_nodes"`
	Problems  bool   `json:"problems,omitempty" jsonschema:"only what needs attention"`
	AllNodes  bool   `json:"all_nodes,omitempty" jsonschema:"by the Kubernetes API"`
	Limit     int    `json:"limit,omitempty" jsonschema:"default 30" min:"1" max:"200"`
	Offset    int    `json:"offset,omitempty" jsonschema:"rows to skip" min:"0" max:"1000000"`
	TimeoutMS int    `json:"timeout_ms,omitempty" jsonschema:"for the whole call" min:"1" max:"50000"`
}

// Common returns the node and the time limit; list_pods has no target.
func (in *ListPodsIn) Common() *dispatch.TargetArgs {
	return &dispatch.TargetArgs{TimeoutMS: in.TimeoutMS}
}

// Query is empty: list_pods has no target.
func (in *ListPodsIn) Query() resolve.Query { return resolve.Query{} }

// ListPodsOut is the answer of list_pods.
type ListPodsOut struct {
	Pods     []podRow              `json:"pods" jsonschema:"trouble first"`
	Total    int                   `json:"total" jsonschema:"that fit the filters"`
	Returned int                   `json:"returned"`
	Troubled int                   `json:"troubled" jsonschema:"of total"`
	Node     string                `json:"node,omitempty" jsonschema:"this node"`
	Sources  []resolve.SourceState `json:"sources" jsonschema:"who was asked"`
}

// podRow is one line of kubectl get pods -o wide, or of docker ps.
type podRow struct {
	workloadOut
	Running string `json:"running" jsonschema:"containers that run, of those that should"`
	// Ready is absent where no Kubernetes API was asked.
	Ready string   `json:"ready,omitempty" jsonschema:"containers that are ready, of those that should"`
	Age   string   `json:"age,omitempty"`
	IP    []string `json:"ip,omitempty"`
	Node  string   `json:"node,omitempty"`
	Here  bool     `json:"here" jsonschema:"on this node, so it can be entered"`
}

const listPods dispatch.Name[ListPodsIn] = "list_pods"

func listPodsTool() dispatch.Tool {
	return dispatch.Define(listPods, dispatch.Spec{
		Title: "List pods and containers, trouble first",
		Description: "Pods and containers, trouble first: state, restarts, age, IP, node. Of this node, or with all_nodes of the cluster. " +
			"Replaces kubectl get pods -A -o wide | grep and docker ps | grep; resolve_pod_pid tells all of one pod.",
		Purpose:        "which pods are there, which are in trouble",
		Toolset:        dispatch.Inspect,
		Capabilities:   []string{"CAP_SYS_ADMIN", "CAP_SYS_PTRACE"},
		TargetOptional: true,
	}, handleListPods)
}

func handleListPods(ctx context.Context, env *dispatch.Env, _ *resolve.Target, in ListPodsIn) (dispatch.Answer[ListPodsOut], error) {
	// Where any pod can be named, those of one node would be a part without a word.
	in.AllNodes = in.AllNodes || env.Forwards && in.Node == ""
	list, err := env.Resolver.Pods(ctx, in.AllNodes || in.Node != "" && in.Node != env.Resolver.Node())
	if err != nil {
		return dispatch.Answer[ListPodsOut]{}, err
	}
	if in.Node != "" && in.Node != list.Node && !list.Everywhere {
		return dispatch.Answer[ListPodsOut]{}, nodeUnknown(in.Node, &list)
	}
	fit := slices.DeleteFunc(list.Pods, func(p resolve.Listed) bool { return !in.fits(&p, list.Node) })
	out := ListPodsOut{Total: len(fit), Node: words.Printable(list.Node), Sources: list.Sources}
	for i := range fit {
		if fit[i].Troubled() {
			out.Troubled++
		}
	}
	shown := fit[min(in.Offset, len(fit)):]
	shown = shown[:min(len(shown), cmp.Or(in.Limit, defaultRows))]
	out.Returned = len(shown)
	out.Pods = make([]podRow, len(shown))
	for i, n := range env.Resolver.Networks(ctx, shown) {
		out.Pods[i] = listedRow(&shown[i], n, list.Node)
	}
	return dispatch.Answer[ListPodsOut]{
		Summary: summarizePods(&list, fit, out.Troubled, in.filtered()),
		Data:    out,
		Notes:   in.notes(&list, &out, env.Forwards),
		Next:    nextOfList(shown, env.Forwards),
	}, nil
}

// nodeUnknown: only an API knows the pods of other nodes. That none fit would say
// that there are none.
func nodeUnknown(node string, list *resolve.PodList) error {
	here, hint := "this is node "+words.Printable(list.Node), "leave node out to list the pods of this node"
	if list.Node == "" {
		here, hint = "nothing says how this node is called", hint+", or name it (--node-name)"
	}
	why, first := "the Kubernetes API did not answer", "call again, or "
	if list.NoCluster {
		why, first = "no Kubernetes API is configured", "give a kubeconfig (--kubeconfig or KUBECONFIG), or "
	}
	return &dispatch.Error{
		Code: string(resolve.KindSource), Stage: dispatch.StageResolve,
		Message: fmt.Sprintf("the pods of node %s are not known: %s, and %s", words.Quote(node), here, why),
		Hint:    first + hint,
	}
}

// fits holds one against the filters. here is this node's name, for what is
// known to run here.
func (in *ListPodsIn) fits(p *resolve.Listed, here string) bool {
	name := p.Pod
	if p.Pod == "" && p.UID == "" && len(p.Containers) > 0 {
		name = p.Containers[0].Name
	}
	node := p.Node
	if node == "" && p.Here {
		node = here
	}
	return (in.Namespace == "" || p.Namespace == in.Namespace) &&
		strings.Contains(name, in.Name) &&
		(in.Node == "" || node == in.Node) &&
		(!in.Problems || p.Troubled())
}

func (in *ListPodsIn) filtered() bool {
	return in.Namespace != "" || in.Name != "" || in.Node != "" || in.Problems
}

func listedRow(p *resolve.Listed, n resolve.Network, here string) podRow {
	row := podRow{workloadOut: workloadRow(&p.Workload), Node: words.Printable(p.Node), Here: p.Here}
	if row.Node == "" && p.Here {
		row.Node = words.Printable(here)
	}
	if n.Host != nil {
		row.HostNetwork = *n.Host
	}
	for _, a := range n.Addresses {
		row.IP = append(row.IP, a.String())
	}
	if s := p.Status; s != nil && len(row.IP) == 0 && !row.HostNetwork {
		row.IP = s.PodIPs
	}
	up, of, ready, told := 0, 0, 0, false
	for i := range p.Containers {
		c := &p.Containers[i]
		if c.Ready != nil {
			told = true
			if *c.Ready && c.State.Alive() {
				ready++
			}
		}
		switch {
		case c.State.Alive():
			up++
			of++
		case c.ExitCode == nil || *c.ExitCode != 0: // an init container is to end
			of++
		}
	}
	row.Running = fmt.Sprintf("%d/%d", up, of)
	if told {
		row.Ready = fmt.Sprintf("%d/%d", ready, of)
	}
	started := n.Started
	if p.Sandbox != nil && !p.Sandbox.Created.IsZero() {
		started = p.Sandbox.Created
	}
	if s := p.Status; s != nil && started.IsZero() {
		started = s.Created
	}
	if !started.IsZero() {
		row.Age = age(time.Since(started))
	}
	return row
}

// age is how kubectl writes a duration: the two larger units at most.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	minutes, hours, days := int(d.Minutes()), int(d.Hours()), int(d/day)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", max(int(d.Seconds()), 0))
	case d < 3*time.Hour:
		return fmt.Sprintf("%dm", minutes)
	case d < 2*day:
		return fmt.Sprintf("%dh", hours)
	case d < 8*day && hours%24 > 0:
		return fmt.Sprintf("%dd%dh", days, hours%24)
	}
	return fmt.Sprintf("%dd", days)
}

// summarizePods names the first of those in trouble.
func summarizePods(list *resolve.PodList, fit []resolve.Listed, troubled int, filtered bool) string {
	where := "on this node"
	if list.Everywhere {
		where = "in the cluster"
	}
	text := tally(list.Total, list.NoNames) + " " + where
	if filtered && list.Total > 0 {
		text += fmt.Sprintf(", of which %d fit", len(fit))
	}
	const named = 3
	var names []string
	for i := range fit[:min(troubled, named)] {
		names = append(names, describeTrouble(&fit[i].Workload))
	}
	switch {
	case troubled > named:
		text += fmt.Sprintf("; %d in trouble, among them %s", troubled, strings.Join(names, ", "))
	case troubled > 0:
		text += fmt.Sprintf("; %d in trouble: %s", troubled, strings.Join(names, ", "))
	case len(fit) > 0:
		text += "; none in trouble"
	}
	if failed := silentNames(list.Sources); len(failed) > 0 {
		text += "; " + strings.Join(failed, " and ") + " could not be asked, so some may be missing"
	}
	return text + "."
}

// describeTrouble is a few words on one that is in trouble.
func describeTrouble(w *resolve.Workload) string {
	row := workloadRow(w)
	why := []string{cmp.Or(row.Reason, string(row.State), "no container")}
	if row.Restarts > 0 {
		why = append(why, words.Plural(row.Restarts, "restart"))
	}
	return fmt.Sprintf("%s (%s)", cmp.Or(row.Pod, row.UID, row.Container), strings.Join(why, ", "))
}

func (in *ListPodsIn) notes(list *resolve.PodList, out *ListPodsOut, forwards bool) []dispatch.Note {
	notes := silentNotes(list.Sources)
	if rest := out.Total - min(in.Offset, out.Total) - out.Returned; rest > 0 {
		notes = append(notes, dispatch.Note{Code: "more_rows", Message: fmt.Sprintf(
			"%d more follow: call again with offset %d, or with filters", rest, in.Offset+out.Returned)})
	}
	if out.Total > 0 && in.Offset >= out.Total {
		notes = append(notes, beyondTheEnd(in.Offset, out.Total))
	}
	if list.NoRuntime && !list.Everywhere {
		notes = append(notes, noRuntimeNote(forwards))
	}
	if in.AllNodes && !list.Everywhere {
		why := "the Kubernetes API did not answer, so only pods of this node are listed"
		if list.NoCluster {
			why = "no Kubernetes API is configured, so only pods of this node are listed: give a kubeconfig (--kubeconfig or KUBECONFIG)"
		}
		notes = append(notes, dispatch.Note{Code: "this_node_only", Message: why})
	}
	return notes
}

// beyondTheEnd tells an empty page from an empty list.
func beyondTheEnd(offset, total int) dispatch.Note {
	return dispatch.Note{Code: "offset_beyond_end", Message: fmt.Sprintf("offset %d is beyond the end of the list, which has %d: the page is empty", offset, total)}
}

// nextOfList looks closer at the first: at its state where it is in trouble, and
// into its network where it can be entered, which with forwards is on any node.
func nextOfList(shown []resolve.Listed, forwards bool) []dispatch.Next {
	if len(shown) == 0 {
		return nil
	}
	first := &shown[0]
	name := nameOf(&first.Workload)
	if name == (dispatch.TargetArgs{}) {
		return nil
	}
	next := []dispatch.Next{dispatch.Propose(resolvePodPID, ResolvePodPIDIn{TargetArgs: name},
		"see the state of the first of them, and whose network it has")}
	if (first.Here || forwards && first.Node != "") && first.Running() {
		next = append(next, dispatch.Propose(netnsIPAddr, NetnsIPAddrIn{TargetArgs: name}, "look into its network"))
	}
	return next
}

// workloadOut is one line of docker ps or kubectl get pods.
type workloadOut struct {
	Pod         string        `json:"pod,omitempty" jsonschema:"namespace/name"`
	UID         string        `json:"uid,omitempty" jsonschema:"of a pod whose name nobody here knows"`
	Container   string        `json:"container,omitempty" jsonschema:"a container without a pod"`
	State       resolve.State `json:"state,omitempty" jsonschema:"of the container that is worst off"`
	Reason      string        `json:"reason,omitempty"`
	Restarts    int           `json:"restarts,omitempty"`
	Containers  int           `json:"containers"`
	HostNetwork bool          `json:"host_network,omitempty"`
	Image       string        `json:"image,omitempty"`
}

// defaultRows keeps an inventory near 2 kB.
const defaultRows = 30

func workloadRow(w *resolve.Workload) workloadOut {
	row := workloadOut{State: w.State(), Reason: words.Printable(w.Why()), Containers: len(w.Containers), HostNetwork: w.HostNetwork}
	switch {
	case w.Pod != "":
		row.Pod = words.Printable(podName(w))
	case w.UID != "": // without a runtime that is all there is
		row.UID = words.Printable(w.UID)
	case len(w.Containers) > 0:
		row.Container = containerLabel(&w.Containers[0])
	}
	for _, c := range w.Containers {
		row.Restarts += c.Restarts
	}
	if c := w.Worst(); c != nil {
		row.Image = c.Image
	}
	return row
}

// podName is namespace/name, and for podman, which has no namespaces, the name.
func podName(w *resolve.Workload) string {
	return strings.TrimPrefix(w.Namespace+"/"+w.Pod, "/")
}

// nameOf are the arguments that name a workload.
func nameOf(w *resolve.Workload) dispatch.TargetArgs {
	switch {
	case w.Pod != "":
		return dispatch.TargetArgs{Pod: w.Pod, Namespace: w.Namespace}
	case w.UID != "":
		return dispatch.TargetArgs{Pod: w.UID}
	case len(w.Containers) > 0:
		return dispatch.TargetArgs{Container: cmp.Or(w.Containers[0].Name, w.Containers[0].ID)}
	}
	return dispatch.TargetArgs{}
}

// silent are the sources that are here but could not tell what they know.
func silent(sources []resolve.SourceState) []resolve.SourceState {
	return slices.DeleteFunc(slices.Clone(sources), func(s resolve.SourceState) bool { return s.State == "ok" || s.State == "absent" })
}

func silentNames(sources []resolve.SourceState) []string {
	var names []string
	for _, s := range silent(sources) {
		names = append(names, s.Name)
	}
	return names
}

// silentNotes say what is missing because of them.
func silentNotes(sources []resolve.SourceState) []dispatch.Note {
	var notes []dispatch.Note
	for _, s := range silent(sources) {
		notes = append(notes, dispatch.Note{
			Code:    "source_failed",
			Message: fmt.Sprintf("%s: %s; pods that only this source knows are missing here (nsenter-mcp doctor says more)", s.Name, words.Escape(s.Error)),
		})
	}
	for _, s := range sources {
		if s.State == "ok" && s.Error != "" {
			notes = append(notes, dispatch.Note{Code: "list_cut", Message: fmt.Sprintf("%s: %s", s.Name, words.Escape(s.Error))})
		}
	}
	return notes
}

// noRuntimeNote says what to do where nothing is listed for want of a runtime. From a
// machine that forwards, the containers are on the nodes.
func noRuntimeNote(forwards bool) dispatch.Note {
	if forwards {
		return dispatch.Note{Code: "no_runtime", Message: "no container runtime was found on this machine; list_pods shows the pods of the nodes, and with node a call goes to one"}
	}
	return dispatch.Note{Code: "no_runtime", Message: "no container runtime was found on this node. " + resolve.HintNoRuntime}
}

// tally says how many workloads a list has. Without names nobody knows what they are:
// any program may make cgroups that look like those of containers.
func tally(n int, noNames bool) string {
	const silent = "no source of names answered (container runtime, files of the kubelet)"
	switch {
	case noNames && n == 0:
		return silent + ", and no cgroup of a container was found"
	case noNames:
		return silent + ": " + words.Plural(n, "cgroup") + " of unknown owners"
	}
	return fmt.Sprintf("%d pods and containers", n)
}
