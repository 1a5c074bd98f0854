package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

func TestMountOf(t *testing.T) {
	t.Parallel()
	mounts := []*mountinfo.Info{{Mountpoint: "/"}, {Mountpoint: "/host"}, {Mountpoint: "/host/run"}, {Mountpoint: "/host/run", FSType: "upper"}, {Mountpoint: "/host/run/netns"}}
	for path, want := range map[string]string{
		"/etc": "/", "/": "/", "/host": "/host", "/hostile": "/", "/host/run/x/../netns": "/host/run/netns", "/host/run/netns2": "/host/run",
	} {
		if m := mountOf(mounts, path); m == nil || m.Mountpoint != want {
			t.Errorf("%s is in %+v, want %q", path, m, want)
		}
	}
	if m := mountOf(mounts, "/host/run/x"); m.FSType != "upper" {
		t.Errorf("of two mounts at one place the lower counts: %+v", m)
	}
	if m := mountOf(nil, "/"); m != nil {
		t.Errorf("got %+v of none", m)
	}
}

// Real mounts: what doctor says is what happens to a mount that the node makes
// later.
func TestPropagation(t *testing.T) {
	t.Parallel()
	node := t.TempDir()
	mount := func(source, target, kind string, flags uintptr) {
		t.Helper()
		if err := unix.Mount(source, target, kind, flags, ""); err != nil {
			t.Fatal(err)
		}
		if flags&(unix.MS_SHARED|unix.MS_SLAVE|unix.MS_PRIVATE) == 0 {
			t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
		}
	}
	mount("tmpfs", node, "tmpfs", 0)
	mount("", node, "", unix.MS_SHARED)
	names := filepath.Join(node, "run/netns")
	if err := os.MkdirAll(names, 0o755); err != nil {
		t.Fatal(err)
	}
	roots := map[string]uintptr{"private": unix.MS_PRIVATE, "slave": unix.MS_SLAVE, "shared": unix.MS_SHARED}
	at := map[string]string{}
	for name, kind := range roots {
		at[name] = t.TempDir()
		mount(node, at[name], "", unix.MS_BIND|unix.MS_REC)
		mount("", at[name], "", kind|unix.MS_REC)
	}
	mount("tmpfs", names, "tmpfs", 0) // as a new name would
	if err := os.WriteFile(filepath.Join(names, "blue"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, root := range at {
		_, err := os.Stat(filepath.Join(root, "run/netns/blue"))
		c := propagation(root, mounts, false)
		if seen := err == nil; seen != (c.Status == OK) || seen != (name != "private") {
			t.Errorf("%s: seen is %v, doctor says %+v", name, seen, c)
		}
		if c.Status == Warn && (c.Cost == "" || !strings.Contains(c.Fix, "HostToContainer") || !strings.Contains(c.Fix, root+":ro,rslave")) {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if c := propagation(at["private"], mounts, true); c.Status != OK {
		t.Errorf("in the node's own mount namespace: %+v", c)
	}
}

func TestHidePID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		option string
		ptrace bool
		want   Status
	}{
		{"rw", false, OK}, {"hidepid=0", false, OK}, {"hidepid=off", false, OK},
		{"hidepid=2", true, OK}, {"hidepid=invisible", false, Warn}, {"hidepid=1", false, Warn}, {"hidepid=ptraceable", true, Info},
	} {
		got := hidePID("/host", []*mountinfo.Info{{Mountpoint: "/host/proc", FSType: "proc", VFSOptions: "rw," + c.option}}, c.ptrace)
		if got.Status != c.want || c.want == Warn && (got.Cost == "" || got.Fix == "") {
			t.Errorf("%s, ptrace %v: %+v", c.option, c.ptrace, got)
		}
	}
}

// The kernel itself says what the options of a real mount are called.
func TestHidePIDOfARealMount(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	proc := filepath.Join(root, "proc")
	if err := os.Mkdir(proc, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", proc, "proc", 0, "hidepid=2"); err != nil {
		t.Skipf("no proc file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(proc, unix.MNT_DETACH) })
	mounts, err := mountinfo.GetMounts(nil)
	if err != nil {
		t.Fatal(err)
	}
	if c := hidePID(root, mounts, false); c.Status != Warn {
		t.Errorf("%+v", c)
	}
}

func TestConfinement(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]Status{
		"unconfined": OK, "docker-default (enforce)": Warn, "cri-containerd.apparmor.d (enforce)": Warn, "mine (complain)": OK, "a b (unconfined)": OK,
	} {
		if c := appArmor(label); c.Status != want || !strings.Contains(c.Detail, label) || want == Warn && !strings.Contains(c.Fix, "Unconfined") {
			t.Errorf("%s: %+v", label, c)
		}
	}
	for label, want := range map[string]Status{
		"system_u:system_r:container_t:s0:c12,c34":              Warn,
		"system_u:system_r:container_init_t:s0":                 Warn,
		"system_u:system_r:svirt_lxc_net_t:s0":                  Warn,
		"system_u:system_r:spc_t:s0":                            OK,
		"unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023": OK,
		"system_u:system_r:container_runtime_t:s0":              OK,
	} {
		if c := seLinux(label, true); c.Status != want || want == Warn && !strings.Contains(c.Fix, "spc_t") {
			t.Errorf("%s: %+v", label, c)
		}
		if c := seLinux(label, false); c.Status != OK {
			t.Errorf("%s, permissive: %+v", label, c)
		}
	}
	if c := confinement(); c.ID == "" || c.Detail == "" {
		t.Errorf("here: %+v", c)
	}
}

func TestCgroupsOfNode(t *testing.T) {
	t.Parallel()
	c := cgroups("/")
	if _, err := os.Stat("/sys/fs/cgroup"); err == nil && !strings.HasPrefix(c.Detail, "version") {
		t.Errorf("here: %+v", c)
	}
	if c := cgroups(t.TempDir()); c.Status != Info || c.Cost == "" {
		t.Errorf("without: %+v", c)
	}
}
