package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// machine examines kernel, privileges and the view of the host. missing are the
// capabilities that some tool needs and this process lacks.
func (cfg Config) machine(ctx context.Context, r *Report) (missing []string, supported bool) {
	r.add(kernel(ctx, cfg.Home))
	r.add(enter(ctx, cfg.Home))
	effective, err := effectiveCapabilities()
	if err != nil {
		r.add(Check{ID: "capabilities", Status: Warn, Detail: err.Error()})
	} else {
		var checks []Check
		checks, missing = capabilities(effective, cfg.Tools)
		r.Checks = append(r.Checks, checks...)
	}
	r.add(userNamespace())
	r.add(hostRoot(cfg.HostRoot))
	r.add(pidNamespace(cfg.HostRoot))
	r.add(hostNetwork(cfg.HostRoot, cfg.Host))
	r.add(confinement())
	r.add(cgroups(cfg.HostRoot))
	cfg.mounts(r, effective&(1<<unix.CAP_SYS_PTRACE) != 0)
	return missing, true
}

// mounts examines how the node's file systems are seen.
func (cfg Config) mounts(r *Report, ptrace bool) {
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		r.add(Check{ID: "netns_mounts", Status: Info, Detail: err.Error()})
		return
	}
	if own, known := ownMounts(cfg.HostRoot); known {
		r.add(propagation(cfg.HostRoot, mounts, own))
	} else {
		r.add(Check{ID: "netns_mounts", Status: Info, Detail: "whether the node's mounts are seen cannot be told: the mount namespaces of others are closed to this user"})
	}
	r.add(hidePID(cfg.HostRoot, mounts, ptrace))
}

// ownMounts reports whether this process sees the mounts of the node's first
// processes; known: that can be told. The link of PID 1 is closed even to root on some
// machines; kthreadd has the same mounts, and no secrets.
func ownMounts(root string) (own, known bool) {
	if filepath.Clean(root) != "/" || !firstPIDs("/proc") {
		return false, true
	}
	var self, first unix.Stat_t
	err := unix.Stat("/proc/self/ns/mnt", &self)
	for _, pid := range []string{"1", "2"} {
		if err == nil && unix.Stat("/proc/"+pid+"/ns/mnt", &first) == nil {
			own, known = own || first.Ino == self.Ino, true
		}
	}
	return own, known
}

func kernel(ctx context.Context, home *nsexec.Home) Check {
	c := Check{ID: "kernel", Status: OK}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return Check{ID: c.ID, Status: Warn, Detail: fmt.Sprintf("uname: %v", err)}
	}
	c.Detail = unix.ByteSliceToString(u.Release[:])
	// Entering the own namespace costs nothing and fails only for the version.
	var old *nsexec.KernelTooOldError
	if self, err := home.OpenPath(ctx, "/proc/self/ns/net"); errors.As(err, &old) {
		c.Status, c.Cost = Fail, "every call fails with kernel_too_old"
		c.Detail = old.Error()
		c.Fix = "run it on a node with a newer kernel"
		return c
	} else if err == nil {
		_ = self.Close()
	}
	if home.Self().Identity().Cookie == 0 {
		c.Status = Info
		c.Detail += "; before 5.14, so namespaces have no cookie and expect cannot be used"
	}
	return c
}

// userNamespace tells whether the capabilities count for the whole machine.
func userNamespace() Check {
	c := Check{ID: "user_namespace", Status: OK, Detail: "the machine's first"}
	text, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return Check{ID: c.ID, Status: Warn, Detail: err.Error()}
	}
	// user_namespaces(7): the first namespace maps all ids to themselves.
	if strings.Join(strings.Fields(string(text)), " ") != "0 0 4294967295" {
		c.Status, c.Detail = Info, "not the machine's first, as under podman unshare"
		c.Cost = "capabilities count only inside it: containers of its user can be entered (rootless podman), others cannot"
		c.Fix = "for other containers start the program outside of it, as the machine's root"
	}
	return c
}

// hostRoot looks whether the node's files are where they are said to be.
func hostRoot(root string) Check {
	c := Check{ID: "host_root", Status: OK, Detail: root}
	var st unix.Statfs_t
	proc := filepath.Join(root, "proc")
	err := unix.Statfs(proc, &st)
	if err == nil && st.Type != unix.PROC_SUPER_MAGIC {
		err = errors.New("not a proc file system")
	}
	if err != nil {
		c.Status, c.Detail = Fail, fmt.Sprintf("%s: %v", proc, err)
		c.Cost = "no process can be found, so nothing but named network namespaces can be entered"
		c.Fix = "mount the node's / into the container and name it by --host-root"
	}
	return c
}

// pidNamespace looks whether /proc shows all of the machine's processes.
func pidNamespace(root string) Check {
	c := Check{ID: "pid_namespace", Status: OK, Detail: "the machine's first: all processes are seen"}
	// The namespace link of PID 1 is closed even to root on some machines, but
	// anyone may read that PID 2 is kthreadd, which no other namespace has.
	switch proc := filepath.Join(root, "proc"); {
	case !firstPIDs(proc):
		c.Status, c.Detail = Warn, "not the machine's first"
		c.Cost = "only the processes of this container are seen, and runtimes' PIDs mean others"
		c.Fix = "in a pod: hostPID: true; with docker: --pid=host; or mount the node's / and use --host-root"
	case !firstPIDs("/proc"):
		c.Detail = "this program has one of its own, but " + proc + " shows all of the machine's processes"
	}
	return c
}

// firstPIDs reports whether a proc file system shows the machine's first PID
// namespace.
func firstPIDs(proc string) bool {
	name, err := fs.ReadFile(os.DirFS(proc), "2/comm")
	return err == nil && strings.TrimSpace(string(name)) == "kthreadd"
}

// hostNetwork looks whether "host" means the node.
func hostNetwork(root string, host *nsexec.Handle) Check {
	c := Check{ID: "host_network", Status: OK, Detail: host.Identity().String()}
	var first unix.Stat_t
	if err := unix.Stat(filepath.Join(root, "proc/1/ns/net"), &first); err != nil {
		c.Status = Info
		c.Detail += "; whether PID 1 has the same cannot be seen: " + err.Error()
		return c
	}
	if first.Ino != host.Identity().Inode {
		c.Status = Warn
		c.Detail += fmt.Sprintf(", but that of PID 1 is net:[%d]", first.Ino)
		c.Cost = "what is called host is not the node: the host's side of pods is not seen"
		c.Fix = "--host-netns " + filepath.Join(root, "proc/1/ns/net") + ", or in a pod hostNetwork: true"
	}
	return c
}
