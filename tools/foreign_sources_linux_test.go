package tools

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/resolve"
)

// planted fills each string of a value with the needle, however deep.
func planted(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		planted(v.Elem(), text)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Type() != reflect.TypeFor[time.Time]() {
				planted(v.Field(i), text)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			planted(v.Index(i), text)
		}
	case reflect.String:
		v.SetString(text)
	default:
	}
}

// askEverything makes the calls by which an answer can come to hold what a source
// says.
func askEverything(t *testing.T, b *testbench, names ...string) {
	t.Helper()
	b.call(t, "resolve_pod_pid", map[string]any{"details": true})
	b.call(t, "resolve_pod_pid", map[string]any{"ip": "10.96.99.99"})
	b.call(t, "list_pods", map[string]any{"all_nodes": true})
	b.call(t, "list_pods", map[string]any{"node": "nosuch"})
	b.call(t, "list_pods", map[string]any{"problems": true})
	for _, name := range append(names, "nosuch") {
		for _, tool := range []string{"resolve_pod_pid", "netns_ip_addr"} {
			b.call(t, tool, map[string]any{"pod": name})
			b.call(t, tool, map[string]any{"container": strings.TrimPrefix(name, "shop/")})
		}
	}
}

func TestForeignTextOfSources(t *testing.T) {
	t.Parallel()
	for _, text := range []string{needle, needleWord} {
		b := newTestbench(t, nil)
		pod := b.lab.Pod(t, lab.PodSpec{Name: "real", Namespace: "shop"})
		one := func(n int, change func(*resolve.Workload)) resolve.Workload {
			var w resolve.Workload
			planted(reflect.ValueOf(&w).Elem(), text)
			w.Source = ""
			w.UID = fmt.Sprintf("00000000-0000-0000-0000-%012d", n)
			w.Sandbox.ID = fmt.Sprintf("%064x", n) // else all are one
			for i := range w.Containers {
				w.Containers[i].ID = fmt.Sprintf("%063x%d", n, i)
			}
			change(&w)
			return w
		}
		all := func() []resolve.Workload {
			return []resolve.Workload{
				one(1, func(*resolve.Workload) {}),
				one(2, func(w *resolve.Workload) { w.Pod, w.Namespace = "web-0", "shop" }),
				one(3, func(w *resolve.Workload) { w.Pod, w.Namespace = "web-0", "shop2" }),
				one(4, func(w *resolve.Workload) { w.Pod, w.Namespace, w.UID = "", "", "" }),
				one(5, func(w *resolve.Workload) { w.Pod, w.Namespace, w.Node = "far-0", "shop", "node-9" }),
				one(6, func(w *resolve.Workload) {
					w.Pod, w.Namespace, w.Node, w.Status.Phase = "early-0", "shop", "", "Pending"
				}),
				one(7, func(w *resolve.Workload) {
					w.Pod, w.Namespace, w.Node, w.Sandbox.PID, w.Sandbox.State, w.Sandbox.NetnsPath = "real", "shop", "node-1", pod.PID, resolve.StateRunning, ""
				}),
			}
		}
		for _, failed := range []error{nil, &resolve.SaidError{Words: "the API fails", Text: text}} {
			source := planter{all, failed}
			b.use(t, resolve.Config{Sources: []resolve.Source{source}, Cluster: []resolve.Source{source}})
			if failed == nil {
				mentions(t, b.call(t, "resolve_pod_pid", map[string]any{"pod": "shop/real", "details": true}))
			}
			askEverything(t, b, "web-0", "shop/web-0", "far-0", "web", "shop/far-0", "real", "early-0")
		}
	}
}

// planter is a source whose workloads are made anew each time, as those of sources are.
type planter struct {
	make   func() []resolve.Workload
	failed error
}

func (planter) Name() string { return "kubernetes" }

func (p planter) Exact(context.Context, resolve.Query) ([]resolve.Workload, error) {
	return p.make(), p.failed
}

func (p planter) List(context.Context) ([]resolve.Workload, error) { return p.make(), p.failed }

func TestForeignTextOfDocker(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, nil)
	for i, text := range []string{needle, needleWord} {
		b.lab.Pod(t, lab.PodSpec{
			Name: fmt.Sprintf("web-%d", i), Namespace: "shop", Labels: map[string]string{text: text, "app": text}, Annotations: map[string]string{text: text, "kubectl.kubernetes.io/default-container": text},
			Containers: []lab.ContainerSpec{
				{Name: "app", Image: text, Labels: map[string]string{text: text, "io.kubernetes.container.name": text}, Error: text, State: lab.Exited, ExitCode: 1, Args: []string{text}},
				{Name: "side", Image: text, Args: []string{text}},
			},
		})
		b.lab.Container(t, lab.ContainerSpec{
			Name: fmt.Sprintf("plain-%d", i), Image: text, Labels: map[string]string{
				"com.docker.compose.service": text, "com.docker.compose.project": text,
				"io.kubernetes.pod.name": text, "io.kubernetes.pod.namespace": text, "io.kubernetes.pod.uid": text, "io.kubernetes.container.name": text, "io.kubernetes.docker.type": "container",
			}, Error: text, Args: []string{text},
		})
	}
	askEverything(t, b, "web-0", "web-1", "shop/web-1", "web", "plain-0", "plain-1", "plain")
}

