//go:build e2e

package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience is for what Kubernetes does in seconds on an idle machine.
const patience = 3 * time.Minute

// kubectl runs kubectl to its end and returns its standard output, trimmed.
func kubectl(t testing.TB, words ...string) string {
	t.Helper()
	out, err := tryKubectl("", words...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// tryKubectl is kubectl for any goroutine, with a standard input.
func tryKubectl(in string, words ...string) (string, error) {
	// Not the test's own context: clean-ups call it too.
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "kubectl", words...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(in), &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w\n%s", strings.Join(words, " "), err, tail(stderr.Bytes(), 2000))
	}
	return strings.TrimSpace(string(out)), err
}

// run runs a program to its end and returns its standard output, trimmed.
func run(t testing.TB, name string, words ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, words...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, tail(stderr.Bytes(), 2000))
	}
	return strings.TrimSpace(string(out))
}

// namespace is a Kubernetes namespace of a test's own.
type namespace string

// newNamespace makes one that is deleted with the test.
func newNamespace(t testing.TB, name string) namespace {
	t.Helper()
	kubectl(t, "create", "namespace", name)
	t.Cleanup(func() {
		if t.Failed() {
			pods, _ := tryKubectl("", "get", "pods", "-A", "-o", "wide")
			events, _ := tryKubectl("", "get", "events", "-n", name)
			t.Logf("pods:\n%s\nevents:\n%s", pods, events)
		}
		// Force: nobody waits for pods that ignore the signal.
		if _, err := tryKubectl("", "delete", "pods", "--all", "-n", name, "--grace-period=0", "--force", "--wait=false"); err != nil {
			t.Error(err)
		}
		if _, err := tryKubectl("", "delete", "namespace", name, "--wait=false"); err != nil {
			t.Error(err)
		}
	})
	n := namespace(name)
	await(t, "the default service account", func() bool {
		_, err := tryKubectl("", "get", "serviceaccount", "default", "-n", name)
		return err == nil
	})
	return n
}

// kubectl runs kubectl in the namespace.
func (n namespace) kubectl(t testing.TB, words ...string) string {
	t.Helper()
	return kubectl(t, append([]string{"-n", string(n)}, words...)...)
}

// apply makes what a manifest says.
func (n namespace) apply(t testing.TB, manifest string) {
	t.Helper()
	if _, err := tryKubectl(manifest, "-n", string(n), "apply", "-f", "-"); err != nil {
		t.Fatalf("%v\nof\n%s", err, manifest)
	}
}

// exec runs a command in a container of a pod, "" for its only one.
func (n namespace) exec(t testing.TB, pod, container string, words ...string) string {
	t.Helper()
	line := []string{"exec", pod}
	if container != "" {
		line = append(line, "-c", container)
	}
	return n.kubectl(t, append(append(line, "--"), words...)...)
}

// pod is what the API says of a pod, as far as these tests read it.
type pod struct {
	Metadata struct {
		Name, Namespace, UID string
		DeletionTimestamp    string
	}
	Spec struct {
		NodeName    string
		HostNetwork bool
	}
	Status struct {
		Phase, Reason, PodIP, HostIP string

		Conditions                 []struct{ Type, Status, Reason string }
		InitContainerStatuses      []containerStatus
		ContainerStatuses          []containerStatus
		EphemeralContainerStatuses []containerStatus
	}
}

type containerStatus struct {
	Name, ContainerID string
	Ready             bool
	RestartCount      int
	State             struct {
		Waiting    *struct{ Reason string }
		Running    *struct{ StartedAt string }
		Terminated *struct {
			Reason   string
			ExitCode int
		}
	}
}

// all are the statuses of the pod's containers of every kind.
func (p *pod) all() []containerStatus {
	return slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses, p.Status.EphemeralContainerStatuses)
}

// is reports whether the pod has a condition of that type and status.
func (p *pod) is(condition string) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == condition {
			return c.Status == "True"
		}
	}
	return false
}

// waiting reports whether a container waits for one of the reasons.
func (p *pod) waiting(reasons ...string) bool {
	return slices.ContainsFunc(p.all(), func(c containerStatus) bool {
		return c.State.Waiting != nil && slices.Contains(reasons, c.State.Waiting.Reason)
	})
}

// ready reports whether the pod is ready.
func (p *pod) ready() bool { return p.is("Ready") }

// get asks the API for a pod.
func (n namespace) get(t testing.TB, name string) *pod {
	t.Helper()
	p := new(pod)
	if err := json.Unmarshal([]byte(n.kubectl(t, "get", "pod", name, "-o", "json")), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// until waits until the pod is as done says, and returns it.
func (n namespace) until(t testing.TB, name, what string, done func(*pod) bool) *pod {
	t.Helper()
	var p *pod
	await(t, fmt.Sprintf("pod %s/%s is %s", n, name, what), func() bool {
		p = n.get(t, name)
		return done(p)
	})
	return p
}

// await polls for something that no event announces.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain until %s", patience, what)
		}
	}
}
