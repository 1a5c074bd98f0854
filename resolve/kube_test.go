package resolve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// What the API says of a pod in each of the states that a kubelet can bring it
// into.
func TestKubePods(t *testing.T) {
	t.Parallel()
	restarting := func(w Workload) bool {
		c := w.Containers[0]
		return c.State == StateRestarting && c.Waiting == "CrashLoopBackOff" && c.Reason == "OOMKilled" && *c.ExitCode == 137 && c.Restarts == 7 &&
			strings.HasPrefix(c.Message, "back-off 5m0s") && len(c.ID) == idLength && !w.alive()
	}
	tests := map[string]struct {
		phase, reason string
		ready         bool
		is            func(Workload) bool
	}{
		"running": {phaseRunning, "", true, func(w Workload) bool {
			return w.Node == "node-1" && w.Containers[0].State == StateRunning && *w.Containers[0].Ready && w.DefaultContainer == "app" &&
				slices.Equal(w.Status.PodIPs, []string{"10.244.1.10", "fd00::1:a"}) && slices.Equal(w.Status.HostIPs, []string{"10.0.0.1"}) &&
				slices.Equal(w.Status.Owner, []Owner{{"ReplicaSet", "web-7d4b9c6f5"}, {"Deployment", "web"}}) && len(w.Status.Conditions) == 0
		}},
		"unschedulable": {phasePending, "Unschedulable", false, func(w Workload) bool {
			return w.Node == "" && strings.HasPrefix(w.Status.Message, "0/3 nodes are available")
		}},
		"gated": {phasePending, "SchedulingGated", false, func(w Workload) bool { return w.Node == "" }},
		"image": {phasePending, "", false, func(w Workload) bool {
			c := w.Containers[0]
			return c.State == StateWaiting && c.Waiting == "ImagePullBackOff" && c.ID == "" && c.severity() == 1
		}},
		"creating": {phasePending, "", false, func(w Workload) bool {
			_, no := w.Status.condition(conditionSandbox)
			return no && w.Containers[0].Waiting == "ContainerCreating" && w.Containers[0].severity() == 2
		}},
		"init-running": {phasePending, "", false, func(w Workload) bool {
			app, setup := w.Containers[0], w.Containers[1]
			return setup.Kind == KindInit && setup.State == StateRunning && app.Waiting == "PodInitializing" && w.alive()
		}},
		"init-failing": {phasePending, "", false, func(w Workload) bool {
			setup := w.Containers[1]
			return setup.State == StateRestarting && setup.Restarts == 3 && *setup.ExitCode == 1 && setup.severity() == 0
		}},
		"crashing":  {phaseRunning, "", false, restarting},
		"completed": {phaseSucceeded, "", false, func(w Workload) bool { return w.Containers[0].Reason == reasonCompleted && w.severity() == 4 }},
		"failed": {phaseFailed, "", false, func(w Workload) bool {
			c := w.Containers[0]
			return *c.ExitCode == 3 && c.State == StateExited && !strings.ContainsAny(c.Message, "\u202e\x1b")
		}},
		"evicted": {phaseFailed, "Evicted", false, func(w Workload) bool {
			return strings.HasPrefix(w.Status.Message, "The node was low on resource: memory.") && w.Status.Conditions[0].Type == "DisruptionTarget"
		}},
		"terminating": {phaseRunning, "", true, func(w Workload) bool { return w.Status.Deleted.Equal(time.Date(2026, 11, 25, 22, 0, 0, 0, time.UTC)) }},
		"static": {phaseRunning, "", true, func(w Workload) bool {
			return w.Status.Static && w.UID == "0123456789abcdef0123456789abcdef" && w.HostNetwork
		}},
		"helpers": {phaseRunning, "", true, func(w Workload) bool {
			var kinds []string
			for _, c := range w.Containers {
				kinds = append(kinds, c.Name+":"+string(c.Kind))
			}
			return w.DefaultContainer == "app" && w.Status.ShareProcesses &&
				slices.Equal(kinds, []string{"proxy:", "app:", "logs:sidecar", "setup:init", "debugger:ephemeral"})
		}},
		"elsewhere": {phaseRunning, "", true, func(w Workload) bool { return w.Node == "node-2" }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := recorded(t, name)
			api := newKubeAPI(t, o)
			w := api.exactPod(t, Query{Pod: o.meta().string("name"), Namespace: o.meta().string("namespace")})
			if w.Source != "kubernetes" || w.Pod != o.meta().string("name") || w.Namespace != o.meta().string("namespace") || w.Status.Created.IsZero() {
				t.Errorf("names are %+v", w)
			}
			if w.Status.Phase != test.phase || w.Status.Reason != test.reason || w.Status.Ready != test.ready || !test.is(w) {
				t.Errorf("got %+v\nstatus %+v", w, w.Status)
			}
		})
	}
}

