package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/resolve"
)

// cluster is a source that knows other nodes.
type cluster struct {
	pods   []resolve.Workload
	failed error
}

func (c *cluster) Name() string { return "kubernetes" }

func (c *cluster) Exact(context.Context, resolve.Query) ([]resolve.Workload, error) {
	return nil, c.failed
}

func (c *cluster) List(context.Context) ([]resolve.Workload, error) {
	return slices.Clone(c.pods), c.failed
}

// hostRoot makes a host's root directory with the processes of the lab's pods and
// containers in the cgroups that a runtime would give them, and the kubelet's
// logs.
func hostRoot(t *testing.T, pods []*lab.Pod, containers ...*lab.Container) string {
	t.Helper()
	root := t.TempDir()
	add := func(cgroup string, c *lab.Container) {
		pid := c.PID()
		if pid == 0 {
			return
		}
		dir := filepath.Join(root, "proc", strconv.Itoa(pid))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"ns", "root", "stat", "status", "environ"} {
			if err := os.Symlink(fmt.Sprintf("/proc/%d/%s", pid, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup"), []byte("0::"+cgroup+"/"+c.ID+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, p := range pods {
		add("/kubepods/pod"+p.UID, p.Sandbox)
		for _, c := range p.Containers {
			add("/kubepods/pod"+p.UID, c)
		}
		logs := filepath.Join(root, "var/log/pods", p.Namespace+"_"+p.Name+"_"+p.UID, "app")
		if err := os.MkdirAll(logs, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(logs, "0.log"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range containers {
		add("/docker", c)
	}
	return root
}

// listBench is a testbench whose node has files and cgroups, and a cluster around
// it.
func listBench(t *testing.T, around *cluster, fill func(*lab.Lab) ([]*lab.Pod, []*lab.Container)) *testbench {
	t.Helper()
	b := newTestbench(t, nil)
	pods, containers := fill(b.lab)
	root := hostRoot(t, pods, containers...)
	docker := resolve.NewDocker(resolve.DockerOptions{Host: b.engine.Host()})
	t.Cleanup(func() {
		if err := docker.Close(); err != nil {
			t.Error(err)
		}
	})
	resolver := resolve.New(resolve.Config{
		Home: b.lab.Home, Host: b.lab.Node.Handle, Root: root, Node: "node-1", AllowHostNetwork: true,
		Sources: []resolve.Source{docker, resolve.NewNodeFiles(b.lab.Home, root), resolve.NewCgroups(root)},
		Cluster: []resolve.Source{around},
	})
	t.Cleanup(resolver.Close)
	b.Env.Resolver, b.Env.Root = resolver, root
	return b
}

func rowsOf(out ListPodsOut) []string {
	var names []string
	for _, r := range out.Pods {
		names = append(names, r.Pod+r.Container)
	}
	return names
}

func TestListPods(t *testing.T) {
	t.Parallel()
	far := resolve.Workload{Source: "kubernetes", Pod: "far-0", Namespace: "shop", UID: "8c6b6c2e-5b0f-4a53-9a51-1d7c5f0e2f12", Node: "node-9",
		Containers: []resolve.Container{{Name: "app", State: resolve.StateRunning}}}
	var web *lab.Pod
	b := listBench(t, &cluster{pods: []resolve.Workload{far}}, func(l *lab.Lab) ([]*lab.Pod, []*lab.Container) {
		web = l.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}, {Name: "proxy"}}})
		crash := l.Pod(t, lab.PodSpec{Name: "crash-0", Namespace: "jobs", Containers: []lab.ContainerSpec{
			{Name: "app", State: lab.Exited, ExitCode: 3, Restarts: 7}, {Name: "side"}}})
		proxy := l.Pod(t, lab.PodSpec{Name: "proxy-x", Namespace: "kube-system", Style: lab.HostNetwork, Containers: []lab.ContainerSpec{{Name: "proxy"}}})
		db := l.Container(t, lab.ContainerSpec{Name: "db"})
		return []*lab.Pod{web, crash, proxy}, []*lab.Container{db}
	})

	t.Run("this node", func(t *testing.T) {
		t.Parallel()
		answer, out := succeed[ListPodsOut](t, b, "list_pods", nil)
		if got := rowsOf(out); !slices.Equal(got, []string{"jobs/crash-0", "db", "kube-system/proxy-x", "shop/web-0"}) || out.Total != 4 || out.Returned != 4 || out.Troubled != 1 {
			t.Fatalf("got %q, %+v", got, out)
		}
		crash, db, hosted, row := out.Pods[0], out.Pods[1], out.Pods[2], out.Pods[3]
		if crash.State != resolve.StateExited || crash.Reason != "Error" || crash.Running != "1/2" || crash.Restarts != 7 {
			t.Errorf("crashing: %+v", crash)
		}
		if row.Running != "2/2" || !slices.Contains(row.IP, web.IP.String()) || row.Node != "node-1" || !row.Here || row.Age == "" || row.HostNetwork {
			t.Errorf("healthy: %+v, want address %s", row, web.IP)
		}
		if !hosted.HostNetwork || len(hosted.IP) != 0 {
			t.Errorf("of the host: %+v", hosted)
		}
		if len(db.IP) != 1 || db.Image == "" {
			t.Errorf("without a pod: %+v", db)
		}
		if want := "4 pods and containers on this node; 1 in trouble: jobs/crash-0 (Error, 7 restarts)."; answer.Summary != want {
			t.Errorf("summary is %q, want %q", answer.Summary, want)
		}
		for _, next := range answer.Next {
			if got := b.call(t, next.Tool, next.Arguments); got.Error != nil || got.Target.Pod != "crash-0" {
				t.Errorf("%s %v: %+v", next.Tool, next.Arguments, got.Error)
			}
		}
		if len(answer.Next) != 2 {
			t.Errorf("next is %+v", answer.Next)
		}
	})
	for name, test := range map[string]struct {
		arguments map[string]any
		want      []string
		total     int
	}{
		"part of a name":       {map[string]any{"name": "eb-"}, []string{"shop/web-0"}, 1},
		"of a container":       {map[string]any{"name": "db"}, []string{"db"}, 1},
		"namespace":            {map[string]any{"namespace": "jobs"}, []string{"jobs/crash-0"}, 1},
		"problems":             {map[string]any{"problems": true}, []string{"jobs/crash-0"}, 1},
		"this node by name":    {map[string]any{"node": "node-1", "namespace": "shop"}, []string{"shop/web-0"}, 1},
		"all nodes":            {map[string]any{"all_nodes": true, "namespace": "shop"}, []string{"shop/far-0", "shop/web-0"}, 2},
		"another node":         {map[string]any{"node": "node-9"}, []string{"shop/far-0"}, 1},
		"first rows":           {map[string]any{"limit": 2}, []string{"jobs/crash-0", "db"}, 4},
		"next rows":            {map[string]any{"limit": 2, "offset": 2}, []string{"kube-system/proxy-x", "shop/web-0"}, 4},
		"behind the last":      {map[string]any{"offset": 9}, nil, 4},
		"nothing of that name": {map[string]any{"name": "nope"}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			answer, out := succeed[ListPodsOut](t, b, "list_pods", test.arguments)
			if got := rowsOf(out); !slices.Equal(got, test.want) || out.Total != test.total || out.Returned != len(test.want) {
				t.Errorf("got %q of %d", got, out.Total)
			}
			for _, r := range out.Pods {
				if r.Here == (r.Node == "node-9") {
					t.Errorf("%s on %s is here: %v", r.Pod, r.Node, r.Here)
				}
			}
			noted := func(code string) bool {
				return slices.ContainsFunc(answer.Notes, func(n dispatch.Note) bool { return n.Code == code })
			}
			if noted("more_rows") != (name == "first rows") || noted("offset_beyond_end") != (name == "behind the last") {
				t.Errorf("notes are %+v", answer.Notes)
			}
		})
	}
	t.Run("bad input", func(t *testing.T) {
		t.Parallel()
		for _, bad := range []map[string]any{{"limit": 201}, {"offset": -1}} {
			fail(t, b, dispatch.CodeInvalidArguments, "list_pods", bad)
		}
		fail(t, b, dispatch.CodeUnknownArgument, "list_pods", map[string]any{"namespce": "shop"})
	})
}

