package doctor

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// cgroups tells the version of the node's cgroups and how the kubelet names
// those of pods.
func cgroups(root string) Check {
	c := Check{ID: "cgroup", Status: OK}
	dir := filepath.Join(root, "sys/fs/cgroup")
	trees := []string{dir}
	switch {
	case fileSystem(dir) == unix.CGROUP2_SUPER_MAGIC:
		c.Detail = "version 2"
	case fileSystem(filepath.Join(dir, "unified")) == unix.CGROUP2_SUPER_MAGIC:
		c.Detail = "versions 1 and 2"
		trees = []string{filepath.Join(dir, "unified"), filepath.Join(dir, "systemd"), filepath.Join(dir, "pids")}
	case fileSystem(filepath.Join(dir, "pids")) == unix.CGROUP_SUPER_MAGIC:
		c.Detail = "version 1"
		trees = []string{filepath.Join(dir, "systemd"), filepath.Join(dir, "pids")}
	default:
		c.Status, c.Detail = Info, dir+" is no cgroup file system"
		c.Cost = "where no runtime answers, a pod's processes are looked for among all, which takes longer"
		return c
	}
	for _, tree := range trees {
		for _, driver := range []struct{ group, says string }{
			{"kubepods.slice", "pods by the systemd driver"},
			{"kubepods", "pods by the cgroupfs driver"},
			{"kubelet.slice", "pods of a node in a container, by the systemd driver"},
			{"kubelet", "pods of a node in a container, by the cgroupfs driver"},
		} {
			if fileSystem(filepath.Join(tree, driver.group)) != 0 {
				c.Detail += ", " + driver.says
				return c
			}
		}
	}
	c.Detail += ", no pods"
	return c
}

// fileSystem is the magic number of what a path lies in (statfs(2)), 0 where it
// is not there.
func fileSystem(path string) int64 {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0
	}
	return int64(st.Type) //nolint:unconvert // it has another size on other architectures
}
