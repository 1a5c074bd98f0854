package resolve

import (
	"context"
	"path"

	"nsenter-mcp/nsexec"
)

// kubeletRoots is where kubelets keep their files: by default, and those of k0s
// and microk8s. In each is a folder for each pod that the kubelet has to do with:
//
//	pods/<uid>/containers/<name>   made with the container
//	pods/<uid>/etc-hosts           what containers see as /etc/hosts
//	pods/<uid>/volumes
var kubeletRoots = [...]string{"/var/lib/kubelet", "/var/lib/k0s/kubelet", "/var/snap/microk8s/common/var/lib/kubelet"}

// kubeletFolders is what the kubelet's folders say of the pods that were asked about.
type kubeletFolders struct {
	// dirs are the folders of pods by UID; nil where no kubelet's files are found
	// or may be read.
	dirs map[string]string
}

// readKubelet looks for the pods whose UIDs keep picks.
func readKubelet(ctx context.Context, files *nsexec.Files, keep func(uid string) bool) kubeletFolders {
	var k kubeletFolders
	for _, root := range kubeletRoots {
		dir := path.Join(root, "pods")
		entries, err := files.ReadDir(ctx, dir, maxPodLogs, keep)
		if err != nil {
			continue // most of them are not there, and it is only one of several hints
		}
		if k.dirs == nil {
			k.dirs = map[string]string{}
		}
		for _, e := range entries {
			if e.Dir {
				k.dirs[e.Name] = path.Join(dir, e.Name)
			}
		}
	}
	return k
}

// without reports whether the kubelet has no folder for the pod any more. It
// makes one before all else, and removes it when the pod is deleted and ended.
func (k kubeletFolders) without(p podLog) bool { return k.dirs != nil && k.dirs[p.UID] == "" }

// containers are the names of the pod's containers that were made.
func (k kubeletFolders) containers(ctx context.Context, files *nsexec.Files, p podLog) []string {
	dir := k.dirs[p.UID]
	if dir == "" {
		return nil
	}
	entries, err := files.ReadDir(ctx, path.Join(dir, "containers"), maxPodContainers, func(name string) bool {
		return checkName("", name, "") == nil
	})
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.Dir {
			names = append(names, e.Name)
		}
	}
	return names
}
