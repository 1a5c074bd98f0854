package resolve

import (
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"nsenter-mcp/nsexec"
)

// The kubelet keeps the logs of its containers under names that tell what they
// are of (pkg/kubelet/kuberuntime, helpers.go and legacy.go):
//
//	/var/log/pods/<namespace>_<pod>_<uid>/<container>/<restarts>.log
//	/var/log/containers/<pod>_<namespace>_<container>-<id>.log -> that file
//
// The first is made before the sandbox, and removed some time after the pod. With
// Docker the log itself is a link too, to .../containers/<id>/<id>-json.log.
const (
	podLogs       = "/var/log/pods"
	containerLogs = "/var/log/containers"
)

// Bounds of what is read there. A node runs some hundred pods; what is far above
// that is no kubelet's work.
const (
	maxPodLogs       = 20_000
	maxContainerLogs = 100_000
	maxPodContainers = 512
	maxRestartLogs   = 4096
)

// podLog is the directory of one pod's logs.
type podLog struct {
	Namespace, Pod, UID string
	changed             time.Time
}

// dir is its name in podLogs.
func (p podLog) dir() string { return p.Namespace + "_" + p.Pod + "_" + p.UID }

// parsePodLog reads the name of such a directory. No part holds an underscore.
func parsePodLog(name string) (podLog, bool) {
	parts := strings.Split(name, "_")
	if len(parts) != 3 {
		return podLog{}, false
	}
	for _, p := range parts {
		if checkName("", p, "") != nil {
			return podLog{}, false
		}
	}
	return podLog{Namespace: parts[0], Pod: parts[1], UID: parts[2]}, true
}

// containerLog is one container as its log tells of it.
type containerLog struct {
	pod      podLog // whose it is
	name     string
	id       string // "" where no link tells it
	restarts int    // neverStarted where there is no log
}

// neverStarted is for a container that the kubelet prepares, but that has no log.
const neverStarted = -1

// parseContainerLog reads a link in containerLogs. The pod comes from where it
// points, as the kubelet cuts its name where that gets too long for a file.
func parseContainerLog(name, target string) (containerLog, bool) {
	id := logID(name)
	rest, file := path.Split(path.Clean(target))
	rest, container := path.Split(path.Clean(rest))
	pod, ok := parsePodLog(path.Base(rest))
	restarts, isLog := parseRestarts(file)
	if id == "" || !ok || !isLog || checkName("", container, "") != nil {
		return containerLog{}, false
	}
	return containerLog{pod: pod, name: container, id: id, restarts: restarts}, true
}

// logID is the container's ID in the name of a link in containerLogs, "" for
// what is none.
func logID(name string) string {
	rest, ok := strings.CutSuffix(name, ".log")
	if !ok || len(rest) <= idLength || rest[len(rest)-idLength-1] != '-' || !isHex(rest[len(rest)-idLength:]) {
		return ""
	}
	return rest[len(rest)-idLength:]
}

// parseRestarts reads how often a container was restarted from the name of its
// log: "5.log". What is rotated out has a time behind that: 5.log.20260102-150405.
func parseRestarts(file string) (int, bool) {
	number, ok := strings.CutSuffix(file, ".log")
	n, err := strconv.ParseUint(number, 10, 31)
	return int(n), ok && err == nil
}

// readPodLogs returns the pods that keep picks and have logs.
func readPodLogs(ctx context.Context, files *nsexec.Files, keep func(podLog) bool) ([]podLog, error) {
	picks := func(name string) bool {
		p, ok := parsePodLog(name)
		return ok && keep(p)
	}
	entries, err := files.ReadDir(ctx, podLogs, maxPodLogs, picks)
	if err != nil {
		return nil, err
	}
	var pods []podLog
	for _, e := range entries {
		if p, ok := parsePodLog(e.Name); ok && e.Dir {
			p.changed = e.ModTime
			pods = append(pods, p)
		}
	}
	return pods, nil
}

// readContainerLogs returns the containers whose links' names keep picks.
func readContainerLogs(ctx context.Context, files *nsexec.Files, keep func(name string) bool) ([]containerLog, error) {
	entries, err := files.ReadDir(ctx, containerLogs, maxContainerLogs, keep)
	if err != nil {
		return nil, err
	}
	var logs []containerLog
	for _, e := range entries {
		if l, ok := parseContainerLog(e.Name, e.Link); ok {
			logs = append(logs, l)
		}
	}
	return logs, nil
}

// linksOf picks the names that the links of a pod's containers may have.
func linksOf(p podLog) func(name string) bool {
	const longest = 255 - idLength - len("-.log") // NAME_MAX
	prefix := p.Pod + "_" + p.Namespace + "_"
	prefix = prefix[:min(len(prefix), longest)]
	return func(name string) bool { return strings.HasPrefix(name, prefix) }
}

// readPodLog lists the containers of one pod in its latest attempt each.
func readPodLog(ctx context.Context, files *nsexec.Files, p podLog) ([]containerLog, error) {
	dir := path.Join(podLogs, p.dir())
	entries, err := files.ReadDir(ctx, dir, maxPodContainers, func(name string) bool { return checkName("", name, "") == nil })
	if err != nil {
		return nil, err
	}
	var logs []containerLog
	for _, e := range entries {
		if !e.Dir {
			continue
		}
		attempts, err := files.ReadDir(ctx, path.Join(dir, e.Name), maxRestartLogs, func(name string) bool {
			_, ok := parseRestarts(name)
			return ok
		})
		if err != nil {
			return nil, fmt.Errorf("logs of container %s: %w", e.Name, err)
		}
		c := containerLog{pod: p, name: e.Name, restarts: neverStarted}
		for _, a := range attempts {
			if n, _ := parseRestarts(a.Name); n > c.restarts {
				c.restarts, c.id = n, containerIDIn(path.Base(a.Link))
			}
		}
		logs = append(logs, c)
	}
	return logs, nil
}