// The file of a static pod may give it a UID, which is then that of the runtime, and
// what the annotation says instead of a hash.
func TestKubeStaticPodWithItsOwnUID(t *testing.T) {
	t.Parallel()
	const own = "11111111-2222-4333-8444-555555555555"
	for said, want := range map[string]string{own: own, "../" + own[3:]: "99a0fcea-bc92-4094-ad24-9a6f838da319", "": "99a0fcea-bc92-4094-ad24-9a6f838da319"} {
		o := recorded(t, "static")
		o.meta()["annotations"].(map[string]any)[annotationHash] = said
		w := newKubeAPI(t, o).exactPod(t, Query{Pod: o.meta().string("name"), Namespace: o.meta().string("namespace")})
		if w.UID != want {
			t.Errorf("%q: UID %q, want %q", said, w.UID, want)
		}
	}
}

func TestKubeWaysToAPod(t *testing.T) {
	t.Parallel()
	o := recorded(t, "running")
	name, uid := o.meta().string("name"), o.meta().string("uid")
	other := recorded(t, "running")
	other.meta()["namespace"], other.meta()["uid"] = "prod", "11111111-2222-4333-8444-555555555555"
	api := newKubeAPI(t, o, other)
	tests := map[string]struct {
		query Query
		pods  int
		asks  []string
	}{
		"name and namespace": {Query{Pod: name, Namespace: "shop"}, 1, []string{"get pods"}},
		"name":               {Query{Pod: name}, 2, []string{"list pods"}},
		"UID":                {Query{Pod: uid}, 1, []string{"list pods"}},
		"no such name":       {Query{Pod: "nobody"}, 0, []string{"list pods"}},
		"no such namespace":  {Query{Pod: name, Namespace: "none"}, 0, []string{"get pods"}},
		"described":          {Query{Pod: name, Namespace: "shop", Describe: true}, 1, []string{"get nodes", "get pods", "list services"}},
	}
	for name, test := range tests { // one after the other, as they count
		ws, err := api.kube.Exact(t.Context(), test.query)
		if err != nil || len(ws) != test.pods {
			t.Errorf("%s: got %d pods, %v", name, len(ws), err)
		}
		if asked := api.asked(); !slices.Equal(asked, test.asks) {
			t.Errorf("%s: asked for %q, want %q", name, asked, test.asks)
		}
	}
	if _, err := api.kube.Exact(t.Context(), Query{Container: "app"}); !errors.Is(err, ErrCannotTell) {
		t.Errorf("a container: %v", err)
	}
}

func TestKubeDetails(t *testing.T) {
	t.Parallel()
	service := func(name, namespace, selector string) object {
		return made(t, `{"kind":"Service","metadata":{"name":%q,"namespace":%q},"spec":{"selector":%s}}`, name, namespace, selector)
	}
	event := func(pod object, reason, message, at string) object {
		return made(t, `{"kind":"Event","type":"Warning","metadata":{"name":%q,"namespace":"shop"},"reason":%q,"message":%q,"lastTimestamp":%q,"eventTime":null,"involvedObject":{"uid":%q}}`,
			reason, reason, message, at, pod.meta().string("uid"))
	}
	web, creating := recorded(t, "running"), recorded(t, "creating")
	api := newKubeAPI(t, web, creating,
		service("web", "shop", `{"app":"web"}`), service("all", "shop", `null`), service("other", "shop", `{"app":"web","tier":"db"}`), service("web", "prod", `{"app":"web"}`),
		event(creating, "FailedMount", "older", "2026-11-25T21:01:00Z"),
		event(creating, "FailedCreatePodSandBox", "plugin type=\"bridge\" failed (add): no IP addresses available", "2026-11-25T21:02:00Z"),
		event(web, "Unhealthy", "not asked for", "2026-11-25T21:03:00Z"),
		made(t, `{"kind":"Node","metadata":{"name":%q},"status":{"conditions":[{"type":"DiskPressure","status":"False"},{"type":"Ready","status":"True"}]}}`, web.string("spec", "nodeName")),
	)
	if w := api.exactPod(t, Query{Pod: web.meta().string("name"), Namespace: "shop", Describe: true}); !slices.Equal(w.Status.Services, []string{"web"}) || w.Status.Reason != "" {
		t.Errorf("status is %+v", w.Status)
	}
	if w := api.exactPod(t, Query{Pod: "nonet"}); w.Status.Reason != "FailedCreatePodSandBox" || !strings.Contains(w.Status.Message, "no IP addresses") {
		t.Errorf("status is %+v", w.Status)
	}
	// Neither is needed.
	api.deny("list services in shop", "list events in shop")
	if w := api.exactPod(t, Query{Pod: "nonet", Describe: true}); w.Status.Services != nil || w.Status.Reason != "" {
		t.Errorf("status is %+v", w.Status)
	}
}

