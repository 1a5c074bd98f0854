package resolve

import (
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
	conmon := writeProgram(t, "conmon", sleep)
	if err := errors.Join(os.Chmod(filepath.Dir(conmon), 0o755), os.Chmod(filepath.Dir(filepath.Dir(conmon)), 0o755)); err != nil {
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
	process := func(pid int, cgroup string) {
		t.Helper()
		dir := filepath.Join(root, "proc", strconv.Itoa(pid))
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "cgroup"), []byte(cgroup), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	config := func(group, more string) string { return `{"linux":{"cgroupsPath":"` + group + `"}` + more + `}` }
	put("default", "web", "init.pid", "12")
	put("default", named, "init.pid", "13")
	put("default", named, "config.json", config("system.slice:nerdctl:"+named, `,"annotations":{"nerdctl/name":"shop"}`))
	put("default", bare, "init.pid", "14\n")
	put("default", bare, "config.json", `{"annotations":`)
	put("default", "starting", "config.json", `{}`)
	process(12, "0::/default/web\n")
	process(13, "0::/system.slice/nerdctl-"+named+".scope/init\n")
	process(14, "0::/default/"+bare+"\n")
	// Those that have ended, whose tasks nobody has deleted.
	put("default", "gone", "init.pid", "15")
	put("default", "reused", "init.pid", "16")
	put("default", "reused", "config.json", config("/default/reused", ""))
	process(16, "2:pids:/\n0::/system.slice/cron.service\n")
	// Of the container in which this process is, it sees no name.
	put("default", "around", "init.pid", "17")
	put("default", "around", "config.json", config("/default/around", ""))
	process(17, "2:pids:/\n0::/\n")
	ws, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type task struct {
		pid   int
		state State
	}
	got := map[string]task{}
	for _, w := range ws {
		got[w.Containers[0].label()] = task{w.Containers[0].PID, w.Containers[0].State}
	}
	want := map[string]task{
		"web": {12, StateRunning}, "shop": {13, StateRunning}, bare: {14, StateRunning},
		"gone": {0, StateExited}, "reused": {0, StateExited}, "around": {17, StateRunning},
	}
	if !maps.Equal(got, want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	// A broken bundle of another one is not even read.
	put("default", bare, "config.json", strings.Repeat("x", maxConfig+1))
	if ws, err := s.Exact(t.Context(), Query{Container: named}); err != nil || len(ws) != 1 || ws[0].Containers[0].Name != "shop" {
		t.Errorf("by ID: %+v, %v", ws, err)
	}
	if ws, err := s.Exact(t.Context(), Query{Container: strings.Repeat("9", 64)}); err != nil || len(ws) != 0 {
		t.Errorf("one that is not there: %+v, %v", ws, err)
	}
	for _, q := range []Query{{Container: "shop"}, {Pod: "web"}} {
		if _, err := s.Exact(t.Context(), q); !errors.Is(err, ErrCannotTell) {
			t.Errorf("%+v: %v, want ErrCannotTell", q, err)
		}
	}
}

// By its ID a container of a pod comes with the sandbox that has its network.
func TestBundleWithItsSandbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	root := t.TempDir()
	for id, more := range map[string]string{
		idA: `"io.kubernetes.cri.container-name":"app",`, idB: "", strings.Repeat("7", 64): `"io.kubernetes.cri.container-name":"other",`,
	} {
		dir := filepath.Join(root, "run/containerd", tasks, "k8s.io", id)
		config := `{"annotations":{` + more + `"io.kubernetes.cri.sandbox-id":"` + idB + `","io.kubernetes.cri.sandbox-name":"web-0",` +
			`"io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-uid":"` + uidA + `"}}`
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.MkdirAll(filepath.Join(root, "proc/12"), 0o755),
			os.WriteFile(filepath.Join(root, "proc/12/cgroup"), nil, 0o600),
			os.WriteFile(filepath.Join(dir, "init.pid"), []byte("12"), 0o600), os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	ws, err := NewBundles(w.Home, root).Exact(t.Context(), Query{Container: idA})
	if err != nil || len(ws) != 1 || ws[0].Sandbox == nil || ws[0].Sandbox.ID != idB || len(ws[0].Containers) != 1 {
		t.Errorf("got %+v, %v", ws, err)
	}
}
