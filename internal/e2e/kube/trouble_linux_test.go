//go:build e2e

package kube

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRecreated: the same name, another pod.
func TestRecreated(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, "recreated")
	const manifest = `{apiVersion: v1, kind: Pod, metadata: {name: phoenix}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: bare, image: "registry.k8s.io/pause:3.10"}]}}`
	n.apply(t, manifest)
	n.until(t, "phoenix", "ready", (*pod).ready)
	c := serve(t)
	in := args{"pod": "phoenix", "namespace": string(n)}
	before := c.succeed(t, "resolve_pod_pid", in)
	n.kubectl(t, "delete", "pod", "phoenix")
	n.apply(t, manifest)
	p := n.until(t, "phoenix", "ready", (*pod).ready)

	a := c.fail(t, "target_changed", "netns_ip_addr", args{"pod": "phoenix", "namespace": string(n), "expect": before.Target.NetnsCookie})
	if d := a.Error.Details; d.Was != before.Target.NetnsCookie || d.Is == 0 || d.Is == d.Was {
		t.Errorf("was %d, is %d; the first call saw %d", d.Was, d.Is, before.Target.NetnsCookie)
	}
	if all := strings.Join(interfaces(t, c.succeed(t, "netns_ip_addr", in)), "\n"); !strings.Contains(all, " "+p.Status.PodIP+"/24") {
		t.Errorf("%s\nhas not %s", all, p.Status.PodIP)
	}
}

// TestStaticPod: the kubelet makes it from a file; the API has a mirror of it
// under another UID.
func TestStaticPod(t *testing.T) {
	path := filepath.Join(state(), "run/manifests/static.yaml")
	// No brace in front: the kubelet would take it for JSON.
	const manifest = `apiVersion: v1
kind: Pod
metadata: {name: static, namespace: default}
spec: {terminationGracePeriodSeconds: 0, containers: [{name: bare, image: "registry.k8s.io/pause:3.10"}]}
`
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	const n = namespace("default")
	name := "static-" + kubectl(t, "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
	exists := func() bool {
		_, err := tryKubectl("", "-n", string(n), "get", "pod", name)
		return err == nil
	}
	t.Cleanup(func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
		await(t, "the mirror pod is gone", func() bool { return !exists() })
	})
	await(t, "there is a mirror pod", exists)
	p := n.until(t, name, "ready", (*pod).ready)
	c := serve(t)
	for _, in := range []args{{"pod": name}, {"pod": string(n) + "/" + name}} {
		a := c.succeed(t, "netns_ip_addr", in)
		if all := strings.Join(interfaces(t, a), "\n"); !strings.Contains(all, " "+p.Status.PodIP+"/24") || a.Target.Via != "sandbox" {
			t.Errorf("%v: via %s\n%s\nhas not %s", in, a.Target.Via, all, p.Status.PodIP)
		}
	}
}

// TestCNIFailed breaks the CNI configuration of the node for one pod.
func TestCNIFailed(t *testing.T) {
	n := newNamespace(t, "cni-failed")
	config := filepath.Join(state(), "run/cni/10-bed.conflist")
	right, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	replace := func(with []byte) {
		t.Helper()
		next := config + ".next" // no name that the runtime reads
		if err := os.WriteFile(next, with, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, config); err != nil {
			t.Fatal(err)
		}
	}
	replace([]byte(`{"cniVersion": "0.4.0", "name": "bed", "plugins": [{"type": "no-such-plugin"}]}`))
	mended := false
	mend := func() {
		if !mended {
			mended = true
			replace(right)
		}
	}
	t.Cleanup(mend)
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: offline}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: bare, image: "registry.k8s.io/pause:3.10"}]}}`)
	await(t, "the sandbox has failed", func() bool {
		return strings.Contains(n.kubectl(t, "get", "events", "-o", "jsonpath={.items[*].message}"), "no-such-plugin")
	})
	c := serve(t)
	in := args{"pod": "offline", "namespace": string(n)}
	c.fail(t, "no_sandbox", "netns_ip_addr", in)
	mend()
	p := n.until(t, "offline", "ready", (*pod).ready)
	if all := strings.Join(interfaces(t, c.succeed(t, "netns_ip_addr", in)), "\n"); !strings.Contains(all, " "+p.Status.PodIP+"/24") {
		t.Errorf("%s\nhas not %s", all, p.Status.PodIP)
	}
}

// TestSandboxKilled takes the pause process away while the kubelet does not
// look, and then lets it make another sandbox.
func TestSandboxKilled(t *testing.T) {
	n := newNamespace(t, "killed")
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: victim}, spec: {terminationGracePeriodSeconds: 0, containers: [{name: main, image: "busybox:1", command: [sleep, "1000000"]}]}}`)
	old := n.until(t, "victim", "ready", (*pod).ready)
	c := serve(t)
	in := args{"pod": "victim", "namespace": string(n)}
	before := c.succeed(t, "resolve_pod_pid", in)

	resume := freeze(t, "kubelet")
	if err := unix.Kill(before.Target.PID, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, "the runtime knows", func() bool {
		for line := range strings.Lines(cri(t, "pods")) {
			if strings.Contains(line, string(n)+"/victim ") {
				return strings.Contains(line, "SANDBOX_NOTREADY")
			}
		}
		return false
	})
	// The container goes on running in the same network.
	a := c.succeed(t, "netns_ip_addr", in)
	if all := strings.Join(interfaces(t, a), "\n"); a.Target.NetnsCookie != before.Target.NetnsCookie || !strings.Contains(all, " "+old.Status.PodIP+"/24") {
		t.Errorf("network %d was %d before\n%s", a.Target.NetnsCookie, before.Target.NetnsCookie, all)
	}

	resume()
	p := n.until(t, "victim", "in a new sandbox", func(p *pod) bool { return p.ready() && p.Status.PodIP != old.Status.PodIP })
	c.fail(t, "target_changed", "netns_ip_addr", args{"pod": "victim", "namespace": string(n), "expect": before.Target.NetnsCookie})
	a = c.succeed(t, "netns_ip_addr", in)
	if all := strings.Join(interfaces(t, a), "\n"); !strings.Contains(all, " "+p.Status.PodIP+"/24") {
		t.Errorf("%s\nhas not %s", all, p.Status.PodIP)
	}
	data := decode[struct {
		Sandbox struct{ Attempt int }
	}](t, c.succeed(t, "resolve_pod_pid", args{"pod": "victim", "namespace": string(n), "details": true}))
	if data.Sandbox.Attempt != 1 {
		t.Errorf("the sandbox is attempt %d, want 1", data.Sandbox.Attempt)
	}
}

// freeze stops a server of the bed until resume is called or the test ends.
func freeze(t *testing.T, name string) (resume func()) {
	t.Helper()
	line, err := os.ReadFile(filepath.Join(state(), "run/pids", name))
	if err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(string(line), &pid); err != nil {
		t.Fatalf("%v in %q", err, line)
	}
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	resume = func() {
		if err := unix.Kill(pid, unix.SIGCONT); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(resume)
	return resume
}

// cri runs the bed's little crictl.
func cri(t *testing.T, what string) string {
	t.Helper()
	return run(t, "kb", "cri", "-r", "unix:///run/containerd/containerd.sock", what)
}