// What has happened to a pod that runs, and to its node.
func TestKubeUnwell(t *testing.T) {
	t.Parallel()
	node := func(status string) object {
		return made(t, `{"kind":"Node","metadata":{"name":"node-1"},"status":{"conditions":[{"type":"Ready","status":%q,"reason":"Because","lastTransitionTime":"2026-11-25T21:00:00Z"}]}}`, status)
	}
	event := func(reason string, age time.Duration) object {
		return made(t, `{"kind":"Event","type":"Warning","metadata":{"name":%q,"namespace":"shop"},"reason":%q,"message":"m of %s","lastTimestamp":%q,"involvedObject":{"uid":"u-1"}}`,
			reason, reason, reason, time.Now().Add(-age).UTC().Format(time.RFC3339))
	}
	unready := `{"type":"Ready","status":"False","reason":"ContainersNotReady"}`
	for name, test := range map[string]struct {
		condition string
		restarted time.Duration // ago, 0 for never
		events    []object
		node      object
		reason    string
		nodeIs    string
	}{
		"well":                 {`{"type":"Ready","status":"True"}`, 0, []object{event("Unhealthy", time.Minute)}, node("True"), "", ""},
		"a probe fails":        {unready, 0, []object{event("BackOff", time.Second), event("Unhealthy", time.Minute)}, node("True"), "Unhealthy", ""},
		"it failed long ago":   {unready, 0, []object{event("Unhealthy", 20*time.Minute)}, node("True"), "", ""},
		"restarted by a probe": {`{"type":"Ready","status":"True"}`, time.Minute, []object{event("Unhealthy", time.Minute)}, node("True"), "Unhealthy", ""},
		"no node like it":      {unready, 0, nil, made(t, `{"kind":"Node","metadata":{"name":"node-2"}}`), "", ""},
		"the kubelet is gone":  {unready, 0, nil, node("Unknown"), "", "Unknown"},
		"the node is not well": {unready, 0, nil, node("False"), "", "False"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last, restarts := `{}`, 0
			if test.restarted > 0 {
				last, restarts = fmt.Sprintf(`{"terminated":{"exitCode":137,"finishedAt":%q}}`, time.Now().Add(-test.restarted).UTC().Format(time.RFC3339)), 1
			}
			p := made(t, `{"kind":"Pod","metadata":{"name":"web-0","namespace":"shop","uid":"u-1"},"spec":{"nodeName":"node-1","containers":[{"name":"app"}]},
				"status":{"phase":"Running","conditions":[%s],"containerStatuses":[{"name":"app","ready":true,"restartCount":%d,"state":{"running":{"startedAt":"2026-11-25T21:00:00Z"}},"lastState":%s}]}}`,
				test.condition, restarts, last)
			api := newKubeAPI(t, append(test.events, p, test.node)...)
			s := api.exactPod(t, Query{Pod: "web-0", Namespace: "shop", Describe: true}).Status
			if s.Reason != test.reason || (s.Message == "m of "+test.reason) != (test.reason != "") {
				t.Errorf("got %q, %q, want %q", s.Reason, s.Message, test.reason)
			}
			listed, err := api.kube.List(t.Context())
			if err != nil || len(listed) != 1 {
				t.Fatalf("got %d pods, %v", len(listed), err)
			}
			for _, n := range []*Condition{s.Node, listed[0].Status.Node} {
				if (n != nil) != (test.nodeIs != "") || n != nil && (n.Status != test.nodeIs || n.Reason != "Because" || n.Since.IsZero()) {
					t.Errorf("the node is %+v, want %q", n, test.nodeIs)
				}
			}
			if troubled := listed[0].Troubled(); troubled != (name != "well") {
				t.Errorf("troubled: %v", troubled)
			}
		})
	}
}