func TestForeignTextOfCRI(t *testing.T) {
	t.Parallel()
	for _, kind := range []lab.RuntimeKind{lab.Containerd17, lab.CRIO} {
		b := newTestbench(t, nil)
		for i, text := range []string{needle, needleWord} {
			b.lab.Pod(t, lab.PodSpec{
				Name: fmt.Sprintf("web-%d", i), Namespace: "shop", Labels: map[string]string{text: text}, Annotations: map[string]string{text: text, "kubectl.kubernetes.io/default-container": text},
				Containers: []lab.ContainerSpec{
					{Name: "app", Image: text, Labels: map[string]string{text: text}, Error: text, State: lab.Exited, ExitCode: 1, Args: []string{text}},
					{Name: "side", Image: text, Args: []string{text}},
				},
			})
		}
		runtime, err := lab.StartRuntime(b.lab.Node, kind)
		if err != nil {
			t.Fatal(err)
		}
		sources, err := resolve.NewCRI(resolve.CRIOptions{Endpoint: runtime.Endpoint()})
		if err != nil {
			t.Fatal(err)
		}
		b.askOnly(t, "", sources[0])
		askEverything(t, b, "web-0", "web-1", "shop/web-1", "web")
	}
}

// askAPI makes the testbench ask this API alone, by the real client.
func (b *testbench) askAPI(t *testing.T, api http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	config := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(config, fmt.Appendf(nil, "apiVersion: v1\nkind: Config\ncurrent-context: c\n"+
		"clusters: [{name: c, cluster: {server: %q}}]\n"+
		"contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {token: t}}]\n", server.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	kube := resolve.NewKube(resolve.KubeOptions{Config: config, Operator: true, Root: t.TempDir()})
	t.Cleanup(func() {
		if err := kube.Close(); err != nil {
			t.Error(err)
		}
	})
	b.use(t, resolve.Config{Root: t.TempDir(), Cluster: []resolve.Source{kube}})
}

// TestForeignTextOfTheAPI: objects, errors and what is no answer, by the real client.
func TestForeignTextOfTheAPI(t *testing.T) {
	t.Parallel()
	status := func(text string) string {
		return fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":%[1]q,"reason":%[1]q,"code":403,"details":{"name":%[1]q,"causes":[{"message":%[1]q}]}}`, text)
	}
	pod := func(name, text string) map[string]any {
		state := map[string]any{"waiting": map[string]any{"reason": text, "message": text}}
		return map[string]any{
			"metadata": map[string]any{
				"name": name, "namespace": "shop", "uid": "00000000-0000-0000-0000-00000000000" + name[len(name)-1:], "labels": map[string]any{"app": text}, "annotations": map[string]any{text: text},
				"ownerReferences": []any{map[string]any{"apiVersion": "apps/v1", "kind": text, "name": text, "uid": "u", "controller": true}},
			},
			"spec": map[string]any{"nodeName": "node-9", "containers": []any{map[string]any{"name": "app", "image": text}}, "schedulerName": text},
			"status": map[string]any{
				"phase": text, "reason": text, "message": text, "podIP": text, "podIPs": []any{map[string]any{"ip": text}}, "nominatedNodeName": text,
				"conditions":        []any{map[string]any{"type": text, "status": text, "reason": text, "message": text}, map[string]any{"type": "Ready", "status": "False", "reason": text, "message": text}},
				"containerStatuses": []any{map[string]any{"name": "app", "image": text, "imageID": text, "containerID": text, "state": state, "lastState": state}},
			},
		}
	}
	for _, text := range []string{needle, needleWord} {
		items := []any{pod("web-0", text), pod("web-1", text)}
		answers := map[string]http.HandlerFunc{
			"objects": func(w http.ResponseWriter, r *http.Request) {
				kind := "PodList"
				list := items
				switch {
				case strings.HasSuffix(r.URL.Path, "/pods/web-0"):
					o := pod("web-0", text)
					o["kind"], o["apiVersion"] = "Pod", "v1"
					_ = json.NewEncoder(w).Encode(o)
					return
				case !strings.HasSuffix(r.URL.Path, "/pods"):
					kind, list = "List", []any{map[string]any{"metadata": map[string]any{"name": text, "namespace": text}, "spec": map[string]any{"clusterIP": "10.96.99.99", "clusterIPs": []any{"10.96.99.99"}, "type": text,
						"ports": []any{map[string]any{"name": text, "protocol": text, "port": 80, "targetPort": text}}}}}
				}
				_ = json.NewEncoder(w).Encode(map[string]any{"kind": kind, "apiVersion": "v1", "metadata": map[string]any{}, "items": list})
			},
			"refusals": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusForbidden)
				_, _ = w.Write([]byte(status(text)))
			},
			"errors":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, text, http.StatusInternalServerError) },
			"garbage": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) },
			"redirects": func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://"+needleWord)
				w.WriteHeader(http.StatusFound)
			},
		}
		for name, answer := range answers {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := newTestbench(t, nil)
				b.askAPI(t, answer)
				askEverything(t, b, "web-0", "shop/web-0", "web")
			})
		}
	}
}

// TestForeignTextOfAServiceAddress: what the API says of an address.
func TestForeignTextOfAServiceAddress(t *testing.T) {
	t.Parallel()
	for _, text := range []string{needle, needleWord} {
		var service resolve.Service
		planted(reflect.ValueOf(&service).Elem(), text)
		service.Unknown = "" // our own words
		b := newTestbench(t, nil)
		b.use(t, resolve.Config{Root: t.TempDir(), Cluster: []resolve.Source{&clusterWithService{ip: netip.MustParseAddr("10.96.99.99"), service: service}}})
		b.call(t, "resolve_pod_pid", map[string]any{"ip": "10.96.99.99"})
	}
}
