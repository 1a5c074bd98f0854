package resolve

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

// withAPI is a resolver for the lab's node that asks an API as well.
func (w *world) withAPI(t *testing.T, api *kubeAPI, root string) *Resolver {
	t.Helper()
	r := w.resolverFor(t, Config{Sources: []Source{w.docker}, Cluster: []Source{api.kube}, AllowHostNetwork: true, Root: root})
	r.limits.identify = time.Minute
	return r
}

// onNode puts a recorded pod on a node.
func onNode(o object, node string) object {
	spec, _ := o["spec"].(map[string]any)
	spec["nodeName"] = node
	return o
}

// Why a pod that only the API knows cannot be entered, each state in its own
// words.
func TestResolveByAPIRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tests := map[string]struct {
		kind          Kind
		says, untrust string
	}{
		"unschedulable": {KindNoSandbox, "has no node yet (Unschedulable)", "0/3 nodes are available"},
		"gated":         {KindNoSandbox, "carries scheduling gates", "Scheduling is blocked"},
		"creating":      {KindNoSandbox, "could not make its sandbox (FailedCreatePodSandBox)", "no IP addresses"},
		"completed":     {KindNotRunning, "has ended well on node node-1 (Completed); it belongs to Job migrate", ""},
		"failed":        {KindNotRunning, "has failed on node node-1: container app has exited (Error), exit code 3", ""},
		"evicted":       {KindNotRunning, "was evicted on node node-1, so nothing of it runs; it belongs to Deployment web", "The node was low on resource"},
		"elsewhere":     {KindOtherNode, "runs on node node-2; this is node-1", ""},
		"running":       {KindNoSandbox, "should run on node node-1, but no process of it is here", ""},
		"terminating":   {KindNotRunning, "is being deleted and has no network any more", ""},
		"image":         {KindNoSandbox, "is being started on node node-1", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := recorded(t, name)
			if name != "elsewhere" && o.string("spec", "nodeName") != "" {
				onNode(o, w.Node.Name)
			}
			api := newKubeAPI(t, o)
			if name == "creating" {
				api.add(made(t, `{"kind":"Event","type":"Warning","metadata":{"name":"e","namespace":"shop"},"reason":"FailedCreatePodSandBox","message":"no IP addresses available","involvedObject":{"uid":%q}}`, o.meta().string("uid")))
			}
			e := refused(t, w.withAPI(t, api, rootWith(t)), Query{Pod: o.meta().string("name")}, test.kind)
			want := strings.ReplaceAll(test.says, "node-1", w.Node.Name)
			if !strings.Contains(e.Message, want) || !strings.HasPrefix(e.Said, test.untrust) || test.untrust != "" && strings.Contains(e.Message, test.untrust) {
				t.Errorf("says %q and %q, want %q", e.Message, e.Said, want)
			}
			if len(e.Steps) == 0 || e.Kind == KindOtherNode && e.Node != "node-2" {
				t.Errorf("got %+v", e)
			}
		})
	}
}