// Who may see one namespace only, sees that of the context.
func TestKubeOneNamespace(t *testing.T) {
	t.Parallel()
	o := recorded(t, "running")
	api := newKubeAPI(t, o)
	api.deny("list pods")
	if w := api.exactPod(t, Query{Pod: o.meta().string("name")}); w.Namespace != "shop" {
		t.Errorf("got %+v", w)
	}
	if ws, err := api.kube.List(t.Context()); err != nil || len(ws) != 1 {
		t.Errorf("list: %d pods, %v", len(ws), err)
	}
	if says := failing(t, api.kube, Query{Pod: "nobody"}); !strings.Contains(says, "not allowed to list pods in all namespaces") {
		t.Errorf("says %q", says)
	}
	api.deny("get pods in prod")
	if says := failing(t, api.kube, Query{Pod: "x", Namespace: "prod"}); !strings.Contains(says, "not allowed to get pods in namespace prod") {
		t.Errorf("says %q", says)
	}
}

func TestKubeTrouble(t *testing.T) {
	t.Parallel()
	q := Query{Pod: "web-0", Namespace: "shop"}
	answers := func(code int, contentType, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
			return true
		}
	}
	const status = `{"kind":"Status","reason":%q,"message":"m","code":0}`
	tests := map[string]struct {
		instead func(http.ResponseWriter, *http.Request) bool
		says    string
	}{
		"web page":          {answers(200, "text/html", "<html>welcome</html>"), "no Kubernetes API"},
		"no such page":      {answers(404, "text/html", "<html>nothing here</html>"), "no Kubernetes API answers there (HTTP status 404)"},
		"no such resource":  {answers(404, "text/plain", "404 page not found\n"), "no Kubernetes API answers there (HTTP status 404)"},
		"forbidden by gate": {answers(403, "text/plain", "go away"), "no Kubernetes API answers there (HTTP status 403)"},
		"empty":             {answers(200, "application/json", ""), "no Kubernetes API"},
		"other JSON":        {answers(200, "application/json", `{"hello":1}`), "without a kind"},
		"wrong types":       {answers(200, "application/json", `{"kind":"Pod","metadata":{"name":7}}`), "no Kubernetes API"},
		"cut off":           {answers(200, "application/json", `{"kind":"Pod","metadata":{`), "no Kubernetes API"},
		"overloaded":        {answers(429, "application/json", strings.Replace(status, "%q", `"TooManyRequests"`, 1)), "cannot get pods in namespace shop (HTTP status 429)"},
		"credentials":       {answers(401, "application/json", strings.Replace(status, "%q", `"Unauthorized"`, 1)), "does not accept the credentials"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, "https://elsewhere.example/", http.StatusFound)
			return true
		}, "redirects elsewhere"},
		"hangs up": {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, "cannot be reached"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := newKubeAPI(t)
			api.instead = test.instead
			if says := failing(t, api.kube, q); !strings.Contains(says, test.says) || strings.Contains(says, kubeKnock) {
				t.Errorf("says %q, want %q", says, test.says)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		api := newKubeAPI(t)
		api.Close()
		if says := failing(t, api.kube, q); !strings.Contains(says, "cannot be reached") || !strings.Contains(says, "refused") {
			t.Errorf("says %q", says)
		}
	})
	t.Run("another cluster", func(t *testing.T) {
		t.Parallel()
		api, other := newKubeAPI(t), newKubeAPI(t)
		data, err := os.ReadFile(api.config(t))
		if err != nil {
			t.Fatal(err)
		}
		// httptest serves one certificate everywhere; so the other one's name is asked for.
		path := writeFile(t, "config", strings.Replace(string(data), "server: ", `tls-server-name: other.invalid, server: `, 1))
		if says := failing(t, other.source(t, KubeOptions{Config: path}), q); !strings.Contains(says, "another certificate") {
			t.Errorf("says %q", says)
		}
	})
	t.Run("endless answer", func(t *testing.T) {
		t.Parallel()
		api := newKubeAPI(t)
		api.instead = func(w http.ResponseWriter, _ *http.Request) bool {
			_, _ = io.WriteString(w, `{"kind":"Pod","x":"`)
			for junk := strings.Repeat("x", 1<<20); ; {
				if _, err := io.WriteString(w, junk); err != nil {
					return true
				}
			}
		}
		if says := failing(t, api.kube, q); !strings.Contains(says, "longer than") {
			t.Errorf("says %q", says)
		}
	})
	t.Run("objects that cannot be", func(t *testing.T) {
		t.Parallel()
		api := newKubeAPI(t, made(t, `{"kind":"Pod","metadata":{"name":"web-0","namespace":"../etc","uid":"u"}}`),
			made(t, `{"kind":"Pod","metadata":{"name":"web-0","namespace":"shop","uid":"u"},"spec":{"nodeName":"-oProxyCommand=x"}}`),
			made(t, `{"kind":"Pod","metadata":{"name":"web-0","namespace":"fine"},"spec":{"containers":[{"name":"a\u001bb"}]},"status":{"phase":"so so","reason":"two words"}}`))
		w := api.exactPod(t, Query{Pod: "web-0"})
		if w.Namespace != "fine" || w.Containers[0].Name != "" || w.Status.Phase != "" || w.Status.Reason != "" {
			t.Errorf("got %+v %+v", w, w.Status)
		}
	})
}

