package resolve

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
)

// kubeAPI is an API server as far as this package asks one: it holds objects as
// they go over the wire, selects and pages like the real one, and counts.
type kubeAPI struct {
	*httptest.Server
	kube *Kube

	mu       sync.Mutex
	objects  map[string][]object // by "api/v1/pods"
	requests []string            // "get pods", "list pods"
	denied   map[string]bool     // the same
	// instead answers before all else, if it returns true.
	instead func(http.ResponseWriter, *http.Request) bool
}

type object map[string]any

func (o object) meta() object {
	m, _ := o["metadata"].(map[string]any)
	return m
}

func (o object) string(path ...string) string {
	at := map[string]any(o)
	for _, key := range path[:len(path)-1] {
		at, _ = at[key].(map[string]any)
	}
	s, _ := at[path[len(path)-1]].(string)
	return s
}

const kubeKnock = "sesame-of-the-test"

// newKubeAPI serves objects, and makes a source that asks for them with a
// kubeconfig of its own.
func newKubeAPI(t *testing.T, objects ...object) *kubeAPI {
	t.Helper()
	a := &kubeAPI{objects: map[string][]object{}, denied: map[string]bool{}}
	a.Server = httptest.NewUnstartedServer(http.HandlerFunc(a.serve))
	a.EnableHTTP2 = true
	a.Config.ErrorLog = log.New(io.Discard, "", 0) // of clients that hang up
	a.StartTLS()
	t.Cleanup(a.Close)
	a.add(objects...)
	a.kube = a.source(t, KubeOptions{Config: a.config(t)})
	return a
}

func (a *kubeAPI) source(t *testing.T, options KubeOptions) *Kube {
	t.Helper()
	k := NewKube(options)
	t.Cleanup(func() { _ = k.Close() })
	return k
}

// config writes a kubeconfig with a token.
func (a *kubeAPI) config(t *testing.T) string {
	t.Helper()
	return a.configFor(t, "token: "+kubeKnock)
}