// A pod that the runtime knows is entered whatever the API says of it; what only
// the API knows is added where it is asked for.
func TestResolveDescribedByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "crash-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app", State: lab.Exited, ExitCode: 137}}})
	o := onNode(recorded(t, "crashing"), w.Node.Name)
	o.meta()["uid"] = p.UID
	api := newKubeAPI(t, o, made(t, `{"kind":"Service","metadata":{"name":"crash","namespace":"shop"},"spec":{"selector":{"app":"web"}}}`))
	r := w.withAPI(t, api, "/")

	inside(t, open(t, r, Query{Pod: "crash-0"}), p.Handle)
	if asked := api.asked(); len(asked) != 0 {
		t.Errorf("asked for %q where the runtime knows all that is needed", asked)
	}
	for name, q := range map[string]Query{
		"pod": {Pod: "crash-0", Describe: true}, "sandbox": {Container: p.Sandbox.ID, Describe: true},
	} {
		target := open(t, r, q)
		inside(t, target, p.Handle)
		s := target.Workload.Status
		if s == nil || s.Phase != phaseRunning || s.Ready || !slices.Equal(s.Services, []string{"crash"}) || target.Workload.Source != "docker" {
			t.Errorf("%s: got %+v, status %+v", name, target.Workload, s)
			continue
		}
		if c := target.Workload.Containers[0]; c.Waiting != "CrashLoopBackOff" || c.State != StateExited || c.Restarts != 7 {
			t.Errorf("%s: container is %+v", name, c)
		}
		if noted := noted(target, "container_not_running"); name == "pod" && !strings.Contains(noted, "CrashLoopBackOff") {
			t.Errorf("%s: notes %+v", name, target.Notes)
		}
	}

	// The start of a name is as good as the name.
	target0 := open(t, r, Query{Pod: "crash", Describe: true})
	inside(t, target0, p.Handle)
	if target0.Workload.Status == nil || noted(target0, "unknown_to_api") != "" || noted(target0, "prefix_match") == "" {
		t.Errorf("by the start of its name: status %+v, notes %+v", target0.Workload.Status, target0.Notes)
	}

	// An API that is forbidden, or knows no such pod, is no obstacle.
	api.deny("list pods", "get pods", "get pods in shop")
	target := open(t, r, Query{Pod: "crash-0", Describe: true})
	inside(t, target, p.Handle)
	if !strings.Contains(noted(target, "source_failed"), "not allowed to list pods") {
		t.Errorf("notes are %+v", target.Notes)
	}
	stranger := w.withAPI(t, newKubeAPI(t), "/")
	target = open(t, stranger, Query{Pod: "crash-0", Describe: true})
	if noted(target, "unknown_to_api") == "" {
		t.Errorf("notes are %+v", target.Notes)
	}
}

// Of two pods of one name, that which runs here counts, and the API's is told of.
func TestResolveAnotherPodByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Name: "leaving", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}})
	api := newKubeAPI(t, onNode(recorded(t, "terminating"), "node-2"))
	target := open(t, w.withAPI(t, api, "/"), Query{Pod: "leaving", Describe: true})
	inside(t, target, p.Handle)
	if !strings.Contains(noted(target, "another_pod"), "on node node-2") || target.Workload.Status != nil {
		t.Errorf("notes are %+v, status %+v", target.Notes, target.Workload.Status)
	}
}