// A hung API holds up nobody for longer than he has, and is asked anew, over a
// new connection, once it is well.
func TestKubeHung(t *testing.T) {
	t.Parallel()
	api := newKubeAPI(t, recorded(t, "running"))
	api.instead = func(_ http.ResponseWriter, r *http.Request) bool {
		<-r.Context().Done()
		return true
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := api.kube.Exact(ctx, Query{Pod: "web"})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not answer in time") {
		t.Errorf("got %v", err)
	}
	api.mu.Lock()
	api.instead = nil
	api.mu.Unlock()
	if ws, err := api.kube.List(t.Context()); err != nil || len(ws) != 1 {
		t.Errorf("afterwards: %d pods, %v", len(ws), err)
	}
}

// The number of requests for one of five thousand pods is that for one of one,
// and a list of them all comes in pages.
func TestKubeMany(t *testing.T) {
	t.Parallel()
	const many = 5000
	api := newKubeAPI(t)
	var pods []object
	for i := range many {
		pods = append(pods, made(t, `{"kind":"Pod","metadata":{"name":"web-%d","namespace":"shop","uid":"%08d-0000-4000-8000-000000000000"},"status":{"phase":"Running"}}`, i, i))
	}
	api.add(pods...)
	for _, q := range []Query{{Pod: "web-4321"}, {Pod: "web-4321", Namespace: "shop"}} {
		api.exactPod(t, q)
		if asked := api.asked(); len(asked) != 1 {
			t.Errorf("%+v: asked for %q", q, asked)
		}
	}
	ws, err := api.kube.List(t.Context())
	if asked := api.asked(); err != nil || len(ws) != many || len(asked) != many/kubePage+1 { // and the nodes
		t.Errorf("got %d pods by %d requests, %v", len(ws), len(asked), err)
	}
	api.exactPod(t, Query{Pod: "00000700-0000-4000-8000-000000000000"})
	if asked := api.asked(); len(asked) != 2 {
		t.Errorf("by UID: asked for %q", asked)
	}
}

func TestKubeThisNode(t *testing.T) {
	t.Parallel()
	const boot, id = "5a1f0c3e-9b7d-4e21-8f60-1c2d3e4f5a6b", "0123456789abcdef0123456789abcdef"
	root := t.TempDir()
	for name, content := range map[string]string{"proc/sys/kernel/random/boot_id": boot + "\n", "etc/machine-id": id + "\n"} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	node := func(name, boot, id string) object {
		return made(t, `{"kind":"Node","metadata":{"name":%q},"status":{"nodeInfo":{"bootID":%q,"machineID":%q}}}`, name, boot, id)
	}
	api := newKubeAPI(t)
	for i := range kubePage {
		api.add(node("far-"+strconv.Itoa(i), "00000000-0000-4000-8000-000000000000", ""))
	}
	api.kube.options.Root = root
	if name, err := api.kube.ThisNode(t.Context()); err != nil || name != "" {
		t.Errorf("of another cluster: got %q, %v", name, err)
	}
	api.add(node("kind-worker", boot, strings.Repeat("9", 32)), node("me", strings.ToUpper(boot), id))
	api.asked()
	if name, err := api.kube.ThisNode(t.Context()); err != nil || name != "me" {
		t.Errorf("got %q, %v", name, err)
	}
	if asked := api.asked(); !slices.Equal(asked, []string{"get nodes", "list nodes", "list nodes"}) {
		t.Errorf("asked for %q", asked)
	}
	for name, want := range map[string]Kinship{"me": ThisNode, "kind-worker": SameKernel, "far-1": Stranger, "nobody": Stranger} {
		if kin, err := api.kube.Kinship(t.Context(), name); err != nil || kin != want {
			t.Errorf("%s: got %v, %v, want %v", name, kin, err, want)
		}
	}
	if asked := api.asked(); !slices.Equal(asked, []string{"get nodes", "get nodes", "get nodes", "get nodes"}) {
		t.Errorf("asked for %q", asked)
	}
	// Where the machine has no ID of its own, either may be it.
	if err := os.Remove(filepath.Join(root, "etc/machine-id")); err != nil {
		t.Fatal(err)
	}
	if name, err := api.kube.ThisNode(t.Context()); err != nil || name != "" {
		t.Errorf("without a machine ID: got %q, %v", name, err)
	}
	for _, name := range []string{"me", "kind-worker"} {
		if kin, err := api.kube.Kinship(t.Context(), name); err != nil || kin != SameKernel {
			t.Errorf("%s without a machine ID: got %v, %v", name, kin, err)
		}
	}
	alone := newKubeAPI(t, node("me", boot, id))
	alone.kube.options.Root = root
	if name, err := alone.kube.ThisNode(t.Context()); err != nil || name != "me" {
		t.Errorf("the only one of this kernel: got %q, %v", name, err)
	}
}