// configFor writes one with other credentials.
func (a *kubeAPI) configFor(t *testing.T, user string) string {
	t.Helper()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})
	return writeFile(t, "config", fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: test
clusters:
- name: test
  cluster: {server: %q, certificate-authority-data: %s}
contexts:
- name: test
  context: {cluster: test, user: test, namespace: shop}
- name: other
  context: {cluster: test, user: nobody}
users:
- name: test
  user:
    %s
- name: nobody
  user: {}
`, a.URL, base64.StdEncoding.EncodeToString(ca), user))
}

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// recorded reads an object that a cluster has sent.
func recorded(t *testing.T, name string) object {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "kube", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// made builds an object from JSON.
func made(t *testing.T, format string, args ...any) object {
	t.Helper()
	var o object
	if err := json.Unmarshal(fmt.Appendf(nil, format, args...), &o); err != nil {
		t.Fatal(err)
	}
	return o
}

// kubePaths are the places of the kinds.
var kubePaths = map[string]string{
	"Pod": "api/v1/pods", "Node": "api/v1/nodes", "Service": "api/v1/services", "Event": "api/v1/events",
	"Deployment": "apis/apps/v1/deployments", "ReplicaSet": "apis/apps/v1/replicasets", "StatefulSet": "apis/apps/v1/statefulsets",
	"DaemonSet": "apis/apps/v1/daemonsets", "Job": "apis/batch/v1/jobs", "CronJob": "apis/batch/v1/cronjobs",
	"EndpointSlice": "apis/discovery.k8s.io/v1/endpointslices",
}

func (a *kubeAPI) add(objects ...object) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, o := range objects {
		path := kubePaths[o.string("kind")]
		a.objects[path] = append(a.objects[path], o)
	}
}

func (a *kubeAPI) deny(what ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range what {
		a.denied[w] = true
	}
}

// asked returns what was asked for since the last time, sorted.
func (a *kubeAPI) asked() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	asked := a.requests
	a.requests = nil
	slices.Sort(asked)
	return asked
}

func (a *kubeAPI) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	instead := a.instead
	a.mu.Unlock()
	if instead != nil && instead(w, r) {
		return
	}
	if r.Header.Get("Authorization") != "Bearer "+kubeKnock {
		refuse(w, http.StatusUnauthorized, "Unauthorized", "Unauthorized")
		return
	}
	if strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
		a.review(w, r)
		return
	}
	path, namespace, name := split(r.URL.Path)
	resource := path[strings.LastIndex(path, "/")+1:]
	verb := "get"
	if name == "" {
		verb = "list"
	}
	a.mu.Lock()
	a.requests = append(a.requests, verb+" "+resource)
	denied := a.denied[verb+" "+resource] && namespace == "" || a.denied[verb+" "+resource+" in "+namespace]
	all := a.objects[path]
	a.mu.Unlock()
	switch {
	case denied:
		refuse(w, http.StatusForbidden, "Forbidden", fmt.Sprintf(`%s is forbidden: User "somebody" cannot %s resource %q`, resource, verb, resource))
	case name != "":
		for _, o := range all {
			if o.meta().string("name") == name && o.meta().string("namespace") == namespace {
				send(w, http.StatusOK, o)
				return
			}
		}
		refuse(w, http.StatusNotFound, "NotFound", fmt.Sprintf("%s %q not found", resource, name))
	default:
		a.list(w, r, all, namespace)
	}
}

// split parts "/api/v1/namespaces/shop/pods/web-0".
func split(path string) (place, namespace, name string) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	n := 2 // api/v1
	if parts[0] == "apis" {
		n = 3
	}
	rest := parts[n:]
	if len(rest) > 2 && rest[0] == "namespaces" {
		namespace, rest = rest[1], rest[2:]
	}
	if len(rest) > 1 {
		name = rest[1]
	}
	return strings.Join(append(slices.Clone(parts[:n]), rest[0]), "/"), namespace, name
}

func (a *kubeAPI) list(w http.ResponseWriter, r *http.Request, all []object, namespace string) {
	q := r.URL.Query()
	byLabel, err := labels.Parse(q.Get("labelSelector"))
	byField, fieldErr := fields.ParseSelector(q.Get("fieldSelector"))
	if err != nil || fieldErr != nil {
		refuse(w, http.StatusBadRequest, "BadRequest", "bad selector")
		return
	}
	fitting := []object{}
	for _, o := range all {
		set := labels.Set{}
		of, _ := o.meta()["labels"].(map[string]any)
		for key, value := range of {
			set[key], _ = value.(string)
		}
		has := fields.Set{
			"metadata.name": o.meta().string("name"), "status.podIP": o.string("status", "podIP"),
			"involvedObject.uid": o.string("involvedObject", "uid"), "type": o.string("type"),
		}
		if (namespace == "" || o.meta().string("namespace") == namespace) && byLabel.Matches(set) && byField.Matches(has) {
			fitting = append(fitting, o)
		}
	}
	from, _ := strconv.Atoi(q.Get("continue"))
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil {
		refuse(w, http.StatusBadRequest, "BadRequest", "a list without a limit")
		return
	}
	to := min(from+limit, len(fitting))
	next := ""
	if to < len(fitting) {
		next = strconv.Itoa(to)
	}
	send(w, http.StatusOK, object{
		"kind": "List", "apiVersion": "v1", "metadata": object{"resourceVersion": "4711", "continue": next}, "items": fitting[from:to],
	})
}

func (a *kubeAPI) review(w http.ResponseWriter, r *http.Request) {
	var review object
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.string("kind") != "SelfSubjectAccessReview" {
		refuse(w, http.StatusBadRequest, "BadRequest", "no review")
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	what := review.string("spec", "resourceAttributes", "verb") + " " + review.string("spec", "resourceAttributes", "resource")
	if sub := review.string("spec", "resourceAttributes", "subresource"); sub != "" {
		what += "/" + sub
	}
	review["status"] = object{"allowed": !a.denied[what]}
	send(w, http.StatusCreated, review)
}

func refuse(w http.ResponseWriter, code int, reason, message string) {
	send(w, code, object{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code})
}

func send(w http.ResponseWriter, code int, o object) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(o)
}

// exactPod asks for one pod.
func (a *kubeAPI) exactPod(t *testing.T, q Query) Workload {
	t.Helper()
	ws, err := a.kube.Exact(t.Context(), q)
	if err != nil || len(ws) != 1 {
		t.Fatalf("%+v: got %d pods, %v", q, len(ws), err)
	}
	return ws[0]
}

// failing expects a source to fail, and returns what it says.
func failing(t *testing.T, k *Kube, q Query) string {
	t.Helper()
	ws, err := k.Exact(context.WithoutCancel(t.Context()), q)
	if err == nil {
		t.Fatalf("got %d workloads", len(ws))
	}
	return err.Error()
}

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}
