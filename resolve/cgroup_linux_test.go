package resolve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

func cgroupOf(uid, id string) string {
	if uid == "" {
		return "0::/docker/" + id + "\n"
	}
	return "0::/kubepods/burstable/pod" + uid + "/" + id + "\n"
}

func TestCgroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Containers: []lab.ContainerSpec{{Name: "app", Files: lab.FileSpec{Extra: map[string]string{"etc/who": "app"}}}}})
	c := w.Container(t, lab.ContainerSpec{Name: "db"})
	app := p.Containers[0]
	root := fakeProc(t, map[int]string{
		p.PID:     cgroupOf(p.UID, p.Sandbox.ID),
		app.PID(): cgroupOf(p.UID, app.ID),
		c.PID():   cgroupOf("", c.ID),
	})
	source := NewCgroups(root)
	r := w.resolverFor(t, Config{Root: root, Sources: []Source{source}})

	t.Run("container by ID", func(t *testing.T) {
		t.Parallel()
		for _, id := range []string{c.ID, c.ID[:12]} {
			target := open(t, r, Query{Container: id})
			inside(t, target, c.Netns().Handle)
			if target.PID() != c.PID() || target.Via != ViaContainer || target.Workload.Source != "cgroup" {
				t.Errorf("got pid %d via %s of %+v", target.PID(), target.Via, target.Workload)
			}
		}
	})
	t.Run("pod by UID", func(t *testing.T) {
		t.Parallel()
		target := open(t, r, Query{Pod: p.UID})
		inside(t, target, p.Handle)
		if target.Workload.UID != p.UID || len(target.Workload.Containers) != 2 {
			t.Errorf("workload is %+v", target.Workload)
		}
	})
	t.Run("names are not known", func(t *testing.T) {
		t.Parallel()
		for _, q := range []Query{{Pod: "web"}, {Container: "db"}} {
			if _, err := source.Exact(t.Context(), q); !errors.Is(err, ErrCannotTell) {
				t.Errorf("%+v: got %v, want ErrCannotTell", q, err)
			}
			if e := refused(t, r, q, KindSource); !strings.Contains(e.Message, "no container runtime was found") {
				t.Errorf("got %q", e.Message)
			}
		}
	})
	t.Run("nothing there", func(t *testing.T) {
		t.Parallel()
		if _, err := NewCgroups(t.TempDir()).List(t.Context()); !errors.Is(err, ErrAbsent) {
			t.Errorf("got %v, want ErrAbsent", err)
		}
		refused(t, r, Query{Container: idA}, KindNotFound)
	})
}

// A process that a source names must be the container's, whatever the source
// says.
func TestVerifiedByCgroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine := w.Container(t, lab.ContainerSpec{Name: "mine"})
	theirs := w.Container(t, lab.ContainerSpec{Name: "theirs"})
	root := fakeProc(t, map[int]string{
		mine.PID():   cgroupOf("", mine.ID),
		theirs.PID(): cgroupOf("", theirs.ID),
	})
	claims := func(id string, pid int) Workload {
		c := bare("mine", id)
		c.Containers[0].PID = pid
		return c
	}
	t.Run("another container's", func(t *testing.T) {
		t.Parallel()
		r := w.resolverFor(t, Config{Root: root, Sources: []Source{knows("docker", 0, claims(mine.ID, theirs.PID()))}})
		target := open(t, r, Query{Container: "mine"})
		inside(t, target, mine.Netns().Handle)
		if target.PID() != mine.PID() || target.App.PID() != mine.PID() || target.Workload.Containers[0].PID != mine.PID() {
			t.Errorf("entered pid %d, files of pid %d, want %d", target.PID(), target.App.PID(), mine.PID())
		}
		if len(target.Steps) != 4 || target.Steps[1].Outcome != outcomeFailed || !strings.Contains(target.Steps[1].Reason, "another container") {
			t.Errorf("steps are %+v", target.Steps)
		}
	})
	t.Run("nobody's", func(t *testing.T) {
		t.Parallel()
		r := w.resolverFor(t, Config{Root: root, Sources: []Source{knows("docker", 0, claims(idA, theirs.PID()))}})
		if e := refused(t, r, Query{Container: "mine"}, KindGone); !errors.Is(e, errForeign) {
			t.Errorf("got %v, want %v", e, errForeign)
		}
	})
	t.Run("an engine on another machine", func(t *testing.T) {
		t.Parallel()
		far := claims(idA, mine.PID())
		far.elsewhere = true
		far.Containers[0].NetnsPath = mine.Netns().Path
		plain := fakeProc(t, map[int]string{mine.PID(): "0::/\n"})
		r := w.resolverFor(t, Config{Root: plain, Sources: []Source{knows("docker", 0, far)}})
		if e := refused(t, r, Query{Container: "mine"}, KindGone); !errors.Is(e, errUnproven) {
			t.Errorf("got %v, want %v", e, errUnproven)
		}
		far.Containers[0].ID = mine.ID
		r = w.resolverFor(t, Config{Root: root, Sources: []Source{knows("docker", 0, far)}})
		inside(t, open(t, r, Query{Container: "mine"}), mine.Netns().Handle)
	})
}

