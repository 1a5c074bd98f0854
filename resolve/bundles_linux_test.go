package resolve

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBundles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := t.TempDir()
	s := NewBundles(w.Home, root)
	if _, err := s.List(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("an empty root: %v, want ErrAbsent", err)
	}
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	put := func(namespace, id, name, content string) {
		t.Helper()
		dir := filepath.Join(root, "run/containerd", tasks, namespace, id)
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	named, bare := strings.Repeat("1", 64), strings.Repeat("2", 64)
	put("default", "web", "init.pid", "12")
	put("default", named, "init.pid", "13")
	put("default", named, "config.json", `{"annotations":{"nerdctl/name":"shop"}}`)
	put("default", bare, "init.pid", "14\n")
	put("default", bare, "config.json", `{"annotations":`)
	put("default", "starting", "config.json", `{}`)
	put(namespaceMoby, strings.Repeat("3", 64), "init.pid", "15")
	ws, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, w := range ws {
		got[w.Containers[0].label()] = w.Containers[0].PID
	}
	if len(ws) != 3 || got["web"] != 12 || got["shop"] != 13 || got[bare] != 14 {
		t.Errorf("listed %v", got)
	}
	if ws, err := s.Exact(t.Context(), Query{Container: named}); err != nil || len(ws) != 1 || ws[0].Containers[0].Name != "shop" {
		t.Errorf("by ID: %+v, %v", ws, err)
	}
	for _, q := range []Query{{Container: "shop"}, {Pod: "web"}} {
		if _, err := s.Exact(t.Context(), q); !errors.Is(err, ErrCannotTell) {
			t.Errorf("%+v: %v, want ErrCannotTell", q, err)
		}
	}
}
