//go:build e2e

package kube

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	noSocket = "--runtime-endpoint=unix:///run/no-such.sock"
	noConfig = "--kubeconfig=/dev/null"
)

// TestWithoutASource takes the sources away, one after the other and together:
// the same pod is found and entered by those that are left.
func TestWithoutASource(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, "sources")
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: found}, spec: {containers: [`+sleeper+`]}}`)
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: loop}, spec: {containers: [`+crasher+`]}}`)
	n.until(t, "found", "ready", (*pod).ready)
	n.until(t, "loop", "crashing", func(p *pod) bool { return p.waiting("CrashLoopBackOff") })
	for name, flags := range map[string][]string{
		"all there":          nil,
		"no API":             {noConfig},
		"no runtime":         {noSocket},
		"files alone":        {noSocket, noConfig},
		"runtime hangs":      {"--runtime-endpoint=" + silent(t, "unix")},
		"API hangs":          {"--kubeconfig=" + kubeconfigOf(t, "https://"+silent(t, "tcp"))},
		"API unreachable":    {"--kubeconfig=" + kubeconfigOf(t, "https://192.0.2.1:6443")},
		"API refuses":        {"--kubeconfig=" + kubeconfigOf(t, "https://127.0.0.1:1")},
		"runtime, API hang":  {"--runtime-endpoint=" + silent(t, "unix"), "--kubeconfig=" + kubeconfigOf(t, "https://"+silent(t, "tcp"))},
		"API forbids":        {"--kubeconfig=" + powerless(t, n)},
		"forbids, no socket": {"--kubeconfig=" + powerless(t, n), noSocket},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, flags...)
			for _, which := range []string{"found", "loop"} {
				p := n.get(t, which)
				began := time.Now()
				a := c.succeed(t, "netns_ip_addr", args{"pod": which, "namespace": string(n)})
				// 5 times what it should be at most.
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("%s took %s", which, took)
				}
				if all := strings.Join(interfaces(t, a), "\n"); !strings.Contains(all, " "+p.Status.PodIP+"/24") {
					t.Errorf("%s: %s\nhas not %s", which, all, p.Status.PodIP)
				}
			}
		})
	}
}

// TestRuntime: the runtime that is asked is the one that the bed was made with.
func TestRuntime(t *testing.T) {
	t.Parallel()
	want := "containerd 1."
	if os.Getenv("BED_FLAVOUR") == "containerd2" {
		want = "containerd 2."
	}
	out, err := exec.CommandContext(t.Context(), program(), "doctor", "--json").Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var report struct{ Checks []struct{ ID, Detail string } }
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Checks {
		if c.ID == "source.containerd" && strings.HasPrefix(c.Detail, want) {
			return
		}
	}
	t.Errorf("%s, want %s", out, want)
}

// TestWhoFailed asks for a pod that nobody knows: the answer comes in time, and
// says which source could not be asked and why.
func TestWhoFailed(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, "who-failed")
	for _, c := range []struct {
		name, flag string
		source     string
		says       []string
	}{
		{"runtime hangs", "--runtime-endpoint=" + silent(t, "unix"), "cri", nil},
		{"API hangs", "--kubeconfig=" + kubeconfigOf(t, "https://"+silent(t, "tcp")), "kubernetes", nil},
		{"API refuses", "--kubeconfig=" + kubeconfigOf(t, "https://127.0.0.1:1"), "kubernetes", []string{"refused"}},
		{"API forbids", "--kubeconfig=" + powerless(t, n), "kubernetes", []string{"pods"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, c.flag)
			began := time.Now()
			a := server.ask(t, "resolve_pod_pid", args{"pod": "nobody-knows-me", "namespace": string(n)})
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("it took %s", took)
			}
			if a.Error == nil {
				t.Fatalf("found: %s", a.raw)
			}
			t.Logf("%s", a.raw)
			has(t, string(a.raw), append([]string{c.source}, c.says...))
		})
	}
}