// The facts of a target do not depend on how it was named.
func TestIdentify(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}})
	app := p.Containers[0]
	root := fakeProc(t, map[int]string{p.PID: cgroupOf(p.UID, p.Sandbox.ID), app.PID(): cgroupOf(p.UID, app.ID)})
	r := w.resolverFor(t, Config{Root: root, Sources: []Source{w.docker}})
	r.limits.identify = time.Minute // a busy machine may need it
	appPID := app.PID()
	check := func(q Query, container string, requests bool) *Target {
		t.Helper()
		w.engine.ResetRequests()
		target := open(t, r, q)
		inside(t, target, p.Handle)
		if f := target.Workload; f.Pod != "web-0" || f.Namespace != "shop" || f.UID != p.UID || target.Container != container {
			t.Errorf("%+v: facts are %+v, container %q", q, f, target.Container)
		}
		if asked := len(w.engine.Requests()) > 0; asked != requests {
			t.Errorf("%+v: requests %v", q, w.engine.Requests())
		}
		return target
	}
	check(Query{PID: &appPID}, "app", true)
	check(Query{PID: &appPID}, "app", false) // what an ID stands for never changes
	check(Query{PID: &p.PID}, "", true)
	check(Query{IP: p.IP.String()}, "", false)
	check(Query{Netns: fmt.Sprint(p.Handle.Identity().Inode)}, "", false)
	if got := check(Query{PID: &appPID, Describe: true}, "app", true); got.Workload.Sandbox == nil || got.Workload.Containers[0].State != StateRunning {
		t.Errorf("described as %+v", got.Workload)
	}

	// An engine that is silent costs facts, not the target, and not much time.
	w.engine.SetHang(true)
	silent := w.resolverFor(t, Config{Root: root, Sources: []Source{w.docker}})
	began := time.Now()
	target := open(t, silent, Query{PID: &appPID})
	inside(t, target, p.Handle)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
	if target.Workload.UID != p.UID || target.Workload.Containers[0].ID != app.ID || noted(target, "source_failed") == "" {
		t.Errorf("workload %+v, notes %+v", target.Workload, target.Notes)
	}
}

// What a container is called is remembered only where everybody could be asked.
func TestIdentityIsKeptOnceAllAnswered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.Container(t, lab.ContainerSpec{Name: "db"})
	root := fakeProc(t, map[int]string{c.PID(): cgroupOf("", c.ID)})
	var broken atomic.Bool
	names := &fake{name: "names", exact: func(context.Context, Query) ([]Workload, error) {
		if broken.Load() {
			return nil, errors.New("it restarts")
		}
		return []Workload{bare("db", c.ID)}, nil
	}}
	r := w.resolverFor(t, Config{Root: root, Sources: []Source{names, NewCgroups(root)}})
	r.limits.identify = time.Minute
	pid := c.PID()
	broken.Store(true)
	if target := open(t, r, Query{PID: &pid}); target.Container == "db" || noted(target, "source_failed") == "" {
		t.Errorf("container %q, notes %+v", target.Container, target.Notes)
	}
	broken.Store(false)
	for range 2 {
		if target := open(t, r, Query{PID: &pid}); target.Container != "db" {
			t.Errorf("once it answers: container %q", target.Container)
		}
	}
	if n := names.exacts.Load(); n != 2 {
		t.Errorf("asked %d times, want 2: it is remembered from the second time on", n)
	}
}

