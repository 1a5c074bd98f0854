package resolve

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"nsenter-mcp/internal/words"
)

// NoteFilesFrom is the code of the note that says whose files a target has. It
// is of no interest to a tool that reads none.
const NoteFilesFrom = "files_from"

// NoteNoFiles is the code of the note that a target has no files. It matters
// only to who reads them.
const NoteNoFiles = "no_files"

// notes says what a reader would otherwise stumble over.
func (e *entry) notes() {
	t, w := e.target, e.workload
	if s := w.Sandbox; s != nil && e.sandboxVia() == ViaContainer && len(w.Containers) == 1 {
		t.note("network_of", "container %s uses the network of container %s", w.Containers[0].label(), sandboxLabel(s))
	}
	if s := w.Sandbox; s != nil && s.guess != "" && t.Via == ViaSandbox {
		t.note("sandbox_guessed", "no runtime told which process keeps the network: %s", s.guess)
	}
	if w.Source == bundlesSource && w.Pod != "" && len(w.UID) == idLength {
		t.note("pod_name_guessed", "podman's service was not asked: %s is the hostname of pod %s, which is the pod's name unless its maker has chosen another one",
			w.Pod, shortID(w.UID))
	}
	if w.netnsClosed() {
		t.note("netns_closed", "the runtime says that the pod's network is closed; the network only lives on in a process that is left")
	}
	if len(w.Attempts) > 0 {
		t.note("older_attempts", "%s of this pod are listed, the newest one that runs was entered", words.Plural(len(w.Attempts), "older sandbox"))
	}
	for i := range w.Containers {
		switch c := &w.Containers[i]; {
		case c.State == StatePaused:
			t.note("container_paused", "container %s is frozen (docker pause): the network is there, but nothing in the container answers", c.label())
		case c.Done() && i != e.container:
		case w.Sandbox != nil && c.State != "" && !c.State.Alive():
			t.note("container_not_running", "%s; the network is entered through the sandbox, which outlives the container", c.trouble())
		}
	}
	if name := w.runtime(); isVM(name) {
		t.note("vm_runtime", "runtime %s gives the workload a kernel or network stack of its own: this is the outer side. "+
			"Sockets, routes and firewall are seen from the inside only (kubectl exec, docker exec)", name)
	}
}

// noteStatus says what of the pod's status in the API has to be known to read an
// answer.
func (t *Target) noteStatus() {
	s := t.Workload.Status
	if s == nil {
		return
	}
	if !s.Deleted.IsZero() {
		t.note("being_deleted", "the pod is being deleted, and is to be gone by %s", s.Deleted.UTC().Format(time.RFC3339))
	}
	if n := s.Node; n != nil {
		said := "says that it is not ready"
		if n.Status == "Unknown" {
			said = "has stopped reporting to the Kubernetes API, so the API's word on the node's pods is as old"
		}
		t.note("node_not_ready", "the kubelet of node %s %s (%s, since %s)", t.Workload.Node, said, n.Reason, n.Since.UTC().Format(time.RFC3339))
	}
}

// runtime is the low-level runtime of the workload, "" where it is not known.
func (w *Workload) runtime() string {
	if w.Sandbox != nil {
		return w.Sandbox.Runtime
	}
	if len(w.Containers) > 0 {
		return w.Containers[0].Runtime
	}
	return ""
}

func (w *Workload) netnsClosed() bool { return w.Sandbox != nil && w.Sandbox.netnsClosed }

func sandboxLabel(s *Sandbox) string {
	return words.Printable(cmp.Or(s.Name, shortID(s.ID)))
}

// trouble says in one sentence what state a container is in.
func (c *Container) trouble() string {
	s := fmt.Sprintf("container %s %s", c.label(), c.State.Words())
	if why := cmp.Or(c.Waiting, c.Reason); why != "" {
		s += " (" + why + ")"
	}
	if c.ExitCode != nil && c.State != StateCreated {
		s += fmt.Sprintf(", exit code %d", *c.ExitCode)
	}
	if c.Restarts > 0 {
		s += fmt.Sprintf(", restarted %d times", c.Restarts)
	}
	return s
}

// isVM knows the runtimes whose processes do not use the host's network stack.
func isVM(runtime string) bool {
	for _, word := range []string{"kata", "runsc", "gvisor", "firecracker"} {
		if strings.Contains(runtime, word) {
			return true
		}
	}
	return false
}
