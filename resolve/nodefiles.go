package resolve

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"nsenter-mcp/nsexec"
)

// NodeFiles is a [Source] that knows the pods of this node by what the kubelet
// and the kernel keep in files: names of pods and containers, restarts and IDs by
// the logs, whether a pod is still there by the kubelet's folders, processes by
// the cgroups. It needs no runtime and no API. It does not know exit codes,
// reasons or images, nor containers without a pod.
//
// Nothing here says which process is the sandbox's. It is taken to be the oldest
// one of the pod that is no container's with a log, and a note says so.
type NodeFiles struct{ hostFiles }

// NewNodeFiles returns the source for the host whose files lie below root ("/").
// home stays the caller's.
func NewNodeFiles(home *nsexec.Home, root string) *NodeFiles {
	return &NodeFiles{newHostFiles(home, root)}
}

// Name is "files".
func (*NodeFiles) Name() string { return "files" }

// maxDetailed bounds the pods of one query that are looked at closely. Which of
// so many is meant is open in any case.
const maxDetailed = 16

// Exact finds a pod by its name or UID, or a container of a pod by its ID, the
// start of its ID or its name. For a container that no log tells of it fails with
// [ErrCannotTell].
func (s *NodeFiles) Exact(ctx context.Context, q Query) ([]Workload, error) {
	return readHost(ctx, &s.hostFiles, func(files *nsexec.Files) ([]Workload, error) {
		if q.Pod == "" {
			return s.container(ctx, files, q)
		}
		pods, err := readPodLogs(ctx, files, func(p podLog) bool {
			return (p.Pod == q.Pod || p.UID == q.Pod) && (q.Namespace == "" || p.Namespace == q.Namespace)
		})
		if err != nil {
			return nil, err
		}
		return s.details(ctx, files, pods)
	})
}

// List returns all pods that the kubelet still keeps or that have a process.
func (s *NodeFiles) List(ctx context.Context) ([]Workload, error) {
	return readHost(ctx, &s.hostFiles, func(files *nsexec.Files) ([]Workload, error) {
		pods, err := readPodLogs(ctx, files, func(podLog) bool { return true })
		if err != nil {
			return nil, err
		}
		logs, err := latestLogs(ctx, files)
		if err != nil {
			return nil, err
		}
		processes, err := s.processes(ctx, func(string) bool { return true })
		if err != nil {
			return nil, err
		}
		kept := readKubelet(ctx, files, func(string) bool { return true })
		all := make([]Workload, 0, len(pods))
		for _, p := range pods {
			first := processes[p.UID]
			if len(first) == 0 && kept.without(p) {
				continue
			}
			containers := logs[p.dir()]
			if len(containers) == 0 {
				if containers, err = readPodLog(ctx, files, p); err != nil {
					continue // removed meanwhile
				}
			}
			all = append(all, s.workload(p, containers, first))
		}
		return all, nil
	})
}

// container finds the pod of a container.
func (s *NodeFiles) container(ctx context.Context, files *nsexec.Files, q Query) ([]Workload, error) {
	byID := len(q.Container) >= minIDPrefix && isHex(q.Container)
	logs, err := readContainerLogs(ctx, files, func(name string) bool {
		id := logID(name)
		if id == "" {
			return false
		}
		return byID && strings.HasPrefix(id, q.Container) || strings.HasSuffix(strings.TrimSuffix(name, "-"+id+".log"), "_"+q.Container)
	})
	if err != nil {
		return nil, err
	}
	if len(logs) == 0 {
		return nil, ErrCannotTell
	}
	if q.brief {
		return briefly(logs), nil
	}
	var pods []podLog
	for _, l := range logs {
		if !slices.ContainsFunc(pods, func(p podLog) bool { return p.dir() == l.pod.dir() }) {
			pods = append(pods, l.pod)
		}
	}
	return s.details(ctx, files, pods)
}

