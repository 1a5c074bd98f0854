package resolve

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/nsexec"
)

// world is a lab with a Docker engine, and a resolver for its first node.
type world struct {
	*lab.Lab
	engine   *lab.Engine
	docker   *Docker
	resolver *Resolver
}

func newWorld(tb testing.TB, more ...Source) *world {
	tb.Helper()
	w := &world{Lab: lab.Start(tb)}
	var err error
	if w.engine, err = w.Node.Engine(); err != nil {
		tb.Fatal(err)
	}
	w.docker = NewDocker(DockerOptions{Host: w.engine.Host()})
	tb.Cleanup(func() { _ = w.docker.Close() })
	w.resolver = w.resolverFor(tb, Config{Sources: append([]Source{w.docker}, more...), AllowHostNetwork: true})
	return w
}

// resolverFor completes a configuration for the lab's first node. Its sources
// have all the time that a busy machine may need.
func (w *world) resolverFor(tb testing.TB, cfg Config) *Resolver {
	tb.Helper()
	cfg.Home, cfg.Host, cfg.Node = w.Home, w.Node.Handle, w.Node.Name
	r := New(cfg)
	r.limits.source = time.Minute
	tb.Cleanup(r.Close)
	return r
}

// resolve opens a target that the test's end closes.
func (w *world) resolve(t *testing.T, q Query) *Target {
	t.Helper()
	return open(t, w.resolver, q)
}

func open(t *testing.T, r *Resolver, q Query) *Target {
	t.Helper()
	target, err := r.Resolve(t.Context(), q)
	if err != nil {
		var e *Error
		if errors.As(err, &e) {
			t.Fatalf("%+v: %s: %s\nsteps: %+v", q, e.Kind, e.Message, e.Steps)
		}
		t.Fatalf("%+v: %v", q, err)
	}
	t.Cleanup(func() {
		if err := target.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return target
}

// refused expects an error of a kind.
func refused(t *testing.T, r *Resolver, q Query, kind Kind) *Error {
	t.Helper()
	target, err := r.Resolve(t.Context(), q)
	if err == nil {
		_ = target.Close()
		t.Fatalf("%+v: got a target, want %s", q, kind)
	}
	var e *Error
	if !errors.As(err, &e) || e.Kind != kind {
		t.Fatalf("%+v: got %v, want %s", q, err, kind)
	}
	if e.Message == "" || e.Hint == "" {
		t.Errorf("%+v: %s without message or hint: %+v", q, kind, e)
	}
	return e
}

// inside reports an error unless the target is in the namespace of handle.
func inside(t *testing.T, target *Target, handle *nsexec.Handle) {
	t.Helper()
	if got, want := target.Net.Identity(), handle.Identity(); !got.Same(want) {
		t.Errorf("entered %s (cookie %d), want %s (cookie %d)", got, got.Cookie, want, want.Cookie)
	}
}

// reads expects a file of the target to hold content.
func reads(t *testing.T, target *Target, name, content string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got, err := target.ReadFile(ctx, name, 4096)
	if err != nil || string(got.Data) != content {
		t.Errorf("%s of %s: got %q, %v, want %q", name, target.FilesFrom, got.Data, err, content)
	}
}

// rootWith makes a host's root directory whose /proc shows these processes only:
// the machine's own shows those of other tests too.
func rootWith(t *testing.T, pids ...int) string {
	t.Helper()
	root := t.TempDir()
	proc := filepath.Join(root, "proc")
	if err := os.Mkdir(proc, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range pids {
		name := strconv.Itoa(n)
		if err := os.Symlink("/proc/"+name, filepath.Join(proc, name)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// openFDs counts the descriptors of this process.
func openFDs(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
