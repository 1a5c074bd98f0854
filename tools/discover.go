package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
)

// inventoryOut is what can be named on this node, for a caller that named
// nothing.
type inventoryOut struct {
	Workloads []workloadOut         `json:"workloads" jsonschema:"pods and containers, trouble first"`
	Total     int                   `json:"total"`
	Returned  int                   `json:"returned"`
	Netns     []resolve.NamedNetns  `json:"netns" jsonschema:"named network namespaces"`
	Sources   []resolve.SourceState `json:"sources" jsonschema:"who was asked"`
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

func discover(ctx context.Context, env *dispatch.Env, in ResolvePodPIDIn) (dispatch.Answer[ResolvePodPIDOut], error) {
	found, err := env.Resolver.Discover(ctx)
	if err != nil {
		return dispatch.Answer[ResolvePodPIDOut]{}, err
	}
	limit := in.Limit
	if limit == 0 {
		limit = defaultRows
	}
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
	}
	return answer, nil
}

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
			Message: fmt.Sprintf("%s: %s; what only it knows is missing here (nsenter-mcp doctor says more)", s.Name, words.Escape(s.Error)),
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

// tally says how many workloads a list has. Without names nobody knows what they are:
// any program may make cgroups that look like those of containers.
func tally(n int, noNames bool) string {
	if noNames {
		return "no source of names answered (container runtime, files of the kubelet): " + words.Plural(n, "cgroup") + " of unknown owners"
	}
	return fmt.Sprintf("%d pods and containers", n)
}