// briefly says whose the containers are, and no more.
func briefly(logs []containerLog) []Workload {
	ws := make([]Workload, 0, len(logs))
	for _, l := range logs {
		w := l.pod.workload()
		w.Containers = []Container{{ID: l.id, Name: l.name, Restarts: l.restarts}}
		ws = append(ws, w)
	}
	return ws
}

func (p podLog) workload() Workload {
	return Workload{Source: "files", Pod: p.Pod, Namespace: p.Namespace, UID: p.UID, inferred: true}
}

// details tells all of the pods that are still there. Of one that was deleted the
// log remains for a while; it may run on another node by now, which others know.
func (s *NodeFiles) details(ctx context.Context, files *nsexec.Files, pods []podLog) ([]Workload, error) {
	kept := readKubelet(ctx, files, func(uid string) bool {
		return slices.ContainsFunc(pods, func(p podLog) bool { return p.UID == uid })
	})
	var found []Workload
	for i, p := range pods {
		if i >= maxDetailed {
			found = append(found, p.workload())
			continue
		}
		first := podProcesses(ctx, files, p.UID)
		if len(first) == 0 {
			running, err := s.processes(ctx, func(uid string) bool { return uid == p.UID })
			if err != nil {
				return nil, err
			}
			first = running[p.UID]
		}
		if len(first) == 0 && kept.without(p) {
			continue
		}
		containers, err := s.containers(ctx, files, p, kept)
		if err != nil {
			return nil, err
		}
		found = append(found, s.workload(p, containers, first))
	}
	return found, nil
}

// containers lists those of a pod with all that files say.
func (s *NodeFiles) containers(ctx context.Context, files *nsexec.Files, p podLog, kept kubeletFolders) ([]containerLog, error) {
	containers, err := readPodLog(ctx, files, p)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// A node may do without these links; then only Docker's logs tell IDs.
	links, err := readContainerLogs(ctx, files, linksOf(p))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for i := range containers {
		c := &containers[i]
		for _, l := range links {
			if l.pod.UID == p.UID && l.name == c.name && l.restarts == c.restarts {
				c.id = l.id
			}
		}
	}
	for _, name := range kept.containers(ctx, files, p) {
		if !slices.ContainsFunc(containers, func(c containerLog) bool { return c.name == name }) {
			containers = append(containers, containerLog{pod: p, name: name, restarts: neverStarted})
		}
	}
	return containers, nil
}

// latestLogs returns the latest container of each name by the links, by the
// directory of their pod's logs.
func latestLogs(ctx context.Context, files *nsexec.Files) (map[string][]containerLog, error) {
	links, err := readContainerLogs(ctx, files, nil)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	latest := map[string][]containerLog{}
	for _, l := range links {
		of := latest[l.pod.dir()]
		at := slices.IndexFunc(of, func(c containerLog) bool { return c.name == l.name })
		switch {
		case at < 0:
			latest[l.pod.dir()] = append(of, l)
		case of[at].restarts < l.restarts:
			of[at] = l
		}
	}
	for _, of := range latest {
		slices.SortFunc(of, func(a, b containerLog) int { return cmp.Compare(a.name, b.name) })
	}
	return latest, nil
}

// processes finds those of the pods whose UIDs keep picks among all of the node: the
// first one in each container, by UID and ID. More than one is of as many cgroups with
// that ID.
func (s *NodeFiles) processes(ctx context.Context, keep func(uid string) bool) (map[string]map[string][]int, error) {
	first, err := firstProcesses(ctx, s.procRoot, func(ref cgroupRef) bool {
		return ref.PodUID != "" && !ref.Nested && ref.Inner == "" && keep(ref.PodUID)
	})
	byUID := map[string]map[string][]int{}
	for ref, pid := range first {
		if byUID[ref.PodUID] == nil {
			byUID[ref.PodUID] = map[string][]int{}
		}
		byUID[ref.PodUID][ref.ContainerID] = append(byUID[ref.PodUID][ref.ContainerID], pid)
	}
	return byUID, err
}