// What the Kubernetes API knows is enough to enter a pod of this node, and to say
// where one of another node is.
func TestResolveByCluster(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})
	app := p.Containers[0]
	root := fakeProc(t, map[int]string{p.PID: cgroupOf(p.UID, p.Sandbox.ID), app.PID(): cgroupOf(p.UID, app.ID)})
	here := Workload{Pod: "web-0", Namespace: "default", UID: p.UID, Node: w.Node.Name, Containers: []Container{{ID: app.ID, Name: "app", State: StateRunning}}}
	there := Workload{Pod: "far-0", Namespace: "default", UID: uidA, Node: "node-9", Containers: []Container{{ID: idA, Name: "app", State: StateRunning}}}
	pending := Workload{Pod: "new-0", Namespace: "default", UID: uidHash, Node: w.Node.Name, Containers: []Container{{Name: "app", State: StateCreated}}}
	unscheduled := Workload{Pod: "late-0", Namespace: "default", UID: "x"}
	r := w.resolverFor(t, Config{
		Root: root, Sources: []Source{NewCgroups(root)}, Cluster: []Source{knows("kubernetes", 0, here, there, pending, unscheduled)},
	})
	target := open(t, r, Query{Pod: "web-0"})
	inside(t, target, p.Handle)
	if target.App.PID() != app.PID() || target.Workload.Source != "kubernetes" || target.Workload.Containers[0].PID != app.PID() {
		t.Errorf("files of pid %d, workload %+v", target.App.PID(), target.Workload)
	}
	if e := refused(t, r, Query{Pod: "far-0"}, KindOtherNode); e.Node != "node-9" || !strings.Contains(e.Message, "node-9") {
		t.Errorf("got %+v", e)
	}
	nameless := New(Config{Home: w.Home, Host: w.Node.Handle, Root: root, Cluster: r.cfg.Cluster})
	t.Cleanup(nameless.Close)
	inside(t, open(t, nameless, Query{Pod: "web-0"}), p.Handle)
	if e := refused(t, nameless, Query{Pod: "far-0"}, KindOtherNode); e.Node != "node-9" {
		t.Errorf("got %+v", e)
	}
	refused(t, r, Query{Pod: "new-0"}, KindNoSandbox)
	refused(t, r, Query{Pod: "late-0"}, KindNoSandbox)
}

// A runtime that keeps a pod's network without a process for it (CRI-O without
// pause, containerd without sandbox process) is entered by the pinned path.
func TestResolveWithoutPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app", Files: lab.FileSpec{Extra: map[string]string{"etc/who": "app"}}}}})
	app := p.Containers[0]
	found := pod("default", "web-0")
	found.Sandbox.NetnsPath = p.Path
	found.Containers = []Container{{ID: app.ID, Name: "app", State: StateRunning, PID: app.PID()}}
	r := w.resolverFor(t, Config{Sources: []Source{knows("cri", 0, found)}})
	target := open(t, r, Query{Pod: "web-0"})
	inside(t, target, p.Handle)
	if target.Via != ViaSandbox || target.NetnsPath != p.Path || target.PID() != app.PID() {
		t.Errorf("via %s, path %q, pid %d", target.Via, target.NetnsPath, target.PID())
	}
	reads(t, target, "/etc/who", "app")

	// Not even a container, but the runtime says where the resolver's file lies.
	if err := app.Exit(1); err != nil {
		t.Fatal(err)
	}
	found.Containers[0].State, found.Containers[0].PID = StateExited, 0
	found.Sandbox.hostFiles = map[string]string{"/etc/resolv.conf": app.ResolvConf}
	r = w.resolverFor(t, Config{Sources: []Source{knows("cri", 0, found)}})
	target = open(t, r, Query{Pod: "web-0"})
	inside(t, target, p.Handle)
	if target.Process != nil || target.App != nil || target.Files != nil || noted(target, "files_from") == "" {
		t.Errorf("pid %d, files from %q, notes %+v", target.PID(), target.FilesFrom, target.Notes)
	}
	got, err := target.ReadFile(t.Context(), "etc/resolv.conf", 4096)
	if err != nil || !strings.Contains(string(got.Data), "10.96.0.10") {
		t.Errorf("resolv.conf: %q, %v", got.Data, err)
	}

	// A source in a folder that the container could write may have become a link
	// to any file of the host.
	planted := filepath.Join(t.TempDir(), "hosts")
	if err := os.Symlink(app.ResolvConf, planted); err != nil {
		t.Fatal(err)
	}
	found.Sandbox.hostFiles = map[string]string{"/etc/hosts": planted}
	r = w.resolverFor(t, Config{Sources: []Source{knows("cri", 0, found)}})
	if got, err := open(t, r, Query{Pod: "web-0"}).ReadFile(t.Context(), "/etc/hosts", 4096); !errors.Is(err, syscall.ELOOP) {
		t.Errorf("through a link: %q, %v", got.Data, err)
	}

	// The path of a sandbox that is gone leads nowhere, or to somebody else.
	found.Sandbox.State = StateExited
	r = w.resolverFor(t, Config{Sources: []Source{knows("cri", 0, found)}})
	refused(t, r, Query{Pod: "web-0"}, KindNotRunning)
}

func TestScanEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewCgroups("/").List(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}
