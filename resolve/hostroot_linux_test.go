package resolve

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

func TestHostPath(t *testing.T) {
	t.Parallel()
	n := nodeTree{t, t.TempDir()}
	n.write("/run/docker.sock", "")
	n.link("/run", "/var/run")
	n.link("../run/docker.sock", "/srv/relative.sock")
	n.link("/var/run/docker.sock", "/srv/twice.sock")
	n.link(strings.Repeat("../", 40)+"run", "/srv/climb")
	n.link("loop", "/srv/loop")
	sock := filepath.Join(n.root, "/run/docker.sock")
	for name, want := range map[string]string{
		"/run/docker.sock": sock, "run/docker.sock": sock, "/var/run/docker.sock": sock, "/srv/relative.sock": sock, "/srv/twice.sock": sock,
		"/srv/climb/docker.sock": sock, "/../../run/docker.sock": sock, "/run/../var/run/docker.sock": sock,
		"/nosuch/x": filepath.Join(n.root, "/nosuch/x"), "/srv/loop": filepath.Join(n.root, "/srv/loop"), "/": n.root,
	} {
		if got := hostPath(n.root, name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if got := hostPath("/", "/var/run/x/../docker.sock"); got != "/var/run/docker.sock" {
		t.Errorf("without a root of its own: %s", got)
	}
}

// Everything that is looked for on the host is looked for below its root: this
// one's links lead to places that exist outside of it as well, with other things
// in them.
func TestHostRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}})
	decoys := lab.Start(t)
	decoy := decoys.Pod(t, lab.PodSpec{Name: "decoy-0", Namespace: "shop", IP: netip.MustParseAddr("10.244.1.66"), Containers: []lab.ContainerSpec{{Name: "app"}}})
	engine, err := decoys.Node.Engine()
	if err != nil {
		t.Fatal(err)
	}
	runtime, err := lab.StartRuntime(w.Node, lab.Containerd17)
	if err != nil {
		t.Fatal(err)
	}
	other, err := lab.StartRuntime(decoys.Node, lab.Containerd17)
	if err != nil {
		t.Fatal(err)
	}
	// A socket's path has at most 107 bytes (unix(7)), and TMPDIR may be long.
	n := nodeTree{t, shortDir(t, "/run")}
	if err := unix.Mount(treeOf(t, web).root, n.root, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(n.root, unix.MNT_DETACH) })
	outside := nodeTree{t, shortDir(t, "/tmp")}
	blue := filepath.Base(web.Path)
	const green = "green"
	const containerdSocket = "containerd/containerd.sock"
	// The same places, outside and inside.
	run, logs := filepath.Join(outside.root, "run"), filepath.Join(outside.root, "log")
	below := map[string]string{ // what is there, and what is there outside
		filepath.Join(run, "docker.sock"):       w.engine.Socket,
		filepath.Join(run, containerdSocket):    runtime.Socket,
		filepath.Join(run, "netns", blue):       web.Path,
		filepath.Join(run, "docker/netns/pins"): web.Path,
	}
	for at, from := range below {
		n.bind(from, at)
	}
	whole := nodeTree{t, "/"}
	whole.bind(engine.Socket, filepath.Join(run, "docker.sock"))
	whole.bind(other.Socket, filepath.Join(run, containerdSocket))
	whole.bind(decoy.Path, filepath.Join(run, "netns", blue))
	whole.bind(decoy.Path, filepath.Join(run, "netns", green))
	decoyLog := podLog{Namespace: "shop", Pod: "decoy-0", UID: decoy.UID}
	whole.write(filepath.Join(logs, "pods", decoyLog.dir(), "app", "0.log"), "")
	whole.write(filepath.Join(outside.root, "etc/netns", blue, "resolv.conf"), "decoy")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(n.root, outside.root), 0o755),
		os.Rename(filepath.Join(n.root, "var/log"), filepath.Join(n.root, logs)),
	); err != nil {
		t.Fatal(err)
	}
	n.link(logs, "/var/log")
	n.link(run, "/var/run")
	n.link(run, "/run")
	n.write(filepath.Join(outside.root, "etc/netns", blue, "resolv.conf"), "ours")
	n.link(filepath.Join(outside.root, "etc/netns"), "/etc/netns")

	docker := NewDocker(DockerOptions{Root: n.root})
	t.Cleanup(func() { _ = docker.Close() })
	runtimes, err := NewCRI(CRIOptions{Root: n.root})
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]Source{"docker": docker, "containerd": runtimes[0], "files": NewNodeFiles(w.Home, n.root)}
	for name, source := range sources {
		r := w.resolverFor(t, Config{Root: n.root, Sources: []Source{source}})
		target := open(t, r, Query{Pod: "web-0"})
		if got := target.Net.Identity(); !got.Same(web.Handle.Identity()) || target.Workload.Source != name {
			t.Errorf("%s: entered %s of %+v", name, got, target.Workload)
		}
		refused(t, r, Query{Pod: "decoy-0"}, KindNotFound)
	}
	r := w.resolverFor(t, Config{Root: n.root, Sources: []Source{NewCgroups(n.root)}})
	found, err := r.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, named := range found.Netns {
		names = append(names, named.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{blue, "pins"}) {
		t.Errorf("named networks are %q", names)
	}
	for _, name := range []string{blue, "pins", "/run/netns/" + blue, "/var/run/docker/netns/pins"} {
		target := open(t, r, Query{Netns: name})
		if got := target.Net.Identity(); !got.Same(web.Handle.Identity()) {
			t.Errorf("%s is %s", name, got)
		}
	}
	reads(t, open(t, r, Query{Netns: blue}), "/etc/resolv.conf", "ours")
	refused(t, r, Query{Netns: green}, KindNotFound)
	pid := decoy.PID
	refused(t, r, Query{PID: &pid}, KindNoProcess) // it is not in the root's /proc
	refused(t, r, Query{IP: decoy.IP.String()}, KindNotFound)
}

// shortDir is a folder in base until the test ends.
func shortDir(t *testing.T, base string) string {
	t.Helper()
	dir, err := os.MkdirTemp(base, "hostroot")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// bind shows a file of this machine below the root.
func (n nodeTree) bind(from, name string) {
	n.tb.Helper()
	n.write(name, "")
	at := filepath.Join(n.root, name)
	if err := unix.Mount(from, at, "", unix.MS_BIND, ""); err != nil {
		n.tb.Fatal(err)
	}
	n.tb.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			n.tb.Error(err)
		}
	})
}
