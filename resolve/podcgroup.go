package resolve

import (
	"bytes"
	"context"
	"path"
	"slices"
	"strconv"
	"strings"

	"nsenter-mcp/nsexec"
)

// Where the cgroups of pods begin: below one of these mounts (version 2, both
// together, version 1, where any controller will do) and in one of these groups,
// the latter two being those of a node that is a container itself (kind).
var (
	cgroupMounts = [...]string{
		"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/pids",
		"/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu",
	}
	podGroups = [...]string{"kubepods.slice", "kubepods", "kubelet.slice/kubelet-kubepods.slice", "kubelet/kubepods"}
)

const (
	// maxGroup bounds the groups in one pod's, and those below a container's.
	maxGroup = 512
	// maxRootGroup bounds those at the top, where other services may be many.
	maxRootGroup = 10_000
	// maxGroupDepth is how far below its group a container's processes are looked
	// for; runtimes put them one or two levels down (crun, systemd as PID 1).
	maxGroupDepth = 3
	// maxGroupFile bounds what is read of a list of processes: 10,000 numbers.
	maxGroupFile = 64 << 10
)

// podProcesses returns the lowest PID in each container of a pod, by the
// container's ID. It goes to the pod's cgroup by its name, which takes the same
// time however many processes the node has. Where that is not to be found, or
// shows no PIDs that count here, it returns none, and a search of all processes
// has to tell.
func podProcesses(ctx context.Context, files *nsexec.Files, uid string) map[string][]int {
	for _, mount := range cgroupMounts {
		for _, group := range groupsIn(ctx, files, mount) {
			for _, name := range podGroupNames(group, uid) {
				if first := groupProcesses(ctx, files, path.Join(mount, group, name)); len(first) > 0 {
					return first
				}
			}
		}
	}
	return nil
}

// groupsIn returns those of podGroups that may be below a mount, in their order.
// A node has one or two of the many combinations, and each look costs a visit to
// the kernel.
func groupsIn(ctx context.Context, files *nsexec.Files, mount string) []string {
	there := map[string]bool{}
	// A mount that is not there, or not readable, has none.
	_, _ = files.ReadDir(ctx, mount, maxRootGroup, func(name string) bool {
		there[name] = true
		return false
	})
	var groups []string
	for _, g := range podGroups {
		if first, _, _ := strings.Cut(g, "/"); there[first] {
			groups = append(groups, g)
		}
	}
	return groups
}

// podGroupNames are the names that a pod's cgroup may have below group, one for
// each class of service. The systemd driver says all of the way in each name.
func podGroupNames(group, uid string) [3]string {
	slice, systemd := strings.CutSuffix(path.Base(group), ".slice")
	if !systemd {
		return [3]string{"burstable/pod" + uid, "besteffort/pod" + uid, "pod" + uid}
	}
	escaped := strings.ReplaceAll(uid, "-", "_")
	of := func(class string) string {
		parent := slice + "-" + class
		return parent + ".slice/" + parent + "-pod" + escaped + ".slice"
	}
	return [3]string{of("burstable"), of("besteffort"), slice + "-pod" + escaped + ".slice"}
}

// groupProcesses looks into the cgroup of a pod.
func groupProcesses(ctx context.Context, files *nsexec.Files, dir string) map[string][]int {
	// What cannot be read is not found this way; the caller has another one.
	entries, err := files.ReadDir(ctx, dir, maxGroup, func(name string) bool {
		return containerIDIn(name) != "" && !strings.Contains(name, "conmon")
	})
	if err != nil {
		return nil
	}
	first := map[string][]int{}
	for _, e := range entries {
		if !e.Dir {
			continue
		}
		if pid := lowestIn(ctx, files, path.Join(dir, e.Name), maxGroupDepth); pid > 0 {
			first[containerIDIn(e.Name)] = []int{pid}
		}
	}
	return first
}

// lowestIn returns the lowest PID in a cgroup or, where it has none of its own,
// in those below; 0 for none. The kernel lists as 0 what is outside of this
// process's PID namespace (cgroups(7)).
func lowestIn(ctx context.Context, files *nsexec.Files, dir string, depth int) int {
	list, err := files.ReadFile(ctx, path.Join(dir, "cgroup.procs"), maxGroupFile)
	if err != nil {
		return 0
	}
	lowest := 0
	for line := range bytes.Lines(list.Data) {
		pid, err := strconv.Atoi(string(bytes.TrimSpace(line)))
		if err == nil && pid > 0 && (lowest == 0 || pid < lowest) {
			lowest = pid
		}
	}
	if lowest != 0 || depth == 0 {
		return lowest
	}
	// Not into a container within it: what a Docker in a pod starts has networks of
	// its own.
	below, err := files.ReadDir(ctx, dir, maxGroup, func(name string) bool { return containerIDIn(name) == "" })
	if err != nil {
		return 0
	}
	below = slices.DeleteFunc(below, func(e nsexec.Entry) bool { return !e.Dir })
	for _, e := range below {
		if pid := lowestIn(ctx, files, path.Join(dir, e.Name), depth-1); pid != 0 && (lowest == 0 || pid < lowest) {
			lowest = pid
		}
	}
	return lowest
}
