package nsexec_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

func TestOpenPath(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	pin := pinNetns(t)
	var want unix.Stat_t
	if err := unix.Stat(pin, &want); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(pin, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pin, link} {
		h, err := home.OpenPath(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		if h.Identity().Inode != want.Ino || h.Identity().Dev != want.Dev || h.Identity().Cookie == 0 {
			t.Errorf("%s: identity %+v, want inode %d", path, h.Identity(), want.Ino)
		}
		if h.Identity().Same(home.Self().Identity()) {
			t.Errorf("%s is home", path)
		}
		if err := h.Do(func() error { return inside(h) }); err != nil {
			t.Error(err)
		}
	}
}

// The process's own namespace by another way is home too.
func TestOpenPathOfHome(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	for _, path := range []string{"/proc/self/ns/net", "/proc/thread-self/ns/net", fmt.Sprintf("/proc/%d/ns/net", os.Getpid())} {
		h, err := home.OpenPath(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if h.Identity() != home.Self().Identity() {
			t.Errorf("%s is %+v, home is %+v", path, h.Identity(), home.Self().Identity())
		}
		if err := h.Do(func() error { return inside(home.Self()) }); err != nil {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := home.Self().Close(); err != nil {
		t.Error(err)
	}
	if err := home.Self().Do(func() error { return nil }); err != nil {
		t.Errorf("home after Close of Self: %v", err)
	}
}

// fileZoo makes one file of each kind in dir and says what OpenPath calls it.
func fileZoo(t testing.TB, dir string) map[string]string {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(at("file"), []byte("text"), 0o644))
	must(os.WriteFile(at("empty"), nil, 0o444))
	must(os.Mkdir(at("directory"), 0o755))
	must(unix.Mkfifo(at("fifo"), 0o644))
	ln, err := net.Listen("unix", at("socket"))
	must(err)
	t.Cleanup(func() { ln.Close() })
	must(os.Symlink("fifo", at("link")))
	zoo := map[string]string{
		"file": "a regular file", "empty": "its bind mount is gone", "directory": "a directory",
		"fifo": "a fifo", "socket": "a socket", "link": "a fifo",
	}
	// Where devices may be made: not in a user namespace.
	if err := unix.Mknod(at("device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err == nil {
		zoo["device"] = "a device"
	}
	return zoo
}

func TestOpenPathOfSomethingElse(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	dir := t.TempDir()
	zoo := fileZoo(t, dir)
	paths := map[string]string{"/proc/self/ns/uts": "a uts namespace", "/proc/self/ns/mnt": "a mnt namespace", "/proc/self/ns/user": "a user namespace", "/proc/self/stat": "regular file"}
	for name, what := range zoo {
		paths[filepath.Join(dir, name)] = what
	}
	for path, what := range paths {
		_, err := home.OpenPath(t.Context(), path)
		if !errors.Is(err, nsexec.ErrNotNetns) || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want ErrNotNetns: %s", path, err, what)
		}
	}
	for path, want := range map[string]error{
		filepath.Join(dir, "missing"):           fs.ErrNotExist,
		filepath.Join(dir, "file/below"):        unix.ENOTDIR,
		filepath.Join(dir, "nul\x00"):           unix.EINVAL,
		"":                                      fs.ErrNotExist,
		"/" + strings.Repeat("x", 10_000):       unix.ENAMETOOLONG,
		"/proc/self/ns/nosuch":                  fs.ErrNotExist,
		filepath.Join(dir, "control\x1b[31m\n"): fs.ErrNotExist,
	} {
		if _, err := home.OpenPath(t.Context(), path); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", path, err, want)
		}
	}
}

// Opening a FIFO waits, or wakes somebody who waits for a reader.
func TestOpenPathDoesNotOpenFIFO(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := home.OpenPath(t.Context(), path); !errors.Is(err, nsexec.ErrNotNetns) {
		t.Error(err)
	}
	// With a reader this would succeed.
	if fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK, 0); !errors.Is(err, unix.ENXIO) {
		unix.Close(fd)
		t.Errorf("the fifo has a reader: %v", err)
	}
}

// A host's tree as an agent in a container sees it: absolute links in it mean
// paths in it.
func TestOpenPathIn(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	root := t.TempDir()
	for _, dir := range []string{"run/netns", "var", "outside"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	inner := filepath.Join(root, "run/netns/blue")
	if err := os.WriteFile(inner, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	pin := pinNetns(t)
	if err := unix.Mount(pin, inner, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(inner, unix.MNT_DETACH) })
	for name, target := range map[string]string{
		"var/run":        "/run",                       // as on every distribution
		"absolute":       "/run/netns/blue",            // stays inside
		"climb":          "../../../../run/netns/blue", // as well
		"escape":         pin,                          // exists outside only
		"escape-dots":    "../../../.." + pin,
		"magic":          "/proc/self/ns/net",
		"loop":           "loop",
		"run/netns/self": "blue",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := home.OpenPath(t.Context(), pin)
	if err != nil {
		t.Fatal(err)
	}
	defer want.Close()
	for _, path := range []string{"/run/netns/blue", "run/netns/blue", "/var/run/netns/blue", "/absolute", "/climb", "/run/netns/self", "/../../run/netns/blue"} {
		h, err := home.OpenPathIn(t.Context(), root, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if h.Identity() != want.Identity() {
			t.Errorf("%s is %+v, want %+v", path, h.Identity(), want.Identity())
		}
		h.Close()
	}
	for path, want := range map[string]error{
		"/escape": fs.ErrNotExist, "/escape-dots": fs.ErrNotExist, pin: fs.ErrNotExist,
		"/magic": fs.ErrNotExist, "/loop": unix.ELOOP, "/outside": nsexec.ErrNotNetns,
	} {
		if h, err := home.OpenPathIn(t.Context(), root, path); !errors.Is(err, want) {
			t.Errorf("%s: %v %v, want %v", path, h, err, want)
		}
	}
	// A proc file system below the root: magic links of it lead out.
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("/proc", filepath.Join(root, "proc"), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(filepath.Join(root, "proc"), unix.MNT_DETACH) })
	if _, err := home.OpenPathIn(t.Context(), root, "/magic"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("magic link: %v, want ELOOP", err)
	}
	for _, root := range []string{"/", "//", "/."} {
		h, err := home.OpenPathIn(t.Context(), root, pin)
		if err != nil {
			t.Fatal(err)
		}
		h.Close()
	}
	if _, err := home.OpenPathIn(t.Context(), filepath.Join(root, "nosuch"), "/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing root: %v", err)
	}
}

// A bind mount whose namespace nobody else holds: it lives by the mount.
func TestPinAlone(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	pin := pinNetns(t)
	h, err := home.OpenPath(t.Context(), pin)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err := unix.Unmount(pin, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	// The stale file is seen as what it is, the handle still works.
	if _, err := home.OpenPath(t.Context(), pin); !errors.Is(err, nsexec.ErrNotNetns) || !strings.Contains(err.Error(), "bind mount is gone") {
		t.Errorf("stale pin: %v", err)
	}
	if err := h.Do(func() error { return inside(h) }); err != nil {
		t.Error(err)
	}
	// For the cleanup, which unmounts it.
	if err := unix.Mount("/proc/self/ns/net", pin, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
}

func TestIdentitySame(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b nsexec.Identity
		want bool
	}{
		{nsexec.Identity{}, nsexec.Identity{}, false},
		{nsexec.Identity{Dev: 4, Inode: 1}, nsexec.Identity{Dev: 4, Inode: 1}, true},
		{nsexec.Identity{Dev: 4, Inode: 1}, nsexec.Identity{Dev: 5, Inode: 1}, false},
		{nsexec.Identity{Dev: 4, Inode: 1}, nsexec.Identity{Dev: 4, Inode: 2}, false},
		{nsexec.Identity{Dev: 4, Inode: 1, Cookie: 7}, nsexec.Identity{Dev: 4, Inode: 1, Cookie: 8}, false}, // reused inode
		{nsexec.Identity{Dev: 4, Inode: 1, Cookie: 7}, nsexec.Identity{Dev: 9, Inode: 2, Cookie: 7}, true},
		{nsexec.Identity{Dev: 4, Inode: 1, Cookie: 7}, nsexec.Identity{Dev: 4, Inode: 1}, true},
		{nsexec.Identity{Cookie: 7}, nsexec.Identity{}, false},
	} {
		if test.a.Same(test.b) != test.want || test.b.Same(test.a) != test.want {
			t.Errorf("%+v same as %+v: want %v", test.a, test.b, test.want)
		}
	}
}