// Where no API answers, a list of all nodes is one of this node and says so.
func TestListPodsWithoutCluster(t *testing.T) {
	t.Parallel()
	b := listBench(t, &cluster{failed: errors.New("connection refused")}, func(l *lab.Lab) ([]*lab.Pod, []*lab.Container) {
		return []*lab.Pod{l.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})}, nil
	})
	answer, out := succeed[ListPodsOut](t, b, "list_pods", map[string]any{"all_nodes": true})
	if len(out.Pods) != 1 || !strings.Contains(answer.Summary, "on this node") || !strings.Contains(answer.Summary, "kubernetes could not be asked") {
		t.Errorf("%s %+v", answer.Summary, out)
	}
	if !slices.ContainsFunc(answer.Notes, func(n dispatch.Note) bool {
		return n.Code == "this_node_only" && strings.Contains(n.Message, "did not answer")
	}) {
		t.Errorf("notes are %+v", answer.Notes)
	}
}

// Of another node only an API knows: without one, that none fit would be wrong.
func TestListPodsOfAnotherNodeWithoutCluster(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failed       error
		message, try string
	}{
		"no answer": {errors.New("connection refused"), "the Kubernetes API did not answer", "call again"},
		"none":      {resolve.ErrAbsent, "this is node node-1, and no Kubernetes API is configured", "--kubeconfig"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := listBench(t, &cluster{failed: c.failed}, func(l *lab.Lab) ([]*lab.Pod, []*lab.Container) {
				return []*lab.Pod{l.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})}, nil
			})
			err := fail(t, b, string(resolve.KindSource), "list_pods", map[string]any{"node": "foo"})
			if !strings.Contains(err.Message, c.message) || !strings.Contains(err.Hint, c.try) {
				t.Errorf("%q, %q", err.Message, err.Hint)
			}
			if _, out := succeed[ListPodsOut](t, b, "list_pods", map[string]any{"node": "node-1"}); len(out.Pods) != 1 {
				t.Errorf("this node by name: %+v", out)
			}
		})
	}
}

