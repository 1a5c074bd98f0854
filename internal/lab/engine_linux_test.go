package lab_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"nsenter-mcp/internal/lab"
)

// dial connects the real client to an engine.
func dial(t *testing.T, e *lab.Engine) *client.Client {
	t.Helper()
	c, err := client.NewClientWithOpts(client.WithHost(e.Host()), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func engine(t *testing.T, n *lab.Node) (*lab.Engine, *client.Client) {
	t.Helper()
	e, err := n.Engine()
	if err != nil {
		t.Fatal(err)
	}
	return e, dial(t, e)
}

func TestEngineList(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l := lab.Start(t)
	_, c := engine(t, l.Node)
	far, err := l.AddNode()
	if err != nil {
		t.Fatal(err)
	}
	p := l.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Attempt: 2, Labels: map[string]string{"app": "web"}, Containers: []lab.ContainerSpec{
		{Name: "app"}, {Name: "crash", State: lab.Exited, ExitCode: 3, Restarts: 7},
	}})
	l.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "other"})
	l.Pod(t, lab.PodSpec{Name: "far", Node: far})
	l.Container(t, lab.ContainerSpec{Name: "bare"})

	pod := filters.NewArgs(filters.Arg("label", "io.kubernetes.pod.name=web-0"), filters.Arg("label", "io.kubernetes.pod.namespace=shop"))
	sandbox := pod.Clone()
	sandbox.Add("label", "io.kubernetes.docker.type=podsandbox")
	names := []string{
		"/k8s_POD_web-0_shop_" + p.UID + "_2", "/k8s_app_web-0_shop_" + p.UID + "_0", "/k8s_crash_web-0_shop_" + p.UID + "_7",
	}
	for name, tt := range map[string]struct {
		options container.ListOptions
		want    []string
	}{
		"sandbox":       {container.ListOptions{Filters: sandbox}, names[:1]},
		"running":       {container.ListOptions{Filters: pod}, names[:2]},
		"all":           {container.ListOptions{Filters: pod, All: true}, names},
		"exited":        {container.ListOptions{Filters: filters.NewArgs(filters.Arg("status", "exited"))}, names[2:]},
		"by name":       {container.ListOptions{Filters: filters.NewArgs(filters.Arg("name", "^/bare$"))}, []string{"/bare"}},
		"by id":         {container.ListOptions{Filters: filters.NewArgs(filters.Arg("id", p.Sandbox.ID[:12]))}, names[:1]},
		"pod's label":   {container.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "app=web"))}, names[:1]},
		"nothing":       {container.ListOptions{Filters: filters.NewArgs(filters.Arg("name", "none"))}, nil},
		"of other node": {container.ListOptions{Filters: filters.NewArgs(filters.Arg("name", "far"))}, nil},
	} {
		list, err := c.ContainerList(ctx, tt.options)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, one := range list {
			got = append(got, one.Names...)
		}
		slices.Sort(got)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
	if _, err := c.ContainerList(ctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("bogus", "1"))}); !cerrdefs.IsInvalidArgument(err) {
		t.Errorf("unknown filter: %v", err)
	}
}

