package resolve

import (
	"slices"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

func TestResolvePod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.Pod(t, lab.PodSpec{
		Name: "web-7d4b9-x2x1z", Namespace: "shop",
		Labels: map[string]string{labelDefault: "app"},
		Containers: []lab.ContainerSpec{
			{Name: "proxy", Files: lab.FileSpec{Extra: map[string]string{"etc/who": "proxy"}}},
			{Name: "app", Files: lab.FileSpec{Extra: map[string]string{"etc/who": "app"}}},
		},
	})
	w.Pod(t, lab.PodSpec{Name: "web-10", Namespace: "prod", Containers: []lab.ContainerSpec{{Name: "app"}}})
	app := web.Containers[1]

	queries := map[string]Query{
		"name":               {Pod: "web-7d4b9-x2x1z"},
		"namespace/name":     {Pod: "shop/web-7d4b9-x2x1z"},
		"name and namespace": {Pod: "web-7d4b9-x2x1z", Namespace: "shop"},
		"UID":                {Pod: web.UID},
		"deployment":         {Pod: "web-7d4b9"},
		"sandbox's name":     {Container: web.Sandbox.Name},
		"sandbox's ID":       {Container: web.Sandbox.ID},
	}
	for name, q := range queries {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := w.resolve(t, q)
			inside(t, target, web.Handle)
			if target.PID() != web.PID || target.Via != ViaSandbox || target.HostNetwork || target.Container != "" || target.NetnsPath != web.Path {
				t.Errorf("got pid %d via %s at %q", target.PID(), target.Via, target.NetnsPath)
			}
			if f := target.Workload; f.Pod != web.Name || f.Namespace != "shop" || f.UID != web.UID || f.Sandbox.PID != web.PID || len(f.Containers) != 2 {
				t.Errorf("workload is %+v", f)
			}
			if target.FilesFrom != "container app" || target.App.PID() != app.PID() {
				t.Errorf("files are those of %s, want the default container", target.FilesFrom)
			}
			reads(t, target, "/etc/who", "app")
			if got := noted(target, "prefix_match"); (got != "") != (name == "deployment") {
				t.Errorf("prefix_match is %q", got)
			}
			if target.Node != w.Node.Name {
				t.Errorf("node is %q", target.Node)
			}
		})
	}
	for name, q := range map[string]Query{
		"container of the pod":  {Pod: "web-7d4b9-x2x1z", Container: "proxy"},
		"container's full name": {Container: web.Containers[0].Name},
		"container's ID":        {Container: web.Containers[0].ID},
		"start of its ID":       {Container: web.Containers[0].ID[:12]},
		"name in its pod":       {Container: "proxy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := w.resolve(t, q)
			inside(t, target, web.Handle)
			if target.Via != ViaSandbox || target.Container != "proxy" || target.PID() != web.PID || target.App.PID() != web.Containers[0].PID() {
				t.Errorf("got container %q, pid %d via %s", target.Container, target.PID(), target.Via)
			}
			reads(t, target, "/etc/who", "proxy")
		})
	}
}

func TestResolvePodWhoseContainersCrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	crashing := w.Pod(t, lab.PodSpec{Name: "crash-0", Containers: []lab.ContainerSpec{{Name: "app", State: lab.Exited, ExitCode: 7, Restarts: 5}}})
	target := w.resolve(t, Query{Pod: "crash-0"})
	inside(t, target, crashing.Handle)
	if target.PID() != crashing.PID || target.Via != ViaSandbox {
		t.Errorf("entered by pid %d via %s, want the pause process %d", target.PID(), target.Via, crashing.PID)
	}
	c := target.Workload.Containers[0]
	if c.State != StateExited || c.ExitCode == nil || *c.ExitCode != 7 || c.Restarts != 5 || c.Reason != "Error" || c.PID != 0 {
		t.Errorf("container is %+v", c)
	}
	if got := noted(target, "container_not_running"); !strings.Contains(got, "app has exited (Error), exit code 7, restarted 5 times") {
		t.Errorf("note is %q", got)
	}
	if !strings.HasPrefix(target.FilesFrom, "sandbox") || noted(target, "files_from") == "" {
		t.Errorf("files are those of %q, without a note", target.FilesFrom)
	}
	// Asked for by its container, too, the network is that of the pod.
	target = w.resolve(t, Query{Pod: "crash-0", Container: "app"})
	inside(t, target, crashing.Handle)
	if target.Container != "app" {
		t.Errorf("container is %q", target.Container)
	}
	target = w.resolve(t, Query{Container: crashing.Containers[0].ID})
	inside(t, target, crashing.Handle)

	if err := crashing.Sandbox.Kill(); err != nil {
		t.Fatal(err)
	}
	if e := refused(t, w.resolver, Query{Pod: "crash-0"}, KindNotRunning); e.State != StateExited || !strings.Contains(e.Message, "sandbox of pod default/crash-0") {
		t.Errorf("got %+v", e)
	}
}