// Without a runtime and without an API the list is empty, and says what to do
// instead of repeating who is not here.
func TestListPodsWithoutRuntime(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, nil)
	root := hostRoot(t, nil)
	runtimes, err := resolve.NewCRI(resolve.CRIOptions{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	var sources []resolve.Source
	for _, r := range runtimes {
		sources = append(sources, r)
	}
	resolver := resolve.New(resolve.Config{
		Home: b.lab.Home, Host: b.lab.Node.Handle, Root: root,
		Sources: append(sources, resolve.NewNodeFiles(b.lab.Home, filepath.Join(root, "none")), resolve.NewCgroups(root)),
		Cluster: []resolve.Source{&cluster{failed: resolve.ErrAbsent}},
	})
	t.Cleanup(resolver.Close)
	b.Env.Resolver = resolver
	answer, out := succeed[ListPodsOut](t, b, "list_pods", map[string]any{"all_nodes": true})
	var names []string
	for _, s := range out.Sources {
		names = append(names, s.Name)
	}
	if want := []string{"cri", "files", "cgroup", "kubernetes"}; len(out.Pods) != 0 || !slices.Equal(names, want) {
		t.Errorf("pods %+v, sources %v, want %v", out.Pods, names, want)
	}
	for code, says := range map[string]string{"no_runtime": "--runtime-endpoint", "this_node_only": "no Kubernetes API is configured"} {
		if !slices.ContainsFunc(answer.Notes, func(n dispatch.Note) bool { return n.Code == code && strings.Contains(n.Message, says) }) {
			t.Errorf("no note %s with %q in %+v", code, says, answer.Notes)
		}
	}
	inventory, _ := succeed[ResolvePodPIDOut](t, b, "resolve_pod_pid", nil)
	if !slices.ContainsFunc(inventory.Notes, func(n dispatch.Note) bool { return n.Code == "no_runtime" }) {
		t.Errorf("notes are %+v", inventory.Notes)
	}
	if len(inventory.Next) != 2 || inventory.Next[0].Tool != "list_pods" || inventory.Next[1].Arguments["netns"] != "host" {
		t.Errorf("next is %+v", inventory.Next)
	}
}

// On a machine that is no node the cluster is asked without being told to.
func TestListPodsFromAfar(t *testing.T) {
	t.Parallel()
	far := resolve.Workload{Source: "kubernetes", Pod: "far-0", Namespace: "shop", Node: "node-9",
		Containers: []resolve.Container{{Name: "app", State: resolve.StateExited, Reason: "CrashLoopBackOff", Restarts: 3}}}
	b := newTestbench(t, nil)
	root := t.TempDir()
	resolver := resolve.New(resolve.Config{
		Home: b.lab.Home, Host: b.lab.Node.Handle, Root: root,
		Sources: []resolve.Source{resolve.NewNodeFiles(b.lab.Home, root)}, Cluster: []resolve.Source{&cluster{pods: []resolve.Workload{far}}},
	})
	t.Cleanup(resolver.Close)
	b.Env.Resolver = resolver
	answer, out := succeed[ListPodsOut](t, b, "list_pods", nil)
	if len(out.Pods) != 1 || out.Pods[0].Here || out.Pods[0].Node != "node-9" || !strings.Contains(answer.Summary, "in the cluster") {
		t.Errorf("%s %+v", answer.Summary, out)
	}
	if len(answer.Next) != 1 || answer.Next[0].Tool != "resolve_pod_pid" {
		t.Errorf("next is %+v", answer.Next)
	}
}

// A pod that runs and is not ready gets no traffic, which is trouble.
func TestListPodsThatAreNotReady(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	pod := func(name string, ready *bool) resolve.Workload {
		return resolve.Workload{
			Source: "kubernetes", Pod: name, Namespace: "shop", UID: name, Node: "node-9",
			Status:     &resolve.PodStatus{Phase: "Running", Ready: *ready, PodIPs: []string{"10.244.9.9"}},
			Containers: []resolve.Container{{Name: "app", State: resolve.StateRunning, Ready: ready}, {Name: "side", State: resolve.StateRunning, Ready: &yes}},
		}
	}
	around := &cluster{pods: []resolve.Workload{pod("a-0", &yes), pod("b-0", &no)}}
	b := listBench(t, around, func(*lab.Lab) ([]*lab.Pod, []*lab.Container) { return nil, nil })
	_, out := succeed[ListPodsOut](t, b, "list_pods", map[string]any{"all_nodes": true})
	if len(out.Pods) != 2 || out.Troubled != 1 || out.Pods[0].Pod != "shop/b-0" || out.Pods[0].Ready != "1/2" || out.Pods[0].Running != "2/2" || out.Pods[1].Ready != "2/2" {
		t.Errorf("got %+v", out)
	}
}

// The largest answer stays within bounds, and so does what is looked at for it.
func TestListPodsIsBounded(t *testing.T) {
	t.Parallel()
	around, failed := &cluster{}, 1
	for i := range 5000 {
		around.pods = append(around.pods, resolve.Workload{
			Source: "kubernetes", Pod: fmt.Sprintf("%s-%d", strings.Repeat("web", 15), i), Namespace: "namespace", UID: strconv.Itoa(i), Node: "node-9",
			Containers: []resolve.Container{{Name: "app", State: resolve.StateExited, Reason: "Error", ExitCode: &failed, Restarts: i}},
		})
	}
	b := listBench(t, around, func(*lab.Lab) ([]*lab.Pod, []*lab.Container) { return nil, nil })
	arguments := map[string]any{"all_nodes": true, "limit": 200, "offset": 100}
	answer, out := succeed[ListPodsOut](t, b, "list_pods", arguments)
	if out.Total != 5000 || out.Returned != 200 || out.Troubled != 5000 {
		t.Errorf("%d of %d, %d in trouble", out.Returned, out.Total, out.Troubled)
	}
	if data, err := json.Marshal(answer); err != nil || len(data) > 64<<10 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
	delete(arguments, "limit")
	answer, _ = succeed[ListPodsOut](t, b, "list_pods", arguments)
	if data, err := json.Marshal(answer); err != nil || len(data) > 8<<10 {
		t.Errorf("%d bytes by default, %v", len(data), err)
	}
}

func TestAge(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 119 * time.Second: "119s", 2 * time.Minute: "2m", 179 * time.Minute: "179m", 3 * time.Hour: "3h",
		47 * time.Hour: "47h", 2 * day: "2d", 51 * time.Hour: "2d3h", 8*day + time.Hour: "8d", 400 * day: "400d",
	} {
		if got := age(d); got != want {
			t.Errorf("%s: got %q, want %q", d, got, want)
		}
	}
}
