package resolve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"k8s.io/apimachinery/pkg/util/cache"
)

// listen makes a unix socket in a directory of its own, whose path is short
// enough for one.
func listen(t *testing.T) (net.Listener, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "docker.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, path
}

// engineOf serves handler as a Docker engine and returns a source that asks it.
func engineOf(t *testing.T, handler http.HandlerFunc) *Docker {
	t.Helper()
	l, path := listen(t)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	d := NewDocker(DockerOptions{Host: "unix://" + path})
	t.Cleanup(func() { _ = d.Close(); _ = server.Close() })
	return d
}

// raw serves bytes that are no HTTP.
func raw(t *testing.T, serve func(net.Conn)) *Docker {
	t.Helper()
	l, path := listen(t)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer func() { _ = conn.Close() }(); serve(conn) }()
		}
	}()
	d := NewDocker(DockerOptions{Host: "unix://" + path})
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func body(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

func TestDockerBadAnswers(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		source *Docker
		says   string
	}{
		"not HTTP": {raw(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 4096))
			_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n")
		}), "the engine answers with an error|Head"},
		"closes":     {raw(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }), ""},
		"not JSON":   {engineOf(t, body(200, "<html>hello</html>")), "not that of a Docker engine"},
		"other JSON": {engineOf(t, body(200, `"hello"`)), "not that of a Docker engine"},
		"half":       {engineOf(t, body(200, `[{"Id":"4f2a`)), "not that of a Docker engine"},
		"error":      {engineOf(t, body(500, `{"message":"disk on fire\nand more"}`)), "the engine answers with an error|Error response from daemon: disk on fire and more"},
		"denied":     {engineOf(t, body(403, `{"message":"authorization denied by plugin"}`)), "the engine answers with an error|Error response from daemon: authorization denied"},
		"redirect":   {engineOf(t, body(301, "")), "not that of a Docker engine"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			for what, ask := range map[string]func() ([]Workload, error){
				"list":      func() ([]Workload, error) { return test.source.List(ctx) },
				"pod":       func() ([]Workload, error) { return test.source.Exact(ctx, Query{Pod: "web"}) },
				"container": func() ([]Workload, error) { return test.source.Exact(ctx, Query{Container: "web"}) },
			} {
				ws, err := ask()
				if err == nil || strings.ContainsAny(err.Error()+Said(err), "\n") || !strings.Contains(err.Error()+"|"+Said(err), test.says) {
					t.Errorf("%s: got %d workloads and %v (%s), want %q", what, len(ws), err, Said(err), test.says)
				}
			}
		})
	}
}

// An answer without end ends all the same, and the next one counts anew.
func TestDockerAnswerIsBounded(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	c := &boundConn{Conn: ours}
	defer func() { _ = c.Close() }()
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	go func() {
		junk := make([]byte, 1<<20)
		for {
			if _, err := theirs.Write(junk); err != nil {
				return
			}
		}
	}()
	for range 2 {
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, c)
		if err == nil || !strings.Contains(err.Error(), "longer than") || n > maxDockerAnswer {
			t.Errorf("got %d bytes and %v", n, err)
		}
	}
}

// What an engine leaves out must not matter.
func TestDockerSparseAnswers(t *testing.T) {
	t.Parallel()
	for _, details := range []string{`{}`, `null`, `{"Id":"x"}`, `{"Id":"` + idA + `"}`, `{"Id":"` + idA + `","State":null,"Config":null}`} {
		d := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/containers/json") {
				_, _ = io.WriteString(w, `[{"Id":"`+idA+`"},{},null]`)
				return
			}
			_, _ = io.WriteString(w, details)
		})
		if ws, err := d.Exact(t.Context(), Query{Container: idA}); err == nil {
			t.Errorf("%s: got %+v, want an error", details, ws)
		}
		if _, err := d.List(t.Context()); err != nil {
			t.Error(err)
		}
	}
	d := engineOf(t, body(200, `{"Id":"`+idA+`","State":{"Status":"running","Pid":7}}`))
	ws, err := d.Exact(t.Context(), Query{Container: idA})
	if err != nil || len(ws) != 1 || ws[0].Containers[0].PID != 7 {
		t.Errorf("got %+v, %v", ws, err)
	}
}