// A list without an end is cut, and said to be.
func TestKubeListIsCut(t *testing.T) {
	t.Parallel()
	api := newKubeAPI(t)
	var pages atomic.Int64 // several lists are asked for at once
	api.instead = func(w http.ResponseWriter, _ *http.Request) bool {
		page := pages.Add(1)
		p := made(t, `{"metadata":{"name":"web-%d","namespace":"shop","uid":"u-%d"},"spec":{},"status":{}}`, page, page)
		data, err := json.Marshal(object{"kind": "PodList", "metadata": object{"continue": "more"}, "items": []object{p}})
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(data)
		return true
	}
	r := New(Config{Cluster: []Source{api.kube}})
	t.Cleanup(r.Close)
	r.limits.cluster = time.Minute
	list, err := r.Pods(t.Context(), true)
	if err != nil || list.Total != maxKubePages || !list.Everywhere {
		t.Fatalf("%d pods, %v, %+v", list.Total, err, list.Sources)
	}
	if s := list.Sources[len(list.Sources)-1]; s.State != stateOK || !strings.Contains(s.Error, "more than 20000 pods") {
		t.Errorf("got %+v", s)
	}
	// Not to be found among the first is not to be not there.
	if _, err := api.kube.Exact(t.Context(), Query{Pod: uidA}); !isCut(err) {
		t.Errorf("got %v", err)
	}
}

func FuzzMachine(f *testing.F) {
	f.Add("5a1f0c3e-9b7d-4e21-8f60-1c2d3e4f5a6b\n")
	f.Add("uninitialized\n")
	f.Add("0123456789abcdef0123456789abcdef")
	f.Fuzz(func(t *testing.T, s string) {
		if id, err := parseBootID(s); err == nil && !isUUID(id) {
			t.Errorf("boot ID %q of %q", id, s)
		}
		if id := parseMachineID(s); id != "" && (len(id) != 32 || !isHex(id)) {
			t.Errorf("machine ID %q of %q", id, s)
		}
	})
}

// Whatever an API sends as a pod, nothing of it but free text can hold more than
// words, and that no control characters.
func FuzzFromPod(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "kube", "*.json"))
	if err != nil || len(files) == 0 {
		f.Fatalf("%d recorded pods, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p kubePod
		if json.Unmarshal(data, &p) != nil {
			return
		}
		w, ok := fromPod(&p)
		if !ok {
			return
		}
		words := []string{w.Pod, w.Namespace, w.Node, w.Status.Phase, w.Status.Reason}
		texts := []string{w.UID, w.Status.Message, w.DefaultContainer}
		for _, c := range w.Containers {
			words, texts = append(words, c.Name, c.ID, c.Waiting, c.Reason), append(texts, c.Message, c.Image)
		}
		for _, o := range w.Status.Owner {
			words = append(words, o.Kind, o.Name)
		}
		for _, s := range words {
			if strings.ContainsAny(s, " \n\"'`$();&|") || !printable(s) {
				t.Errorf("%q is no word", s)
			}
		}
		for _, s := range texts {
			if !printable(s) || len(s) > maxPodText {
				t.Errorf("%q is not fit to be shown", s)
			}
		}
	})
}
