package resolve

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/nsexec"
)

func TestResolveDeadSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "web-0"})
	l, path := listen(t)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = l.Close()
	for _, host := range []string{"unix://" + path, "unix:///nowhere/docker.sock"} {
		dead := NewDocker(DockerOptions{Host: host})
		alone := w.resolverFor(t, Config{Sources: []Source{dead, NewCgroups("/")}})
		e := refused(t, alone, Query{Pod: "web-0"}, KindSource)
		if !strings.Contains(e.Message, "docker: ") || len(e.Steps) == 0 {
			t.Errorf("got %q with %d steps", e.Message, len(e.Steps))
		}
		both := w.resolverFor(t, Config{Sources: []Source{dead, w.docker}})
		target := open(t, both, Query{Pod: "web-0"})
		inside(t, target, p.Handle)
		if noted(target, "source_failed") == "" {
			t.Error("no word of the dead source")
		}
		inside(t, open(t, alone, Query{PID: &p.PID}), p.Handle)
	}
}

func TestResolveHungSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "web-0"})
	w.engine.SetHang(true)
	w.resolver.limits = defaultLimits()
	began := time.Now()
	e := refused(t, w.resolver, Query{Pod: "web-0"}, KindSource)
	if took := time.Since(began); took > 30*time.Second { // on any machine; the exact limit is tested with a fake clock
		t.Errorf("took %s", took)
	}
	if !strings.Contains(e.Message, "docker: ") || len(e.Steps) == 0 {
		t.Errorf("got %q with %d steps", e.Message, len(e.Steps))
	}
	// Its time is over; on a busy machine it may take a moment until that counts.
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(e.Message, "tried again in"); {
		if time.Now().After(deadline) {
			t.Fatalf("the source is not left alone: %q", e.Message)
		}
		e = refused(t, w.resolver, Query{Pod: "web-0"}, KindSource)
	}
	target := w.resolve(t, Query{PID: &p.PID})
	inside(t, target, p.Handle)

	// Whoever waits is not held up by those who are in front.
	fresh := w.resolverFor(t, Config{Sources: []Source{w.docker}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began = time.Now()
	done := make(chan error, 100)
	for range cap(done) {
		go func() { _, err := fresh.Resolve(ctx, Query{Container: "web"}); done <- err }()
	}
	for range cap(done) {
		var e *Error
		if err := <-done; !errors.As(err, &e) || e.Kind != KindTimeout {
			t.Errorf("got %v, want timeout", err)
		}
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

// The container dies between being found and being entered.
func TestResolveDiesMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.Container(t, lab.ContainerSpec{Name: "db", Style: lab.Plain})
	old := c.Netns().Handle.Identity()
	restarts := 1
	// after runs between the source's answer and the entering.
	meddler := func(after func()) *Resolver {
		return w.resolverFor(t, Config{AllowHostNetwork: true, Sources: []Source{&fake{
			name: "docker",
			exact: func(ctx context.Context, q Query) ([]Workload, error) {
				ws, err := w.docker.Exact(ctx, q)
				after()
				return ws, err
			},
			list: w.docker.List,
		}}})
	}
	t.Run("and comes back", func(t *testing.T) {
		r := meddler(func() {
			if restarts--; restarts == 0 {
				if err := c.Restart(); err != nil {
					t.Error(err)
				}
			}
		})
		target := open(t, r, Query{Container: "db"})
		inside(t, target, c.Netns().Handle)
		if target.Net.Identity().Same(old) {
			t.Error("entered the namespace of before")
		}
	})
	t.Run("and stays so", func(t *testing.T) {
		r := meddler(func() {
			if err := c.Kill(); err != nil {
				t.Error(err)
			}
		})
		e := refused(t, r, Query{Container: "db"}, KindNotRunning)
		if e.State != StateExited {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("and nobody notices", func(t *testing.T) {
		stale := bare("db", c.ID)
		stale.Containers[0].PID = maxPID
		r := w.resolverFor(t, Config{Sources: []Source{knows("docker", 0, stale)}})
		e := refused(t, r, Query{Container: "db"}, KindGone)
		if len(e.Steps) < 3 || !errors.Is(e, nsexec.ErrNoProcess) {
			t.Errorf("got %v with steps %+v", e, e.Steps)
		}
	})
}

// Whatever goes wrong, nothing stays open.
func TestNoDescriptorsAreLeft(t *testing.T) { // not parallel: counts what the process has
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}, {Name: "dead", State: lab.Exited}}})
	c := w.Container(t, lab.ContainerSpec{Name: "stopped", State: lab.Exited})
	w.Container(t, lab.ContainerSpec{Name: "agent", Style: lab.HostNetwork})
	w.Pod(t, lab.PodSpec{Name: "twin", Namespace: "a"})
	w.Pod(t, lab.PodSpec{Name: "twin", Namespace: "b"})
	closed := w.resolverFor(t, Config{Sources: []Source{w.docker, NewCgroups("/")}})
	stale := bare("stale", idA)
	stale.Containers[0].PID, stale.elsewhere = p.PID, true
	wrong := pod("x", "wrong", "app")
	wrong.Sandbox.PID, wrong.Sandbox.NetnsPath = p.PID, "/proc/self/ns/net"
	liar := w.resolverFor(t, Config{Sources: []Source{knows("docker", 0, stale, wrong)}})
	zombie := makeZombie(t)
	queries := []Query{
		{}, {Pod: "web-0"}, {Pod: "web-0", Container: "dead"}, {Pod: "web-0", Container: "nope"}, {Pod: "nope"}, {Pod: "twin"},
		{Container: "stopped"}, {Container: c.ID[:8]}, {Container: "agent"}, {Container: "stale"}, {Pod: "wrong"},
		{PID: &p.PID}, {PID: &p.PID, Describe: true}, {PID: &zombie}, {PID: pid(maxPID)}, {PID: pid(0)},
		{Netns: "host"}, {Netns: p.Path}, {Netns: p.Path, Describe: true}, {Netns: "/dev/null"}, {Netns: "/proc/self/ns/mnt"}, {Netns: "nope"}, {Netns: "12345"},
		{Netns: strconv.FormatUint(p.Handle.Identity().Inode, 10)}, {IP: p.IP.String()}, {IP: "192.0.2.1"}, {IP: w.Node.IP.String()},
	}
	round := func() {
		for _, r := range []*Resolver{w.resolver, closed, liar} {
			for _, q := range queries {
				target, err := r.Resolve(t.Context(), q)
				if err == nil {
					_, _ = target.ReadFile(t.Context(), "/etc/hosts", 10)
					if err := target.Close(); err != nil {
						t.Error(err)
					}
					if err := target.Close(); err != nil {
						t.Errorf("second close: %v", err)
					}
				}
			}
			if _, err := r.Discover(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := w.docker.Close(); err != nil {
			t.Error(err)
		}
	}
	round() // opens what stays open: the poller, the docker engine's side
	before := settledFDs(t)
	for range 5 {
		round()
	}
	if after := settledFDs(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

// settledFDs counts descriptors when connections that were closed are gone on
// the engine's side too, which is in this process as well.
func settledFDs(t *testing.T) int {
	t.Helper()
	lowest := openFDs(t)
	for range 50 {
		time.Sleep(2 * time.Millisecond)
		lowest = min(lowest, openFDs(t))
	}
	return lowest
}