// A container that the engine cannot inspect holds up neither the list nor the next
// one.
func TestDockerListWithStuckContainer(t *testing.T) {
	t.Parallel()
	d := engineOf(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("Api-Version", "1.41")
		case strings.HasSuffix(r.URL.Path, "/containers/json"):
			_, _ = io.WriteString(w, `[{"Id":"`+idA+`","Names":["/good"],"State":"running","Status":"Up 2 hours"},
				{"Id":"`+idB+`","Names":["/stuck"],"State":"restarting","Status":"Restarting (1) 2 seconds ago"}]`)
		default:
			<-r.Context().Done() // another request holds that container's lock
		}
	})
	g := newGuard(d)
	for range 2 {
		ws, err := g.call(t.Context(), list, 30*time.Second, time.Now, time.Hour, d.List)
		if err != nil || len(ws) != 2 || ws[0].Containers[0].Name != "good" || ws[1].Containers[0].State != StateRestarting {
			t.Fatalf("got %+v, %v", ws, err)
		}
	}
}

func TestDockerHost(t *testing.T) { // not parallel: changes the environment
	for _, name := range []string{"DOCKER_HOST", "DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "XDG_RUNTIME_DIR"} {
		t.Setenv(name, "")
	}
	socket := func(path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
	root, err := os.MkdirTemp("", "r")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	expect := func(options DockerOptions, want, wrong string) {
		t.Helper()
		got, err := NewDocker(options).host()
		switch {
		case wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)):
			t.Errorf("%+v: got %q, %v, want error %q", options, got, err, wrong)
		case wrong == "" && (err != nil || got != want):
			t.Errorf("%+v: got %q, %v, want %q", options, got, err, want)
		}
	}
	expect(DockerOptions{Root: root}, "", "not present on this node")
	if _, err := NewDocker(DockerOptions{Root: root}).List(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("got %v, want ErrAbsent", err)
	}
	rootless := filepath.Join(root, "user")
	t.Setenv("XDG_RUNTIME_DIR", rootless)
	socket(filepath.Join(rootless, "docker.sock"))
	expect(DockerOptions{Root: root}, "unix://"+rootless+"/docker.sock", "")
	socket(filepath.Join(root, "run/docker.sock"))
	expect(DockerOptions{Root: root}, "unix://"+root+"/run/docker.sock", "")
	socket(filepath.Join(root, "var/run/docker.sock"))
	expect(DockerOptions{Root: root}, "unix://"+root+"/var/run/docker.sock", "")

	t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:2375")
	expect(DockerOptions{Root: root}, "tcp://127.0.0.1:2375", "")
	expect(DockerOptions{Root: root, Host: "tcp://10.0.0.1:2376"}, "tcp://10.0.0.1:2376", "")
	expect(DockerOptions{Root: root, Host: "unix:///run/docker.sock"}, "unix://"+root+"/run/docker.sock", "")
	expect(DockerOptions{Root: root, Host: "unix:///nowhere.sock"}, "", "no such socket")
	expect(DockerOptions{Root: root, Host: "ssh://node"}, "", "run nsenter-mcp there")
	expect(DockerOptions{Root: root, Host: "/run/docker.sock"}, "", "not of the form")
	expect(DockerOptions{Root: root, Host: "unix://"}, "", "not of the form")
	if _, err := NewDocker(DockerOptions{Host: "unix:///nowhere.sock"}).List(t.Context()); err == nil || errors.Is(err, ErrAbsent) {
		t.Errorf("got %v: a host that was named and is not there is a failure", err)
	}
}

func TestCheckDockerHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"": true, "unix:///run/docker.sock": true, "tcp://10.0.0.1:2375": true, "http://10.0.0.1": true, "https://10.0.0.1": true,
		"npipe:////./pipe/docker_engine": true, "ssh://node": true, "foo://x": false, "://x": false, "TCP://10.0.0.1": false,
	} {
		if err := CheckDockerHost(host); (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestDockerElsewhere(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"unix:///run/docker.sock": false, "npipe:////./pipe/docker_engine": false, "tcp://127.0.0.1:2375": false,
		"tcp://[::1]:2375": false, "tcp://localhost:2375": false, "tcp://10.0.0.1:2376": true, "tcp://builder:2376": true, "tcp://%": true,
	} {
		if got := isElsewhere(host); got != want {
			t.Errorf("%s: got %v, want %v", host, got, want)
		}
	}
}

func TestDockerVersion(t *testing.T) { // not parallel: changes the environment
	var asked atomic.Value
	serve := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.41")
		asked.Store(r.URL.Path)
		_, _ = io.WriteString(w, "[]")
	}
	t.Setenv("DOCKER_API_VERSION", "")
	d := engineOf(t, serve)
	if _, err := d.List(t.Context()); err != nil || asked.Load() != "/v1.41/containers/json" {
		t.Errorf("asked for %v, %v, want the negotiated version 1.41", asked.Load(), err)
	}
	t.Setenv("DOCKER_API_VERSION", "1.40")
	d = engineOf(t, serve)
	if _, err := d.List(t.Context()); err != nil || asked.Load() != "/v1.40/containers/json" {
		t.Errorf("asked for %v, %v, want version 1.40 of the environment", asked.Load(), err)
	}
}