// TestAnotherCluster: the kubeconfig is of a cluster that this node is not in, but
// has a node and a pod of the same names, as clusters made by one tool have.
func TestAnotherCluster(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, "another")
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: here}, spec: {containers: [`+sleeper+`]}}`)
	p := n.until(t, "here", "ready", (*pod).ready)
	c := serve(t, "--kubeconfig="+kubeconfigOf(t, another(t, p)))

	a := c.succeed(t, "resolve_pod_pid", args{"pod": "here", "namespace": string(n)})
	if uid, err := field[string](a, "uid"); err != nil || uid != p.Metadata.UID {
		t.Errorf("its UID is %q, %v; want %s", uid, err, p.Metadata.UID)
	}
	// Where the API answers before it is known whose it is, a note tells of its pod.
	if strings.Contains(string(a.Data)+a.Summary, otherUID) {
		t.Errorf("another pod has got into %s", a.raw)
	}
	if all := strings.Join(interfaces(t, c.succeed(t, "netns_ip_addr", args{"pod": "here", "namespace": string(n)})), "\n"); !strings.Contains(all, " "+p.Status.PodIP+"/24") {
		t.Errorf("%s\nhas not %s", all, p.Status.PodIP)
	}
	// Its node has this node's name, and is another.
	a = c.fail(t, "on_other_node", "netns_ip_addr", args{"pod": "abroad", "namespace": string(n)})
	has(t, a.Error.Message, []string{p.Spec.NodeName})
}

const otherUID = "0abc0abc-0abc-4abc-8abc-0abc0abc0abc"

// another is the API of another cluster: that of the bed, but with another
// machine as its node, and the pod under another UID and, if asked for, another
// name.
func another(t *testing.T, p *pod) (server string) {
	t.Helper()
	node := func(field string) string {
		return kubectl(t, "get", "node", p.Spec.NodeName, "-o", "jsonpath={.status.nodeInfo."+field+"}")
	}
	words := []string{
		p.Metadata.UID, otherUID,
		node("bootID"), "0def0def-0def-4def-8def-0def0def0def",
		node("machineID"), strings.Repeat("9", 32),
	}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out, err := tryKubectl("", "get", "--raw", strings.Replace(r.URL.RequestURI(), "/abroad", "/here", 1))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		words := words
		if strings.HasSuffix(r.URL.Path, "/abroad") {
			words = append([]string{`"here"`, `"abroad"`}, words...)
		}
		// What runs here has IDs that no other cluster has.
		out = regexp.MustCompile(`containerd://[0-9a-f]{64}`).ReplaceAllString(out, "containerd://"+strings.Repeat("0", 64))
		w.Header().Set("Content-Type", "application/json")
		_, _ = strings.NewReplacer(words...).WriteString(w, out)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// silent listens on an address of its own, accepts, and never answers.
func silent(t *testing.T, network string) string {
	t.Helper()
	address, prefix := "127.0.0.1:0", ""
	if network == "unix" {
		dir, err := os.MkdirTemp("/run", "silent-") // short: a socket's path is
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		address, prefix = filepath.Join(dir, "sock"), "unix://"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = conn.Close() })
		}
	}()
	return prefix + l.Addr().String()
}

// kubeconfigOf is the bed's own with another server.
func kubeconfigOf(t *testing.T, server string) string {
	t.Helper()
	text, err := os.ReadFile(os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if before, _, ok := strings.Cut(line, "server: "); ok {
			line = before + "server: " + server + ", insecure-skip-tls-verify: true}\n"
		}
		lines = append(lines, line)
	}
	return writeFile(t, strings.Join(lines, ""))
}

// powerless is the kubeconfig of a service account that may do nothing.
func powerless(t *testing.T, n namespace) string {
	t.Helper()
	return accountConfig(t, n, "default")
}

// accountConfig is the kubeconfig of a service account.
func accountConfig(t *testing.T, n namespace, account string) string {
	t.Helper()
	token := n.kubectl(t, "create", "token", account)
	server := kubectl(t, "config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
	return writeFile(t, fmt.Sprintf(`apiVersion: v1
kind: Config
clusters:
- {name: c, cluster: {server: %q, insecure-skip-tls-verify: true}}
users:
- {name: u, user: {token: %s}}
contexts:
- {name: x, context: {cluster: c, user: u}}
current-context: x
`, server, token))
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
