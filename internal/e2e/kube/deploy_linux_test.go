//go:build e2e

package kube

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNodePod deploys deploy/node.yaml with the image of `make image`, and works
// through it.
func TestNodePod(t *testing.T) {
	const own = namespace("nsenter-mcp")
	importImage(t)
	manifest := filepath.Join("..", "..", "..", "deploy", "node.yaml")
	kubectl(t, "apply", "-f", manifest)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := tryKubectl("", "-n", string(own), "describe", "pods")
			t.Logf("%s", out)
		}
		kubectl(t, "delete", "-f", manifest, "--wait=true", "--timeout=120s")
	})
	own.kubectl(t, "rollout", "status", "daemonset/nsenter-mcp", "--timeout=120s")
	agent := own.kubectl(t, "get", "pods", "-o", "jsonpath={.items[0].metadata.name}")
	node := kubectl(t, "get", "nodes", "-o", "jsonpath={.items[0].metadata.name}")
	onNode := filepath.Join(filepath.Dir(manifest), "on-node")

	n := newNamespace(t, "node-pod")
	n.apply(t, web)
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: loop}, spec: {containers: [`+crasher+`]}}`)
	server := n.until(t, "web", "ready", (*pod).ready)
	n.until(t, "scratch", "ready", (*pod).ready)
	loop := n.until(t, "loop", "crashing", func(p *pod) bool { return p.waiting("CrashLoopBackOff") })

	t.Run("no more than it needs", func(t *testing.T) {
		// The pod's own process, by what it is called on the node.
		pid := pidOf(t, own, agent)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			t.Fatal(err)
		}
		var effective uint64
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "CapBnd:"); ok {
				if _, err := fmt.Sscanf(rest, "%x", &effective); err != nil {
					t.Fatal(err)
				}
			}
		}
		const want = 1<<unix.CAP_SYS_ADMIN | 1<<unix.CAP_SYS_PTRACE | 1<<unix.CAP_NET_RAW | 1<<unix.CAP_DAC_READ_SEARCH
		if effective != want {
			t.Errorf("it may use capabilities %x, want %x", effective, want)
		}
		if here, there := readlink(t, "/proc/self/ns/pid"), readlink(t, fmt.Sprintf("/proc/%d/ns/pid", pid)); here == there {
			t.Error("it is in the node's PID namespace")
		}
	})

	t.Run("doctor", func(t *testing.T) {
		out := run(t, onNode, node, "doctor", "--json")
		var report struct{ OK bool }
		if err := json.Unmarshal([]byte(out), &report); err != nil || !report.OK {
			t.Errorf("%v: %s", err, out)
		}
	})

	t.Run("the operator's file binds who may exec", func(t *testing.T) {
		for flag, want := range map[string]string{
			"--host-root=/": "/etc/nsenter-mcp.yaml says host_root: /host",
			"--via=sh":      "/etc/nsenter-mcp.yaml alone says where to look",
		} {
			out, err := exec.Command(onNode, node, "tools", flag).CombinedOutput()
			if err == nil || !strings.Contains(string(out), want) {
				t.Errorf("%s: %v: %s", flag, err, out)
			}
		}
	})

	t.Run("an agent's way in", func(t *testing.T) {
		c := start(t, exec.Command(onNode, node))
		for _, p := range []*pod{server, loop} {
			a := c.succeed(t, "netns_ip_addr", args{"pod": p.Metadata.Name, "namespace": string(n)})
			if all := strings.Join(interfaces(t, a), "\n"); !strings.Contains(all, " "+n.get(t, p.Metadata.Name).Status.PodIP+"/24") || a.Target.Via != "sandbox" {
				t.Errorf("%s: via %s\n%s\nhas not %s", p.Metadata.Name, a.Target.Via, all, p.Status.PodIP)
			}
		}
		a := c.succeed(t, "netns_curl", args{"pod": "scratch", "namespace": string(n), "url": "http://web/"})
		if !strings.Contains(string(a.Data), "hello from web") {
			t.Errorf("%s %s", a.Summary, a.Data)
		}
		a = c.succeed(t, "netns_ip_addr", args{"netns": "host"})
		if all := strings.Join(interfaces(t, a), "\n"); !strings.Contains(all, "cni0") || !strings.Contains(all, " "+server.Status.HostIP+"/24") {
			t.Errorf("the host has\n%s", all)
		}
		a = c.fail(t, "not_found", "netns_ip_addr", args{"pod": "nobody", "namespace": string(n)})
		t.Logf("%s", a.raw)
	})

	t.Run("the node's own files", func(t *testing.T) {
		text, err := os.ReadFile("/etc/resolv.conf")
		if err != nil {
			t.Skipf("this machine has none: %v", err)
		}
		a := start(t, exec.Command(onNode, node)).succeed(t, "netns_dns_lookup", args{"netns": "host", "name": "nobody.invalid.", "timeout_ms": 5000})
		var data struct {
			Resolver struct {
				From    string
				Servers []string
			}
		}
		if err := json.Unmarshal(a.Data, &data); err != nil {
			t.Fatal(err)
		}
		for _, server := range data.Resolver.Servers {
			if !strings.Contains(string(text), server) {
				t.Errorf("it has name server %s from\n%s", server, text)
			}
		}
		if data.Resolver.From != "the host" || strings.Contains("\n"+string(text), "\nnameserver ") && len(data.Resolver.Servers) == 0 {
			t.Errorf("%s", a.raw)
		}
	})

	t.Run("from afar", func(t *testing.T) {
		script, err := filepath.Abs(onNode)
		if err != nil {
			t.Fatal(err)
		}
		c := serve(t, laptop(t, script+" {node}")...)
		for _, p := range []*pod{server, loop} {
			through(t, c, p)
		}
	})

	// The roles of docs/cluster.md are what a front needs, and without them the doctor
	// says so.
	t.Run("as the user of the documentation", func(t *testing.T) {
		page, err := os.ReadFile(filepath.Join(filepath.Dir(manifest), "..", "docs", "cluster.md"))
		if err != nil {
			t.Fatal(err)
		}
		_, roles, _ := strings.Cut(string(page), "```yaml\n")
		roles, _, _ = strings.Cut(roles, "```")
		if _, err := tryKubectl(roles, "apply", "-f", "-"); err != nil {
			t.Fatalf("%v\nof\n%s", err, roles)
		}
		t.Cleanup(func() {
			if _, err := tryKubectl(roles, "delete", "-f", "-"); err != nil {
				t.Error(err)
			}
		})
		script, err := filepath.Abs(onNode)
		if err != nil {
			t.Fatal(err)
		}
		front := func(account string, words ...string) *exec.Cmd {
			cmd := exec.Command(program(), append(laptop(t, script+" {node}"), words...)...)
			cmd.Env = append(os.Environ(), "KUBECONFIG="+accountConfig(t, own, account))
			return cmd
		}
		for _, p := range []*pod{server, loop} {
			through(t, start(t, front("nsenter-mcp-user")), p)
		}
		report, _ := front("nsenter-mcp-user", "doctor", "--node", node).CombinedOutput() // the text tells
		if !strings.HasSuffix(string(report), "\nReady.\n") {
			t.Errorf("%s", report)
		}
		report, _ = front("default", "doctor").CombinedOutput()
		for _, want := range []string{"list pods", "create pods/exec in namespace nsenter-mcp", "docs/cluster.md", "\nReady in part only: see what stands above at kubernetes.rbac, kubernetes.exec.\n"} {
			if !strings.Contains(string(report), want) {
				t.Errorf("%q is missing in\n%s", want, report)
			}
		}
	})

	t.Run("one call", func(t *testing.T) {
		out := run(t, onNode, node, "call", "resolve_pod_pid", "pod="+string(n)+"/scratch")
		if !strings.Contains(out, `"via": "sandbox"`) {
			t.Errorf("%s", out)
		}
	})
}

// importImage puts the program under test into the node's runtime, as the image
// that the manifest names.
func importImage(t *testing.T) {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	run(t, "go", "-C", filepath.Join("..", "..", ".."), "run", "./internal/mkimage", "-ref", "docker.io/library/nsenter-mcp:dev",
		"-file", "/nsenter-mcp="+program(), "-entrypoint", "/nsenter-mcp", "-out", archive)
	run(t, "ctr", "-n", "k8s.io", "images", "import", archive)
}

// pidOf is the PID on the node of a pod's first container.
func pidOf(t *testing.T, n namespace, name string) int {
	t.Helper()
	_, id, _ := strings.Cut(n.get(t, name).Status.ContainerStatuses[0].ContainerID, "://")
	for line := range strings.Lines(cri(t, "ps")) {
		if words := strings.Fields(line); words[0] == id {
			for _, w := range words {
				var pid int
				if _, err := fmt.Sscanf(w, "pid=%d", &pid); err == nil {
					return pid
				}
			}
		}
	}
	t.Fatalf("the runtime knows no container %s", id)
	return 0
}

func readlink(t *testing.T, path string) string {
	t.Helper()
	to, err := os.Readlink(path)
	if err != nil {
		t.Fatal(err)
	}
	return to
}
