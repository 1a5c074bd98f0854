package resolve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsenter-mcp/nsexec"
)

func TestEnterError(t *testing.T) {
	t.Parallel()
	tests := map[Kind]error{
		KindPermission:   &nsexec.PermissionError{Op: "open ns/net of pid 7", Need: []string{"CAP_SYS_PTRACE"}, Err: fs.ErrPermission},
		KindBusy:         os.NewSyscallError("socket", syscall.EMFILE),
		KindKernelTooOld: &nsexec.KernelTooOldError{Have: "4.18", Need: "5.8"},
		KindUnsupported:  nsexec.ErrUnsupported,
		KindNoProcess:    nsexec.ErrNoProcess,
		KindZombie:       nsexec.ErrZombie,
		KindKernelThread: nsexec.ErrKernelThread,
		KindNotNetns:     nsexec.ErrNotNetns,
		KindGone:         nsexec.ErrGone,
		KindTimeout:      context.DeadlineExceeded,
		KindInternal:     errors.New("input/output error"),
	}
	for kind, cause := range tests {
		err := enterError("pid 7", fmt.Errorf("wrapped: %w", cause))
		if err.Kind != kind || !strings.HasPrefix(err.Error(), "pid 7: ") || !errors.Is(err, cause) {
			t.Errorf("%v: got %s %q", cause, err.Kind, err.Message)
		}
		if kind != KindInternal && !strings.HasSuffix(err.Hint, ".") {
			t.Errorf("%s: hint %q is no sentence", kind, err.Hint)
		}
	}
	if err := enterError("pid 7", tests[KindPermission]); !strings.Contains(err.Message, "CAP_SYS_PTRACE") {
		t.Errorf("%q does not name the capability", err.Message)
	}
}

func TestEnded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if err := ended(ctx, nil); err.Kind != KindTimeout || err.Hint == "" || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if err := ended(ctx, nil); err.Kind != KindCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("got %+v", err)
	}
}

func TestWithoutNetwork(t *testing.T) {
	t.Parallel()
	code := 2
	r := New(Config{Node: "node-1"})
	t.Cleanup(r.Close)
	stopped := func(state State) Workload {
		w := bare("db", idA)
		w.Containers[0].State, w.Containers[0].ExitCode, w.Containers[0].Reason = state, &code, "Error"
		w.Containers[0].Message = "exec: no such file"
		return w
	}
	ended := pod("shop", "job", "main")
	ended.Sandbox, ended.Containers[0].State = nil, StateExited
	waiting := pod("shop", "new", "main")
	waiting.Sandbox, waiting.Containers[0].State = nil, StateCreated
	gone := pod("shop", "web", "main")
	gone.Sandbox.State, gone.Containers[0].State = StateExited, StateExited
	failed := pod("shop", "once", "main")
	failed.Sandbox.State, failed.Containers[0].State, failed.Containers[0].ExitCode = StateExited, StateExited, &code
	offline := pod("shop", "offline")
	offline.Sandbox.State = StateExited
	explained := pod("shop", "offline")
	explained.Sandbox.State, explained.Node = StateExited, "node-1"
	explained.Containers = []Container{{Name: "main", State: StateWaiting, Waiting: "ContainerCreating"}}
	explained.Status = &PodStatus{Phase: phasePending, Reason: reasonSandbox}
	far := pod("shop", "far", "main")
	far.Sandbox, far.Node, far.remote = nil, "node-2", true
	tests := map[string]struct {
		workload Workload
		kind     Kind
		says     string
	}{
		"exited":      {stopped(StateExited), KindNotRunning, "exit code 2 (Error); a container"},
		"restarting":  {stopped(StateRestarting), KindNotRunning, "call again"},
		"created":     {stopped(StateCreated), KindNotRunning, "docker start db"},
		"dead":        {stopped(StateDead), KindNotRunning, "nothing is left to enter"},
		"removing":    {stopped(StateRemoving), KindNotRunning, "nothing is left to enter"},
		"ended pod":   {ended, KindNotRunning, "pod shop/job has ended: container main has exited"},
		"no sandbox":  {waiting, KindNoSandbox, "kubectl describe pod"},
		"old sandbox": {gone, KindNotRunning, "the sandbox of pod shop/web has exited"},
		"failed pod":  {failed, KindNotRunning, "so the pod has no network now; container main has exited, exit code 2"},
		"CNI failed":  {offline, KindNoSandbox, "holds no container, so the pod has no network"},
		"explained":   {explained, KindNoSandbox, "node node-1 could not make its sandbox (FailedCreatePodSandBox)"},
		"other node":  {far, KindOtherNode, "runs on node node-2; this is node-1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := r.enter(t.Context(), Query{}, choice{selection: selection{workload: &test.workload, container: whole}}, nil)
			if err == nil || err.Kind != test.kind || !strings.Contains(err.Message+" "+err.Hint, test.says) {
				t.Errorf("got %+v, want %s with %q", err, test.kind, test.says)
			}
			if said := "exec: no such file"; err != nil && strings.Contains(err.Message+err.Hint, said) {
				t.Errorf("%q quotes the container", err.Message)
			}
		})
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	code := 0
	w := pod("shop", "web", "init", "app", "side")
	w.Sandbox.Runtime = "kata-qemu"
	w.Containers[0].State, w.Containers[0].ExitCode, w.Containers[0].Reason = StateExited, &code, reasonCompleted
	w.Containers[1].State = StatePaused
	w.Containers[2].State = StateRestarting
	target := &Target{Workload: w}
	(&entry{workload: &w, container: whole, target: target}).notes()
	var got []string
	for _, n := range target.Notes {
		got = append(got, n.Code)
	}
	if want := "container_paused container_not_running vm_runtime"; strings.Join(got, " ") != want {
		t.Errorf("notes are %q, want %q", got, want)
	}
	if said := noted(target, "container_not_running"); !strings.HasPrefix(said, "container side is restarting") {
		t.Errorf("got %q", said)
	}
}

