//go:build e2e

package e2e

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// engine is a Docker engine with a socket, a data folder and a cgroup of its
// own, in the network namespace of the test.
type engine struct {
	socket string
	parent string // cgroup of its containers
}

// image is the only image: one static program, nothing else.
const image = "guest:1"

// startEngine starts dockerd and loads the image; the test's end stops it.
func startEngine(t *testing.T) *engine {
	t.Helper()
	dir := t.TempDir()
	e := &engine{
		socket: filepath.Join(dir, "docker.sock"),
		parent: fmt.Sprintf("/nsenter-mcp-e2e-%d", os.Getpid()),
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	// vfs needs no file system of a special kind below the data folder.
	cmd := exec.Command("dockerd",
		"--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"--pidfile", filepath.Join(dir, "pid"), "--host", "unix://"+e.socket,
		"--storage-driver", "vfs", "--bip", "172.31.200.1/24", "--cgroup-parent", e.parent)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		// The containers' processes end with docker rm, dockerd's containerd and
		// shims with dockerd.
		if ids := strings.Fields(e.docker(t, "ps", "--all", "--quiet")); len(ids) > 0 {
			e.docker(t, append([]string{"rm", "--force"}, ids...)...)
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			t.Error("dockerd did not end")
			_ = cmd.Process.Kill()
		}
		removeCgroups(t, e.parent)
		unmountBelow(t, dir)
		if t.Failed() {
			text, _ := os.ReadFile(log.Name())
			t.Logf("dockerd's log ends with:\n%s", tail(text, 4000))
		}
		_ = log.Close()
	})
	await(t, 60*time.Second, "dockerd answers", func() bool {
		select {
		case err := <-ended:
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd ended: %v\n%s", err, tail(text, 4000))
		default:
		}
		return exec.Command("docker", "--host", "unix://"+e.socket, "version").Run() == nil
	})
	e.load(t)
	return e
}

// docker runs the docker command and returns what it prints.
func (e *engine) docker(t *testing.T, args ...string) string {
	t.Helper()
	return run(t, nil, "docker", append([]string{"--host", "unix://" + e.socket}, args...)...)
}

// run starts a container and returns its ID.
func (e *engine) run(t *testing.T, args ...string) string {
	t.Helper()
	return e.docker(t, append([]string{"run", "--detach"}, args...)...)
}

// inspect returns one field of docker inspect.
func (e *engine) inspect(t *testing.T, container, format string) string {
	t.Helper()
	return e.docker(t, "inspect", "--format", format, container)
}

// load makes an image from scratch of the guest.
func (e *engine) load(t *testing.T) {
	t.Helper()
	run(t, guestLayer(t), "docker", "--host", "unix://"+e.socket, "import", "--change", `ENTRYPOINT ["/guest"]`, "-", image)
}

// guestLayer builds the guest and packs it.
func guestLayer(t *testing.T) *bytes.Buffer {
	t.Helper()
	guest := filepath.Join(t.TempDir(), "guest")
	build := exec.Command("go", "build", "-o", guest, "./testdata/guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the guest: %v\n%s", err, out)
	}
	program, err := os.ReadFile(guest)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	err = errors.Join(
		w.WriteHeader(&tar.Header{Name: "guest", Mode: 0o755, Size: int64(len(program))}),
		func() error { _, err := w.Write(program); return err }(),
		w.Close())
	if err != nil {
		t.Fatal(err)
	}
	return &layer
}

// pod is what the kubelet makes on a Docker node: a pause container and
// containers that share its network, under names and labels of their own.
type pod struct {
	name, namespace, uid string
	pause                string // container ID
}

// startPod runs the pause container of a pod.
func (e *engine) startPod(t *testing.T, namespace, name string) *pod {
	t.Helper()
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(namespace + "/" + name)) // never fails
	p := &pod{name: name, namespace: namespace, uid: fmt.Sprintf("%08x-0fa9-4d1f-a4c3-612b1ab02c13", sum.Sum32())}
	p.pause = e.run(t, append(p.labels("POD", "podsandbox"),
		"--name", fmt.Sprintf("k8s_POD_%s_%s_%s_0", name, namespace, p.uid), image)...)
	return p
}

// startContainer runs a container of the pod.
func (e *engine) startContainer(t *testing.T, p *pod, name string, args ...string) string {
	t.Helper()
	options := append(p.labels(name, "container"),
		"--label", "io.kubernetes.sandbox.id="+p.pause,
		"--name", fmt.Sprintf("k8s_%s_%s_%s_%s_0", name, p.name, p.namespace, p.uid),
		"--network", "container:"+p.pause)
	return e.run(t, append(options, args...)...)
}

func (p *pod) labels(container, kind string) []string {
	var options []string
	for label, value := range map[string]string{
		"io.kubernetes.pod.name":       p.name,
		"io.kubernetes.pod.namespace":  p.namespace,
		"io.kubernetes.pod.uid":        p.uid,
		"io.kubernetes.container.name": container,
		"io.kubernetes.docker.type":    kind,
	} {
		options = append(options, "--label", label+"="+value)
	}
	return options
}

// removeCgroups removes the empty groups that the engine leaves behind.
func removeCgroups(t *testing.T, parent string) {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		groups, err := filepath.Glob(filepath.Join(root, parent))
		if err != nil {
			t.Error(err)
		}
		for _, group := range groups {
			if err := syscall.Rmdir(group); err != nil {
				t.Errorf("remove cgroup %s: %v", group, err)
			}
		}
	}
}

// unmountBelow frees the test's folder of what dockerd has mounted in it.
func unmountBelow(t *testing.T, dir string) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if point := strings.Fields(line)[4]; strings.HasPrefix(point, dir+"/") {
			if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount %s: %v", point, err)
			}
		}
	}
}