func TestResolveAmbiguous(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Pods(t, lab.PodSpec{Name: "api-0", Namespace: "shop"}, lab.PodSpec{Name: "api-0", Namespace: "prod"}, lab.PodSpec{Name: "web-10"})
	e := refused(t, w.resolver, Query{Pod: "api-0"}, KindAmbiguous)
	if len(e.Candidates) != 2 || e.Candidates[0].Namespace == e.Candidates[1].Namespace || e.Candidates[0].State != StateRunning {
		t.Errorf("candidates are %+v", e.Candidates)
	}
	target := w.resolve(t, Query{Pod: "prod/api-0"})
	if target.Workload.Namespace != "prod" {
		t.Errorf("entered %+v", target.Workload)
	}
	refused(t, w.resolver, Query{Pod: "api"}, KindAmbiguous)
	if e := refused(t, w.resolver, Query{Pod: "web-1"}, KindNotFound); !slices.Equal(e.NearMisses, []string{"default/web-10"}) {
		t.Errorf("near misses are %q", e.NearMisses)
	}
}

// A pod that was created again under its name, and one whose sandbox was.
// A pod of this node does not silently stand for its namesake on another node.
func TestResolveNamesakeElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	here := w.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop"})
	far := pod("other", "web-0")
	far.Node, far.UID = "node-2", "7a1c0d52-3f0e-4b6c-9c1e-2d5b8a9f0eff"
	api := knows("kubernetes", 0, far)
	r := w.resolverFor(t, Config{Sources: []Source{w.docker}, Cluster: []Source{api}})
	r.limits.identify, r.limits.patience = time.Minute, time.Minute // the machine may be busy
	inside(t, open(t, r, Query{Pod: "web-0"}), here.Handle)
	e := refused(t, r, Query{Pod: "web-0", Everywhere: true}, KindAmbiguous)
	if len(e.Candidates) != 2 || !slices.ContainsFunc(e.Candidates, func(c Candidate) bool { return c.Node == "node-2" && c.Namespace == "other" }) {
		t.Errorf("candidates are %+v", e.Candidates)
	}
	// Who can have pods of this node only is told that nobody else was asked.
	for q, code := range map[Query]string{
		{Pod: "web-0"}:                                      "this_node_only",
		{Pod: "shop/web-0"}:                                 "",
		{Pod: "shop/web-0", Everywhere: true}:               "",
		{Pod: "web-0", Namespace: "shop", Everywhere: true}: "",
		{Pod: here.UID}:                                     "",
	} {
		target := open(t, r, q)
		inside(t, target, here.Handle)
		if got := noted(target, "this_node_only"); (got != "") != (code != "") {
			t.Errorf("%+v: noted %q", q, got)
		}
	}
	if got := noted(open(t, r, Query{Pod: "web"}), "prefix_match"); !strings.Contains(got, "fits on this node is") {
		t.Errorf("noted %q", got)
	}
}

func TestResolveNewest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.Pod(t, lab.PodSpec{Name: "db-0"})
	if err := old.Sandbox.Kill(); err != nil {
		t.Fatal(err)
	}
	again := w.Pod(t, lab.PodSpec{Name: "db-0"})
	target := w.resolve(t, Query{Pod: "db-0"})
	inside(t, target, again.Handle)
	if noted(target, "older_pod") == "" {
		t.Errorf("no word of the older pod: %+v", target.Notes)
	}
	if err := again.Sandbox.Kill(); err != nil {
		t.Fatal(err)
	}
	third := w.Pod(t, lab.PodSpec{Name: "db-0", UID: again.UID, Attempt: 1})
	target = w.resolve(t, Query{Pod: "db-0"})
	inside(t, target, third.Handle)
	if len(target.Workload.Attempts) != 1 || target.Workload.Sandbox.Attempt != 1 || noted(target, "older_attempts") == "" {
		t.Errorf("attempts are %+v", target.Workload.Attempts)
	}
}

func TestResolveHostNetworkPod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "proxy", Namespace: "kube-system", Style: lab.HostNetwork, Containers: []lab.ContainerSpec{{Name: "proxy"}}})
	target := w.resolve(t, Query{Pod: "proxy"})
	inside(t, target, w.Node.Handle)
	if !target.HostNetwork || !target.Workload.HostNetwork || target.PID() != p.PID {
		t.Errorf("host network %v, pid %d", target.HostNetwork, target.PID())
	}
	closed := w.resolverFor(t, Config{Sources: []Source{w.docker}})
	for _, q := range []Query{{Pod: "proxy"}, {PID: &p.PID}, {Netns: "host"}} {
		refused(t, closed, q, KindHostNetworkDenied)
	}
}