// An engine that was away is found again, with a version of its own.
func TestDockerComesBack(t *testing.T) {
	t.Parallel()
	l, path := listen(t)
	d := NewDocker(DockerOptions{Host: "unix://" + path})
	t.Cleanup(func() { _ = d.Close() })
	start := func(l net.Listener, version string) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Api-Version", version)
			if !strings.HasSuffix(r.URL.Path, "_ping") && !strings.HasPrefix(r.URL.Path, "/v"+version+"/") {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusBadRequest)
				_, _ = fmt.Fprintf(w, `{"message":"client version is too new. Maximum supported API version is %s"}`, version)
				return
			}
			_, _ = io.WriteString(w, "[]")
		}))
		s.Listener = l
		s.Start()
		return s
	}
	s := start(l, "1.43")
	if _, err := d.List(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1.41", "1.42"} {
		s.CloseClientConnections()
		s.Close()
		if version == "1.41" { // the second time it is back before anybody asks
			if _, err := d.List(t.Context()); err == nil {
				t.Fatal("no error from an engine that is gone")
			}
		}
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		s = start(l, version)
		if _, err := d.List(t.Context()); err != nil {
			t.Errorf("after its return: %v", err)
		}
	}
	s.Close()
}

// countingAPI is an engine in memory that counts requests.
type countingAPI struct {
	containers []container.Summary
	requests   atomic.Int64
}

func (c *countingAPI) ContainerList(_ context.Context, o container.ListOptions) ([]container.Summary, error) {
	c.requests.Add(1)
	var all []container.Summary
	for _, s := range c.containers {
		if o.Filters.MatchKVList("label", s.Labels) && o.Filters.Match("name", s.Names[0]) {
			all = append(all, s)
		}
	}
	return all, nil
}

func (c *countingAPI) ContainerInspect(_ context.Context, id string) (container.InspectResponse, error) {
	c.requests.Add(1)
	for _, s := range c.containers {
		if s.ID == id || s.Names[0] == "/"+id {
			return container.InspectResponse{
				ContainerJSONBase: &container.ContainerJSONBase{ID: s.ID, Name: s.Names[0], State: &container.State{Status: s.State, Pid: 1}},
				Config:            &container.Config{Labels: s.Labels},
			}, nil
		}
	}
	return container.InspectResponse{}, errNotThere{}
}

func (c *countingAPI) Close() error { return nil }

// errNotThere is a 404 (github.com/containerd/errdefs).
type errNotThere struct{}

func (errNotThere) Error() string { return "No such container" }
func (errNotThere) NotFound()     {}

func TestDockerAsksNoMoreOfMore(t *testing.T) {
	t.Parallel()
	requests := func(pods int, q Query) int64 {
		api := &countingAPI{}
		for i := range pods {
			name := fmt.Sprintf("web-%d", i)
			labels := map[string]string{labelPod: name, labelNamespace: "shop", labelUID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", i)}
			for _, c := range []string{sandboxContainer, "app"} {
				l := map[string]string{labelContainer: c}
				for k, v := range labels {
					l[k] = v
				}
				if c == sandboxContainer {
					l[labelType] = typeSandbox
				}
				api.containers = append(api.containers, container.Summary{
					ID: fakeID(name + c), Names: []string{"/k8s_" + c + "_" + name + "_shop_" + labels[labelUID] + "_0"}, Labels: l, State: "running",
				})
			}
		}
		conn := &dockerConn{host: "unix:///test.sock", api: api, recent: cache.NewLRUExpireCache(maxRecent)}
		conn.negotiated.Store(true)
		var ws []Workload
		var err error
		if q.Pod != "" {
			ws, err = conn.pod(t.Context(), q)
		} else {
			ws, err = conn.container(t.Context(), q)
		}
		if err != nil || len(ws) != 1 {
			t.Errorf("%+v: got %d workloads, %v", q, len(ws), err)
		}
		return api.requests.Load()
	}
	for name, q := range map[string]Query{
		"pod":                {Pod: "web-3"},
		"pod with namespace": {Pod: "web-3", Namespace: "shop"},
		"pod by UID":         {Pod: "00000003-0000-4000-8000-000000000000"},
		"container by name":  {Container: "k8s_app_web-3_shop_00000003-0000-4000-8000-000000000000_0"},
		"container by ID":    {Container: fakeID("web-3app")},
	} {
		few, many := requests(10, q), requests(1000, q)
		if few != many || many > 4 {
			t.Errorf("%s: %d requests with 10 pods, %d with 1000", name, few, many)
		}
	}
}
