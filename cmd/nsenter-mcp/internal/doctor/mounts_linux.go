package doctor

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// mountOf is the mount that path lies in, of several at one place the last; nil where
// there is none.
func mountOf(mounts []*mountinfo.Info, path string) *mountinfo.Info {
	path = filepath.Clean(path)
	var best *mountinfo.Info
	for _, m := range mounts {
		inside := m.Mountpoint == "/" || path == m.Mountpoint || strings.HasPrefix(path, m.Mountpoint+"/")
		if inside && (best == nil || len(m.Mountpoint) >= len(best.Mountpoint)) {
			best = m
		}
	}
	return best
}

// propagation looks whether network namespaces that get a name after the start
// are seen. Each is a mount, made in the node's own mount namespace.
func propagation(root string, mounts []*mountinfo.Info, own bool) Check {
	c := Check{ID: "netns_mounts", Status: OK}
	// Links lead elsewhere: /var/run to /run, or the root itself.
	path := filepath.Join(root, "run/netns")
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	m := mountOf(mounts, path)
	switch {
	case own:
		c.Detail = "the node's own mount namespace"
	case m == nil:
		c.Status, c.Detail = Info, "no mount holds "+path
	// Shared: mounts made in it appear in others, and the other way round. A slave
	// (master) gets those of what it was bound from.
	case strings.Contains(m.Optional, "shared:"), strings.Contains(m.Optional, "master:"):
		c.Detail = fmt.Sprintf("new names in %s appear here: it is in %s, which follows the node's mounts", path, m.Mountpoint)
	default:
		c.Status, c.Detail = Warn, fmt.Sprintf("%s is in %s, which does not follow the node's mounts (private)", path, m.Mountpoint)
		c.Cost = "network namespaces that are named after this start cannot be opened by name or by the runtime's path (not_a_netns); by pid they can"
		c.Fix = "in a pod: mountPropagation: HostToContainer for the node's root; with docker: -v /:" + mountedAt(root) + ":ro,rslave"
	}
	return c
}

func mountedAt(root string) string {
	if filepath.Clean(root) == "/" {
		return "/host"
	}
	return filepath.Clean(root)
}

// hidePID looks whether /proc hides other users' processes.
func hidePID(root string, mounts []*mountinfo.Info, ptrace bool) Check {
	c := Check{ID: "hidepid", Status: OK, Detail: "processes of all users are seen"}
	proc := filepath.Join(root, "proc")
	m := mountOf(mounts, proc)
	if m == nil || m.FSType != "proc" {
		return c // host_root says so
	}
	_, value, _ := strings.Cut(","+m.VFSOptions, ",hidepid=")
	value, _, _ = strings.Cut(value, ",")
	switch {
	case value == "" || value == "0" || value == "off": // proc(5): they hide nothing
	case ptrace && value != "4" && value != "ptraceable":
		c.Detail = proc + " has hidepid=" + value + ", which CAP_SYS_PTRACE lifts"
	case ptrace:
		c.Status, c.Detail = Info, proc+" has hidepid="+value+": what a security module protects is not seen, all else is"
	default:
		c.Status, c.Detail = Warn, proc+" has hidepid="+value
		c.Cost = "processes of other users are not seen, so their pods cannot be found by files or cgroups, nor entered"
		c.Fix = "give CAP_SYS_PTRACE"
	}
	return c
}