func TestResolveOwned(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lab0 := w.Pod(t, lab.PodSpec{Name: "web-7d4b9c6f5-x2x5z", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}})
	here, far := onNode(recorded(t, "running"), w.Node.Name), recorded(t, "elsewhere")
	here.meta()["uid"] = lab0.UID
	replicas := far.meta()["ownerReferences"].([]any)[0].(map[string]any)["uid"]
	owner := func(kind, name, uid, selector, by string) object {
		return made(t, `{"kind":%q,"metadata":{"name":%q,"namespace":"shop","uid":%q,"ownerReferences":[{"controller":true,"uid":%q}],"labels":{"app":"web"}},"spec":{"selector":%s}}`, kind, name, uid, by, selector)
	}
	const byLabel = `{"matchLabels":{"app":"web"},"matchExpressions":[{"key":"app","operator":"In","values":["web","api"]}]}`
	api := newKubeAPI(t, here, far, recorded(t, "evicted"), recorded(t, "completed"),
		owner("Deployment", "web", "d", byLabel, ""), owner("Deployment", "idle", "i", `{"matchLabels":{"app":"idle"}}`, ""),
		owner("ReplicaSet", "web-7d4b9c6f5", replicas.(string), byLabel, "d"), owner("ReplicaSet", "web-old", "o", byLabel, "d"), owner("ReplicaSet", "strange", "s", byLabel, "x"),
	)
	r := w.withAPI(t, api, "/")
	for _, q := range []Query{{Pod: "deploy/web"}, {Pod: "deployment/web", Namespace: "shop"}, {Pod: "shop/rs/web-7d4b9c6f5"}} {
		api.asked()
		target := open(t, r, q)
		inside(t, target, lab0.Handle)
		if !strings.Contains(noted(target, "one_of_several"), "has 3 pods") {
			t.Errorf("%+v: notes %+v", q, target.Notes)
		}
		if asked := api.asked(); len(asked) > 3 {
			t.Errorf("%+v: asked for %q", q, asked)
		}
	}
	if e := refused(t, r, Query{Pod: "deploy/idle"}, KindNotFound); !strings.Contains(e.Message, "has no pods") {
		t.Errorf("got %+v", e)
	}
	if e := refused(t, r, Query{Pod: "sts/web"}, KindNotFound); !strings.Contains(e.Message, "there is no StatefulSet web") {
		t.Errorf("got %+v", e)
	}
	job := recorded(t, "completed").meta()["ownerReferences"].([]any)[0].(map[string]any)["uid"].(string)
	api.add(owner("Job", "migrate", job, `{"matchLabels":{"job-name":"migrate"}}`, "c"), owner("CronJob", "nightly", "c", "null", ""))
	for _, name := range []string{"job/migrate", "cj/nightly"} {
		if e := refused(t, r, Query{Pod: name}, KindNotRunning); !strings.Contains(e.Message, "migrate-8k2xq has ended well") {
			t.Errorf("%s: got %+v", name, e)
		}
	}
	// A service is no owner: it selects.
	api.add(made(t, `{"kind":"Service","metadata":{"name":"web","namespace":"shop"},"spec":{"selector":{"app":"web"}}}`),
		made(t, `{"kind":"Service","metadata":{"name":"byhand","namespace":"shop"},"spec":{}}`),
		made(t, `{"kind":"Service","metadata":{"name":"empty","namespace":"shop"},"spec":{"selector":{"app":"none"}}}`))
	api.deny("get services in shop") // which is not needed
	for _, q := range []Query{{Pod: "svc/web"}, {Pod: "shop/service/web"}, {Pod: "services/web", Namespace: "shop"}} {
		target := open(t, r, q)
		inside(t, target, lab0.Handle)
		if note := noted(target, "service_pod"); !strings.Contains(note, "no network of its own: pod shop/web-7d4b9c6f5-x2x5z, which Service") {
			t.Errorf("%+v: notes %+v", q, target.Notes)
		}
	}
	for name, says := range map[string]string{"svc/nobody": "there is no Service nobody", "svc/byhand": "Service byhand has no pods", "svc/empty": "Service empty has no pods"} {
		if e := refused(t, r, Query{Pod: name}, KindNotFound); !strings.Contains(e.Message, says) {
			t.Errorf("%s: got %+v", name, e)
		}
	}
	// Two of them here: then it is said which there are, trouble first.
	second := onNode(recorded(t, "crashing"), w.Node.Name)
	second.meta()["labels"], second.meta()["ownerReferences"] = here.meta()["labels"], here.meta()["ownerReferences"]
	api.add(second)
	e := refused(t, r, Query{Pod: "deploy/web"}, KindAmbiguous)
	if len(e.Candidates) != 2 || e.Candidates[0].Pod != "crash-0" || e.Candidates[0].State != StateRestarting || e.Candidates[0].Node != w.Node.Name {
		t.Errorf("candidates are %+v", e.Candidates)
	}
	if e := refused(t, r, Query{Pod: "svc/web"}, KindAmbiguous); !strings.Contains(e.Message, "a service has no network of its own; Service web selects 2 pods") || len(e.Candidates) != 2 {
		t.Errorf("got %+v", e)
	}

	// Without an API, names tell.
	alone := w.resolverFor(t, Config{Sources: []Source{w.docker}})
	target := open(t, alone, Query{Pod: "deploy/web"})
	inside(t, target, lab0.Handle)
	if noted(target, "by_name") == "" {
		t.Errorf("notes are %+v", target.Notes)
	}
	refused(t, alone, Query{Pod: "svc/web-7d4b9c6f5"}, KindSource)
	if e := refused(t, alone, Query{Pod: "ds/web"}, KindSource); !strings.Contains(e.Message, "only the Kubernetes API knows them") {
		t.Errorf("got %+v", e)
	}
}

func TestResolveIPByAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	far := recorded(t, "elsewhere")
	ended := recorded(t, "completed") // has had the address before
	ended["status"].(map[string]any)["podIP"] = "10.244.2.7"
	api := newKubeAPI(t, ended, far,
		made(t, `{"kind":"Node","metadata":{"name":"node-2"},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.2"}]}}`),
		made(t, `{"kind":"Service","metadata":{"name":"web","namespace":"shop"},"spec":{"type":"ClusterIP","clusterIP":"10.96.0.10","clusterIPs":["10.96.0.10","fd00:96::a"],"ports":[{"name":"http","protocol":"TCP","port":80,"targetPort":"http"},{"port":53,"protocol":"UDP","targetPort":5353}]}}`),
		made(t, `{"kind":"Service","metadata":{"name":"idle","namespace":"shop"},"spec":{"clusterIP":"10.96.0.11"}}`),
		made(t, `{"kind":"Service","metadata":{"name":"headless","namespace":"shop"},"spec":{"clusterIP":"None"}}`),
		made(t, `{"kind":"EndpointSlice","metadata":{"name":"web-a","namespace":"shop","labels":{"kubernetes.io/service-name":"web"}},"ports":[{"name":"http","port":8080},{"port":5353,"protocol":"UDP"}],"endpoints":[
			{"addresses":["10.244.1.11"],"conditions":{"ready":false},"nodeName":"node-1","targetRef":{"kind":"Pod","name":"image","namespace":"shop"}},
			{"addresses":["10.244.2.7"],"conditions":{"ready":true},"nodeName":"node-2","targetRef":{"kind":"Pod","name":"web-7d4b9c6f5-far22","namespace":"shop"}}]}`),
	)
	r := w.withAPI(t, api, rootWith(t))
	for _, ip := range []string{"10.244.2.7", "fd00::2:7"} {
		e := refused(t, r, Query{IP: ip}, KindOtherNode)
		if e.Node != "node-2" || !strings.Contains(e.Message, "pod shop/web-7d4b9c6f5-far22 runs on node node-2") || e.Candidates[0].Pod != "web-7d4b9c6f5-far22" || len(e.Steps) != 2 {
			t.Errorf("%s: got %+v", ip, e)
		}
	}
	if e := refused(t, r, Query{IP: "10.0.0.2"}, KindOtherNode); e.Node != "node-2" || !strings.Contains(e.Hint, "netns host") {
		t.Errorf("got %+v", e)
	}
	for _, ip := range []string{"10.96.0.10", "fd00:96::a"} {
		e := refused(t, r, Query{IP: ip}, KindService)
		s := e.Service
		if s.Name != "web" || s.Ready != 1 || s.Total != 2 || s.Endpoints[0].Pod != "web-7d4b9c6f5-far22" || s.Ports[0].TargetPort != "http" || s.Ports[1].TargetPort != "5353" ||
			!strings.Contains(e.Message, "service shop/web (80/TCP, 53/UDP)") || !strings.Contains(e.Message, "1 of its 2 endpoints are ready") {
			t.Errorf("%s: got %+v, %+v", ip, e, s)
		}
	}
	if e := refused(t, r, Query{IP: "10.96.0.11"}, KindService); !strings.Contains(e.Hint, "No endpoint is ready") {
		t.Errorf("got %+v", e)
	}
	// Ready endpoints are of no use where they lack the port.
	api.add(made(t, `{"kind":"Service","metadata":{"name":"named","namespace":"shop"},"spec":{"clusterIP":"10.96.0.12","ports":[{"name":"a","port":80,"targetPort":"nobody-has-it"},{"name":"b","port":81,"targetPort":81}]}}`),
		made(t, `{"kind":"EndpointSlice","metadata":{"name":"named-a","namespace":"shop","labels":{"kubernetes.io/service-name":"named"}},"ports":[{"name":"b","port":81}],"endpoints":[{"addresses":["10.244.1.11"]},{"addresses":["10.244.1.12"],"conditions":{"ready":false}}]}`),
		made(t, `{"kind":"EndpointSlice","metadata":{"name":"named-b","namespace":"shop","labels":{"kubernetes.io/service-name":"named"}},"ports":null,"endpoints":[{"addresses":["10.244.1.13"]}]}`))
	e := refused(t, r, Query{IP: "10.96.0.12"}, KindService)
	if p := e.Service.Ports; p[0].Ready != 0 || p[1].Ready != 1 || !strings.HasSuffix(e.Message, "2 of its 3 endpoints are ready, but none has a port for 80/TCP (targetPort nobody-has-it)") {
		t.Errorf("got %+v, %+v", e, p)
	}
	api.deny("list endpointslices in shop")
	if e := refused(t, r, Query{IP: "10.96.0.12"}, KindService); !strings.Contains(e.Message, "its endpoints are not known: not allowed to list endpointslices") || strings.Contains(e.Hint, "No endpoint") {
		t.Errorf("got %+v", e)
	}
	api.asked()
	if e := refused(t, r, Query{IP: "10.96.0.10", Here: true}, KindNotFound); len(api.asked()) != 0 {
		t.Errorf("the API was asked: %+v", e.Steps)
	}
	if e := refused(t, r, Query{IP: "192.0.2.1"}, KindNotFound); !strings.Contains(e.Message, "knows no pod, node or service") {
		t.Errorf("got %+v", e)
	}
	api.deny("list services")
	if e := refused(t, r, Query{IP: "10.96.0.10"}, KindService); e.Service.Name != "web" {
		t.Errorf("in the namespace of the context: got %+v", e)
	}
	if e := refused(t, r, Query{IP: "192.0.2.1"}, KindNotFound); !strings.Contains(e.Message, "not allowed to list services") {
		t.Errorf("got %+v", e)
	}
	api.deny("list services in shop")
	if e := refused(t, r, Query{IP: "10.96.0.10"}, KindNotFound); !strings.Contains(e.Message, "not allowed to list services") {
		t.Errorf("got %+v", e)
	}
}

