package resolve

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"nsenter-mcp/internal/lab"
)

// TestMonitorsOfOthers: what is called conmon and is not root's is not believed, even
// where /proc says that root owns the process.
func TestMonitorsOfOthers(t *testing.T) {
	t.Parallel()
	lab.OtherUsers(t)
	sleep, err := os.ReadFile(lab.Program(t, "sleep"))
	if err != nil {
		t.Fatal(err)
	}
	conmon := filepath.Join(t.TempDir(), "conmon")
	if err := errors.Join(os.WriteFile(conmon, sleep, 0o755), os.Chmod(filepath.Dir(conmon), 0o755), os.Chmod(filepath.Dir(filepath.Dir(conmon)), 0o755)); err != nil {
		t.Fatal(err)
	}
	start := func(uid uint32) int {
		cmd := exec.Command(conmon, "600")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
		return cmd.Process.Pid
	}
	ours, other := start(0), start(65534)
	var mu sync.Mutex
	var found []int
	err = scanProcesses(t.Context(), "/proc", scanFor{monitor: true}, func(p process) bool {
		mu.Lock()
		defer mu.Unlock()
		found = append(found, p.pid)
		return true
	})
	if err != nil || !slices.Contains(found, ours) || slices.Contains(found, other) {
		t.Errorf("found %v, want root's %d and not the other user's %d: %v", found, ours, other, err)
	}
}

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
	put(namespaceMoby, strings.Repeat("3", 64), "init.pid", "15")
	if _, err := s.List(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("Docker's containers alone, which have no names: %v, want ErrAbsent", err)
	}
	named, bare := strings.Repeat("1", 64), strings.Repeat("2", 64)
	put("default", "web", "init.pid", "12")
	put("default", named, "init.pid", "13")
	put("default", named, "config.json", `{"annotations":{"nerdctl/name":"shop"}}`)
	put("default", bare, "init.pid", "14\n")
	put("default", bare, "config.json", `{"annotations":`)
	put("default", "starting", "config.json", `{}`)
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
