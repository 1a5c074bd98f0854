package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
)

// The versions that the engine claims. Clients that are newer negotiate down.
const (
	engineVersion   = "27.5.1"
	engineAPI       = "1.47"
	engineOldestAPI = "1.24"
)

// Engine serves a part of the Docker engine's API on a unix socket: ping,
// version, and the list and the details of a node's containers. The containers
// are real processes; there is no daemon behind it.
//
// On a node with Kubernetes the engine runs pods with NetworkMode "none",
// "container:ID" and "host" and knows no addresses of them; so it does here.
type Engine struct {
	Socket string // path of the unix socket

	node   *Node
	server *http.Server
	stop   context.CancelFunc // ends requests that hang

	delay atomic.Int64 // time.Duration, before each answer
	hang  atomic.Bool

	mu        sync.Mutex
	requests  map[string]int
	synthetic []record
	alter     Alteration
}

// Alteration changes what a call is answered, or makes it fail. call is a name as
// those of Requests; what body points to may be changed and must not be kept. It is
// called by many goroutines at once.
type Alteration func(call string, body any) error

// Alter makes every answer pass alter first; nil leaves them as they are.
func (e *Engine) Alter(alter Alteration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.alter = alter
}

// Engine starts an engine that shows the node's containers. The lab closes it.
func (n *Node) Engine() (*Engine, error) {
	path := filepath.Join(n.lab.Dir, n.lab.nextName("docker")+".sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("engine of %s: %w", n.Name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	e := &Engine{Socket: path, node: n, stop: stop, requests: map[string]int{}}
	e.server = &http.Server{
		Handler:           e.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	if err := n.lab.adoptServer(e); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	go func() { _ = e.server.Serve(ln) }() // ends with Close, and has nothing else to report
	return e, nil
}

// adoptServer makes the lab close s at its end.
func (l *Lab) adoptServer(s io.Closer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errClosed
	}
	l.servers = append(l.servers, s)
	return nil
}

// Host is the engine's address as DOCKER_HOST takes it.
func (e *Engine) Host() string { return "unix://" + e.Socket }

// SetDelay makes every answer come later by d.
func (e *Engine) SetDelay(d time.Duration) { e.delay.Store(int64(d)) }

// SetHang makes the engine accept requests and answer none, until it is set
// back, the client gives up or the engine closes. Requests that hang already
// are not answered any more.
func (e *Engine) SetHang(hang bool) { e.hang.Store(hang) }

// Requests counts what was asked since the last call of ResetRequests: "ping",
// "version", "list", "inspect", and "other" for what this engine does not have.
func (e *Engine) Requests() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.requests)
}

// ResetRequests sets all counters to zero.
func (e *Engine) ResetRequests() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.requests)
}

// AddSynthetic adds the sandboxes and containers of n pods that are only
// entries, "synthetic-0" and so on in the namespace "synthetic". Their PIDs are
// above the highest that Linux gives (PID_MAX_LIMIT, 2^22).
func (e *Engine) AddSynthetic(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for range n {
		e.synthetic = append(e.synthetic, syntheticPod(len(e.synthetic)/2)...)
	}
}

// Close ends the engine and all requests under way.
func (e *Engine) Close() error {
	e.stop()
	return e.server.Close()
}

func (e *Engine) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, route := range map[string]struct {
		name   string
		answer func(*http.Request) (any, error)
	}{
		"/_ping":                    {"ping", func(*http.Request) (any, error) { return "OK", nil }},
		"GET /version":              {"version", e.version},
		"GET /containers/json":      {"list", e.list},
		"GET /containers/{id}/json": {"inspect", e.inspect},
		"/": {"other", func(*http.Request) (any, error) {
			return nil, &engineError{http.StatusNotFound, "page not found"}
		}},
	} {
		mux.Handle(pattern, e.route(route.name, route.answer))
	}
	return withoutVersion(mux)
}

// engineError is an answer that is not 200.
type engineError struct {
	status  int
	message string
}

func (e *engineError) Error() string { return e.message }

