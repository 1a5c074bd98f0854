package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParseMount(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]mountEntry{
		"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue": {point: "/mnt2", kind: "ext3", slave: true, options: []string{"rw", "errors=continue"}},
		`24 1 0:22 / /a\040b\134 rw shared:2 master:7 - tmpfs tmpfs rw`:                  {point: `/a b\`, kind: "tmpfs", shared: true, slave: true, options: []string{"rw"}},
		"20 1 0:4 / /proc rw - proc proc rw,hidepid=invisible":                           {point: "/proc", kind: "proc", options: []string{"rw", "hidepid=invisible"}},
		"20 1 0:4 / /x rw - tmpfs none":                                                  {point: "/x", kind: "tmpfs"},
		`20 1 0:4 / /x\9\0 rw - tmpfs none`:                                              {point: `/x\9\0`, kind: "tmpfs"},
	} {
		got, ok := parseMount(line)
		if !ok || got.point != want.point || got.kind != want.kind || got.shared != want.shared || got.slave != want.slave || !slices.Equal(got.options, want.options) {
			t.Errorf("%s: got %+v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "36 35 98:0 /mnt1", "36 35 98:0 /mnt1 /mnt2 rw master:1", " - ", "a b c d e f - "} {
		if got, ok := parseMount(line); ok {
			t.Errorf("%q was read as %+v", line, got)
		}
	}
}

func TestMountOf(t *testing.T) {
	t.Parallel()
	mounts := []mountEntry{{point: "/"}, {point: "/host"}, {point: "/host/run"}, {point: "/host/run", kind: "upper"}, {point: "/host/run/netns"}}
	for path, want := range map[string]string{
		"/etc": "/", "/": "/", "/host": "/host", "/hostile": "/", "/host/run/x/../netns": "/host/run/netns", "/host/run/netns2": "/host/run",
	} {
		if m, ok := mountOf(mounts, path); !ok || m.point != want {
			t.Errorf("%s is in %q, want %q", path, m.point, want)
		}
	}
	if m, _ := mountOf(mounts, "/host/run/x"); m.kind != "upper" {
		t.Errorf("of two mounts at one place the lower counts: %+v", m)
	}
	if m, ok := mountOf(nil, "/"); ok {
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
	mounts, err := readMounts()
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
		got := hidePID("/host", []mountEntry{{point: "/host/proc", kind: "proc", options: []string{"rw", c.option}}}, c.ptrace)
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
	mounts, err := readMounts()
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
