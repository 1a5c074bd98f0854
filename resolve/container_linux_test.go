package resolve

import (
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
)

func TestResolveContainer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.Container(t, lab.ContainerSpec{Name: "db", Files: lab.FileSpec{Extra: map[string]string{"etc/who": "db"}}})
	debug := w.Container(t, lab.ContainerSpec{Name: "debug", Join: db, Files: lab.FileSpec{Extra: map[string]string{"etc/who": "debug"}}})
	host := w.Container(t, lab.ContainerSpec{Name: "agent", Style: lab.HostNetwork})
	w.Container(t, lab.ContainerSpec{Name: "stopped", State: lab.Exited, ExitCode: 137})
	w.Container(t, lab.ContainerSpec{Name: "new", State: lab.Created})

	t.Run("by name", func(t *testing.T) {
		t.Parallel()
		target := w.resolve(t, Query{Container: "db"})
		inside(t, target, db.Netns().Handle)
		if target.PID() != db.PID() || target.Via != ViaContainer || target.Container != "db" || target.Workload.Pod != "" {
			t.Errorf("got pid %d via %s, container %q", target.PID(), target.Via, target.Container)
		}
		reads(t, target, "/etc/who", "db")
		if c := target.Workload.Containers[0]; c.Image != db.Image || c.StartedAt.IsZero() || c.State != StateRunning {
			t.Errorf("container is %+v", c)
		}
	})
	t.Run("joined", func(t *testing.T) {
		t.Parallel()
		target := w.resolve(t, Query{Container: "debug"})
		inside(t, target, db.Netns().Handle)
		if target.Via != ViaContainer || target.App.PID() != debug.PID() || !strings.Contains(noted(target, "network_of"), "container debug uses the network of container db") {
			t.Errorf("got via %s, notes %+v", target.Via, target.Notes)
		}
		reads(t, target, "/etc/who", "debug")
	})
	t.Run("host network", func(t *testing.T) {
		t.Parallel()
		target := w.resolve(t, Query{Container: "agent"})
		inside(t, target, w.Node.Handle)
		if !target.HostNetwork || !target.Workload.HostNetwork || target.PID() != host.PID() {
			t.Errorf("host network %v, pid %d", target.HostNetwork, target.PID())
		}
		closed := w.resolverFor(t, Config{Sources: []Source{w.docker}})
		if e := refused(t, closed, Query{Container: "agent"}, KindHostNetworkDenied); !strings.Contains(e.Message, "container agent") {
			t.Errorf("got %q", e.Message)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		t.Parallel()
		e := refused(t, w.resolver, Query{Container: "stopped"}, KindNotRunning)
		if e.State != StateExited || e.ExitCode == nil || *e.ExitCode != 137 || !strings.Contains(e.Message, "137") || !strings.Contains(e.Hint, "docker start stopped") {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("never started", func(t *testing.T) {
		t.Parallel()
		e := refused(t, w.resolver, Query{Container: "new"}, KindNotRunning)
		if e.State != StateCreated || e.ExitCode != nil || !strings.Contains(e.Message, "never started") {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("not there", func(t *testing.T) {
		t.Parallel()
		e := refused(t, w.resolver, Query{Container: "debgu"}, KindNotFound)
		if !slices.Contains(e.NearMisses, "debug") || len(e.Steps) == 0 {
			t.Errorf("got %+v", e)
		}
	})
}

func TestResolveJoinedContainerThatIsStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pause := w.Container(t, lab.ContainerSpec{Name: "pause"})
	w.Container(t, lab.ContainerSpec{Name: "app", Join: pause, State: lab.Exited, ExitCode: 1})
	target := w.resolve(t, Query{Container: "app"})
	inside(t, target, pause.Netns().Handle)
	if target.PID() != pause.PID() || noted(target, "container_not_running") == "" {
		t.Errorf("got pid %d, notes %+v", target.PID(), target.Notes)
	}
}

func TestResolveRestarted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.Container(t, lab.ContainerSpec{Name: "db"})
	first := w.resolve(t, Query{Container: "db"})
	if err := c.Restart(); err != nil {
		t.Fatal(err)
	}
	second := w.resolve(t, Query{Container: "db"})
	inside(t, second, c.Netns().Handle)
	if first.Net.Identity().Same(second.Net.Identity()) {
		t.Error("the namespace of before the restart was entered")
	}
	if first.Process.Alive() {
		t.Error("the pinned process of before lives on as another one")
	}
}

// The short ID that docker ps prints is found without looking at all containers.
func TestShortID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, NewCgroups("/"))
	c := w.Container(t, lab.ContainerSpec{Name: "db"})
	w.resolve(t, Query{Container: c.ID[:12]})
	w.engine.ResetRequests()
	target := w.resolve(t, Query{Container: c.ID[:12]})
	inside(t, target, c.Netns().Handle)
	if got := w.engine.Requests(); got["list"] != 0 || got["inspect"] != 1 || noted(target, "prefix_match") == "" {
		t.Errorf("asked for %v, notes %+v", got, target.Notes)
	}
}
