package resolve

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
)

func TestResolvePID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Files: lab.FileSpec{Extra: map[string]string{"etc/who": "pause"}}})
	target := w.resolve(t, Query{PID: &p.PID})
	inside(t, target, p.Handle)
	if target.Via != ViaPID || target.PID() != p.PID || target.App.PID() != p.PID {
		t.Errorf("got pid %d via %s", target.PID(), target.Via)
	}
	reads(t, target, "/etc/who", "pause")

	gone := p.PID
	if err := p.Delete(); err != nil {
		t.Fatal(err)
	}
	refused(t, w.resolver, Query{PID: &gone}, KindNoProcess)
	refused(t, w.resolver, Query{Netns: fmt.Sprintf("/proc/%d/ns/net", gone)}, KindNoProcess)
}

func TestResolvePIDKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if kernel := kernelThread(t); kernel != 0 {
		refused(t, w.resolver, Query{PID: &kernel}, KindKernelThread)
	}
	zombie := makeZombie(t)
	refused(t, w.resolver, Query{PID: &zombie}, KindZombie)
	for n, kind := range map[int]Kind{0: KindPIDZero, -1: KindPIDNegative, 1 << 31: KindPIDTooLarge, maxPID: KindNoProcess} {
		refused(t, w.resolver, Query{PID: &n}, kind)
	}
}

// kernelThread returns the PID of one, 0 where none is visible.
func kernelThread(t *testing.T) int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stats {
		line, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(line), "(kthreadd)") {
			n, _ := strconv.Atoi(strings.Fields(string(line))[0])
			return n
		}
	}
	t.Log("no kernel thread is visible here")
	return 0
}

// makeZombie starts a process that ends, and reaps it at the test's end.
func makeZombie(t *testing.T) int {
	t.Helper()
	p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.Wait() })
	for { // until it has ended; waiting for it would reap it
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if _, after, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(after, "Z") {
			return p.Pid
		}
		time.Sleep(time.Millisecond)
	}
}