// A file that nobody delivers holds up who reads it, and nobody else.
func TestKubeFileThatHangs(t *testing.T) {
	t.Parallel()
	api := newKubeAPI(t, recorded(t, "running"))
	good := api.config(t)
	data, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(t.TempDir(), "ca.crt")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	i := strings.Index(string(data), "certificate-authority-data:")
	hangs := writeFile(t, "config", string(data[:i])+"certificate-authority: "+fifo+"}"+string(data[i+strings.IndexByte(string(data[i:]), '}')+1:]))
	k := api.source(t, KubeOptions{Config: hangs})
	done := make(chan error, 1)
	go func() {
		_, err := k.List(t.Context())
		done <- err
	}()
	// A writer can open a FIFO without waiting once there is a reader.
	var w *os.File
	for deadline := time.Now().Add(30 * time.Second); w == nil && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		w, _ = os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
	}
	if w == nil {
		t.Fatal("nobody reads the file")
	}
	closed := make(chan error, 1)
	go func() { closed <- k.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(30 * time.Second):
		t.Error("Close waits for the file")
	}
	_ = w.Close() // ends the file
	for {
		select {
		case err := <-done:
			if err == nil {
				t.Error("got a list")
			}
			return
		case <-time.After(time.Millisecond):
			// The library opens the file more than once.
			if w, err := os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
				_ = w.Close()
			}
		}
	}
}