func TestEngineInspect(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	l := lab.Start(t)
	_, c := engine(t, l.Node)
	p := l.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{
		{Name: "app", Env: []string{"A=b"}}, {Name: "crash", State: lab.Exited, ExitCode: 3}, {Name: "waiting", State: lab.Created, Error: "no such image"},
	}})
	bare := l.Container(t, lab.ContainerSpec{Name: "bare"})
	if err := bare.Restart(); err != nil {
		t.Fatal(err)
	}
	joined := l.Container(t, lab.ContainerSpec{Name: "joined", Join: bare})
	host := l.Container(t, lab.ContainerSpec{Name: "host", Style: lab.HostNetwork})

	type facts struct {
		status   string
		pid      int
		mode     string
		key      string
		exit     int
		restarts int
		hostname string
		err      string
	}
	for _, tt := range []struct {
		ask  string
		want facts
	}{
		{p.Sandbox.ID, facts{status: "running", pid: p.PID, mode: "none", key: p.Path, hostname: "web-0"}},
		{p.Sandbox.Name, facts{status: "running", pid: p.PID, mode: "none", key: p.Path, hostname: "web-0"}},
		{p.Containers[0].ID[:12], facts{status: "running", pid: p.Containers[0].PID(), mode: "container:" + p.Sandbox.ID}},
		{p.Containers[1].ID, facts{status: "exited", exit: 3, mode: "container:" + p.Sandbox.ID}},
		{p.Containers[2].ID, facts{status: "created", err: "no such image", mode: "container:" + p.Sandbox.ID}},
		{"bare", facts{status: "running", pid: bare.PID(), mode: "bridge", key: bare.Netns().Path, restarts: 1, hostname: "bare"}},
		{"joined", facts{status: "running", pid: joined.PID(), mode: "container:" + bare.ID}},
		{"host", facts{status: "running", pid: host.PID(), mode: "host", key: "/var/run/docker/netns/default", hostname: "node-1"}},
	} {
		j, err := c.ContainerInspect(ctx, tt.ask)
		if err != nil {
			t.Fatalf("%s: %v", tt.ask, err)
		}
		got := facts{
			j.State.Status, j.State.Pid, string(j.HostConfig.NetworkMode), j.NetworkSettings.SandboxKey,
			j.State.ExitCode, j.RestartCount, j.Config.Hostname, j.State.Error,
		}
		if got != tt.want || j.State.Running != (got.status == "running") {
			t.Errorf("%s: got %+v, want %+v", tt.ask, got, tt.want)
		}
	}

	j, err := c.ContainerInspect(ctx, p.Containers[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	if j.ResolvConfPath != p.Sandbox.ResolvConf || j.HostsPath != p.Sandbox.Hosts || len(j.Mounts) != 1 || !slices.Equal(j.Config.Env, []string{"A=b"}) {
		t.Errorf("got %s %s %+v %q", j.ResolvConfPath, j.HostsPath, j.Mounts, j.Config.Env)
	}
	if _, err := time.Parse(time.RFC3339Nano, j.State.StartedAt); err != nil || j.State.FinishedAt != "0001-01-01T00:00:00Z" {
		t.Errorf("started %q, finished %q", j.State.StartedAt, j.State.FinishedAt)
	}
	if j, err = c.ContainerInspect(ctx, "bare"); err != nil || j.NetworkSettings.Networks["bridge"].IPAddress != bare.Netns().IP.String() {
		t.Errorf("address of bare: %+v, %v", j.NetworkSettings.Networks, err)
	}
	if _, err := c.ContainerInspect(ctx, "nobody"); !cerrdefs.IsNotFound(err) {
		t.Errorf("unknown container: %v", err)
	}
}

func TestEngineCountsDelaysAndHangs(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	e, c := engine(t, l.Node)
	e.AddSynthetic(1000)
	pod := l.Pod(t, lab.PodSpec{Name: "real"})

	all, err := c.ContainerList(t.Context(), container.ListOptions{})
	if err != nil || len(all) != 2001 {
		t.Fatalf("got %d containers, %v, want 2001", len(all), err)
	}
	one, err := c.ContainerList(t.Context(), container.ListOptions{Filters: filters.NewArgs(filters.Arg("label", "io.kubernetes.pod.name=synthetic-999"))})
	if err != nil || len(one) != 2 {
		t.Fatalf("got %d containers of synthetic-999, %v, want 2", len(one), err)
	}
	if _, err := c.ContainerInspect(t.Context(), pod.Sandbox.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ServerVersion(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := e.Requests(), map[string]int{"ping": 1, "list": 2, "inspect": 1, "version": 1}; !maps.Equal(got, want) {
		t.Errorf("got requests %v, want %v", got, want)
	}
	e.ResetRequests()
	if got := e.Requests(); len(got) != 0 {
		t.Errorf("after a reset: %v", got)
	}

	const delay = 50 * time.Millisecond
	e.SetDelay(delay)
	began := time.Now()
	if _, err := c.ContainerInspect(t.Context(), pod.Sandbox.ID); err != nil || time.Since(began) < delay {
		t.Errorf("answer after %s, %v", time.Since(began), err)
	}
	e.SetDelay(0)

	e.SetHang(true)
	ctx, cancel := context.WithTimeout(t.Context(), delay)
	defer cancel()
	if _, err := c.ContainerInspect(ctx, pod.Sandbox.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("from an engine that hangs: %v", err)
	}
	e.SetHang(false)
	if _, err := c.ContainerInspect(t.Context(), pod.Sandbox.ID); err != nil {
		t.Errorf("after it hung: %v", err)
	}

	e.SetHang(true)
	failed, waiting := make(chan error, 1), dial(t, e)
	go func() {
		_, err := waiting.Ping(context.Background())
		failed <- err
	}()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("a closed engine answered")
	}
	if _, err := c.ContainerList(t.Context(), container.ListOptions{}); !client.IsErrConnectionFailed(err) {
		t.Errorf("closed engine: %v", err)
	}
}

func TestEngineVersions(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	e, _ := engine(t, l.Node)
	for version, ok := range map[string]bool{"1.24": true, "1.41": true, "1.47": true, "1.48": false, "2.0": false} {
		c, err := client.NewClientWithOpts(client.WithHost(e.Host()), client.WithVersion(version))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.ContainerList(t.Context(), container.ListOptions{})
		if ok != (err == nil) {
			t.Errorf("version %s: %v", version, err)
		}
		c.Close()
	}
}

func ExampleNode_Engine() {
	err := func() error {
		l, err := lab.New()
		if err != nil {
			return err
		}
		defer l.Close()
		if _, err := l.AddPod(lab.PodSpec{Name: "web-0", Namespace: "shop"}); err != nil {
			return err
		}
		e, err := l.Node.Engine()
		if err != nil {
			return err
		}
		docker, err := client.NewClientWithOpts(client.WithHost(e.Host()), client.WithAPIVersionNegotiation())
		if err != nil {
			return err
		}
		defer docker.Close()
		list, err := docker.ContainerList(context.Background(), container.ListOptions{})
		for _, c := range list {
			fmt.Println(c.State, c.Labels["io.kubernetes.pod.name"])
		}
		return err
	}()
	if err != nil {
		fmt.Println(err)
	}
	// Output: running web-0
}
