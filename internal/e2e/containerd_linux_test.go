//go:build e2e

package e2e

import (
	"archive/tar"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestContainerd finds what nerdctl, ctr and a kubelet have made where containerd's
// CRI plugin is switched off, as Docker's packages do.
func TestContainerd(t *testing.T) {
	c := startContainerd(t)
	nerdctlID := strings.Repeat("5e", 32)
	c.run(t, "default", "by-hand")
	c.run(t, "default", nerdctlID, "--annotation", "nerdctl/name=shop")
	pod := []string{
		"--annotation", "io.kubernetes.cri.sandbox-name=web-0", "--annotation", "io.kubernetes.cri.sandbox-namespace=prod",
		"--annotation", "io.kubernetes.cri.sandbox-uid=1c9f0f3a-0fa9-4d1f-a4c3-612b1ab02c13",
	}
	sandbox := c.run(t, "k8s.io", strings.Repeat("6f", 32), pod...)
	c.run(t, "k8s.io", strings.Repeat("7a", 32), append(pod, "--annotation", "io.kubernetes.cri.container-name=app",
		"--with-ns", "network:/proc/"+sandbox+"/ns/net")...)

	client := connect(t, program())
	for _, test := range []struct {
		arguments      map[string]any
		pod, container string
	}{
		{map[string]any{"container": "by-hand"}, "", "by-hand"},
		{map[string]any{"container": "shop"}, "", "shop"},
		{map[string]any{"container": nerdctlID}, "", "shop"},
		{map[string]any{"pod": "prod/web-0"}, "web-0", ""},
		{map[string]any{"pod": "web-0", "container": "app"}, "web-0", "app"},
	} {
		answer := succeed(t, client, "netns_ip_addr", test.arguments)
		if answer.Target.Pod != test.pod || answer.Target.Container != test.container || answer.Target.HostNetwork {
			t.Errorf("%v: %+v", test.arguments, answer.Target)
		}
		if test.pod != "" && fmt.Sprint(answer.Target.PID) != sandbox {
			t.Errorf("%v: entered pid %d, the sandbox has %s", test.arguments, answer.Target.PID, sandbox)
		}
	}
	fail(t, client, "not_found", "netns_ip_addr", map[string]any{"container": "by-hnad"})
}

// containerd is one with folders of its own, in the namespaces of the test.
type containerd struct{ socket, rootfs, cgroup string }

func startContainerd(t *testing.T) *containerd {
	t.Helper()
	dir := t.TempDir()
	c := &containerd{
		socket: filepath.Join(dir, "containerd.sock"), rootfs: filepath.Join(dir, "rootfs"),
		cgroup: fmt.Sprintf("/nsenter-mcp-e2e-%d", os.Getpid()),
	}
	guestFolder(t, c.rootfs)
	config := filepath.Join(dir, "config.toml")
	text := "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	// Its state is where it always is, in the /run of this run.
	cmd := exec.Command("containerd", "--config", config, "--address", c.socket, "--root", filepath.Join(dir, "root"))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // ended by the signal
		removeCgroups(t, c.cgroup)
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("containerd's log ends with:\n%s", tail(text, 4000))
		}
		_ = log.Close()
	})
	await(t, 60*time.Second, "containerd answers", func() bool {
		return exec.Command("ctr", "--address", c.socket, "version").Run() == nil
	})
	return c
}

// guestFolder makes a root directory with the program of the guests.
func guestFolder(t *testing.T, dir string) {
	t.Helper()
	layer := tar.NewReader(guestLayer(t))
	_, err := layer.Next()
	if err != nil {
		t.Fatal(err)
	}
	program, err := io.ReadAll(layer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "guest"), program, 0o755); err != nil {
		t.Fatal(err)
	}
}

// run starts a container and returns the PID of its process.
func (c *containerd) run(t *testing.T, namespace, id string, options ...string) string {
	t.Helper()
	ctr := []string{"--address", c.socket, "--namespace", namespace}
	arguments := append(ctr, "run", "--detach", "--rootfs", "--cgroup", c.cgroup+"/"+id)
	arguments = append(append(arguments, options...), c.rootfs, id, "/guest")
	run(t, nil, "ctr", arguments...)
	t.Cleanup(func() { run(t, nil, "ctr", append(ctr, "containers", "delete", id)...) })
	t.Cleanup(func() { run(t, nil, "ctr", append(ctr, "tasks", "delete", "--force", id)...) })
	for line := range strings.Lines(run(t, nil, "ctr", append(ctr, "tasks", "list")...)) {
		if words := strings.Fields(line); words[0] == id {
			return words[1]
		}
	}
	t.Fatalf("container %s has no task", id)
	return ""
}