// How the pod's node is tells whether anything else can be believed.
func TestNotesOfTheNode(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 25, 21, 0, 0, 0, time.UTC)
	for status, want := range map[string]string{
		"":        "",
		"False":   "the kubelet of node node-1 says that it is not ready (KubeletNotReady, since 2026-11-25T21:00:00Z)",
		"Unknown": "the kubelet of node node-1 has stopped reporting to the Kubernetes API, so the API's word on the node's pods is as old (KubeletNotReady, since 2026-11-25T21:00:00Z)",
	} {
		target := &Target{Workload: Workload{Pod: "web-0", Node: "node-1", Status: &PodStatus{Phase: phaseRunning, Ready: true}}}
		if status != "" {
			target.Workload.Status.Node = &Condition{Type: "Ready", Status: status, Reason: "KubeletNotReady", Since: since}
		}
		target.noteStatus()
		if got := noted(target, "node_not_ready"); got != want {
			t.Errorf("%q: got %q, want %q", status, got, want)
		}
	}
}

func TestSayHow(t *testing.T) {
	t.Parallel()
	w := pod("shop", "web-7", "app")
	db := bare("db-1", idA)
	tests := map[string]struct {
		query  Query
		choice choice
		want   string
	}{
		"full name":            {Query{Pod: "web-7"}, choice{selection: selection{&w, whole, byName}}, ""},
		"pod":                  {Query{Pod: "web"}, choice{selection: selection{&w, whole, byPrefix}}, `"web" is only the beginning of a name or ID; the only one that fits is pod shop/web-7`},
		"pod by sandbox":       {Query{Container: "cafe"}, choice{selection: selection{&w, whole, byPrefix}}, `"cafe" is only the beginning of a name or ID; the only one that fits is pod shop/web-7`},
		"container of a pod":   {Query{Pod: "web", Container: "app"}, choice{selection: selection{&w, 0, byPrefix}}, "the only one that fits is container app of pod shop/web-7"},
		"container, no pod":    {Query{Container: "db"}, choice{selection: selection{&db, 0, byPrefix}}, "the only one that fits is container db-1"},
		"container, by its ID": {Query{Container: idA}, choice{selection: selection{&db, 0, byID}}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target := &Target{Workload: *test.choice.workload}
			if i := test.choice.container; i != whole {
				target.Container = test.choice.workload.Containers[i].label()
			}
			target.sayHow(test.query, test.choice, false)
			if got := noted(target, "prefix_match"); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// noted returns the message of a note, "" where there is none of that code.
func noted(target *Target, code string) string {
	for _, n := range target.Notes {
		if n.Code == code {
			return n.Message
		}
	}
	return ""
}

// Where there are no network namespaces, a pod of the cluster is on another node
// all the same, to which the call can be forwarded.
func TestPodSeenFromALaptop(t *testing.T) {
	t.Parallel()
	r := New(Config{})
	t.Cleanup(r.Close)
	far, here := pod("shop", "far", "main"), bare("db", idA)
	far.Node, far.remote = "node-2", true
	for kind, w := range map[Kind]*Workload{KindOtherNode: &far, KindUnsupported: &here} {
		e := &entry{Resolver: r, ctx: t.Context(), workload: w, failures: []error{nsexec.ErrUnsupported}}
		if err := e.explain(); err.Kind != kind {
			t.Errorf("%s: %+v, want %s", w.describe(), err, kind)
		}
	}
}