var versionPrefix = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^/v([0-9]+)\.([0-9]+)(/.*)$`)
})

// withoutVersion takes the API version off the path, and refuses one that is
// newer than the engine's with Docker's own words.
func withoutVersion(next http.Handler) http.Handler {
	_, newest, _ := strings.Cut(engineAPI, ".")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := versionPrefix().FindStringSubmatch(r.URL.Path); m != nil {
			if m[1] != "1" || number(m[2]) > number(newest) {
				respond(w, nil, &engineError{http.StatusBadRequest, fmt.Sprintf(
					"client version %s.%s is too new. Maximum supported API version is %s", m[1], m[2], engineAPI)})
				return
			}
			r.URL.Path = m[3]
		}
		next.ServeHTTP(w, r)
	})
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil { // digits only, so too many of them
		return int(^uint(0) >> 1)
	}
	return n
}

func (e *Engine) route(name string, answer func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		e.requests[name]++
		alter := e.alter
		e.mu.Unlock()
		select {
		case <-e.pause():
		case <-r.Context().Done(): // the client or the engine has gone
			panic(http.ErrAbortHandler) // no answer; a return would be an empty one
		}
		body, err := answer(r)
		if alter != nil && err == nil {
			err = alter(name, &body)
		}
		respond(w, body, err)
	})
}

// pause is done when an answer may be given.
func (e *Engine) pause() <-chan time.Time {
	if e.hang.Load() {
		return nil
	}
	return time.After(time.Duration(e.delay.Load()))
}

func respond(w http.ResponseWriter, body any, err error) {
	w.Header().Set("Api-Version", engineAPI)
	w.Header().Set("Ostype", "linux")
	w.Header().Set("Server", "Docker/"+engineVersion+" (linux)")
	if text, ok := body.(string); ok {
		_, _ = w.Write([]byte(text)) // a client that is gone needs no answer
		return
	}
	status := http.StatusOK
	if err != nil {
		status = http.StatusInternalServerError
		if e := (*engineError)(nil); errors.As(err, &e) {
			status = e.status
		}
		body = map[string]string{"message": err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // as above
}

func (e *Engine) version(*http.Request) (any, error) {
	return types.Version{
		Version: engineVersion, APIVersion: engineAPI, MinAPIVersion: engineOldestAPI,
		Os: "linux", GoVersion: "go", GitCommit: "lab",
	}, nil
}

// records are all containers, the newest first, as the engine lists them.
func (e *Engine) records() []record {
	on := e.node.lab.containersOn(e.node)
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]record, 0, len(on)+len(e.synthetic))
	for i := len(on) - 1; i >= 0; i-- {
		all = append(all, on[i].record())
	}
	return append(all, e.synthetic...)
}

func (e *Engine) list(r *http.Request) (any, error) {
	args, err := filters.FromJSON(r.URL.Query().Get("filters"))
	if err == nil {
		err = args.Validate(map[string]bool{"label": true, "name": true, "id": true, "status": true})
	}
	if err != nil {
		return nil, &engineError{http.StatusBadRequest, err.Error()}
	}
	all := truthy(r.URL.Query().Get("all")) || args.Contains("status")
	list := []container.Summary{}
	for _, c := range e.records() {
		if (all || c.status.State == Running) && c.matches(args) {
			list = append(list, c.summary())
		}
	}
	return list, nil
}

// truthy reads a query parameter as the engine does (httputils.BoolValue).
func truthy(s string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	return s != "" && s != "0" && s != "no" && s != "false" && s != "none"
}

func (e *Engine) inspect(r *http.Request) (any, error) {
	asked := r.PathValue("id")
	var found []record
	for _, c := range e.records() {
		if c.ID == asked || c.Name == strings.TrimPrefix(asked, "/") {
			return c.inspect(), nil
		}
		if strings.HasPrefix(c.ID, asked) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return nil, &engineError{http.StatusNotFound, "No such container: " + asked}
	case 1:
		return found[0].inspect(), nil
	}
	return nil, &engineError{http.StatusBadRequest, "multiple IDs found with provided prefix: " + asked}
}
