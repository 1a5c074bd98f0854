//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/mcpserve/mcpclient"
)

// podmanSocket is where podman's service listens by default.
const podmanSocket = "/run/podman/podman.sock"

// TestPodman walks through what is found on a node with podman: with its service,
// which few people start, and without.
func TestPodman(t *testing.T) {
	p := startPodman(t)
	plain := p.run(t, "run", "--detach", "--name", p.name("plain"), image)
	p.run(t, "run", "--detach", "--name", p.name("joined"), "--network", "container:"+p.name("plain"), image)
	p.run(t, "run", "--detach", "--name", p.name("hosted"), "--network", "host", image)
	p.run(t, "run", "--detach", "--name", p.name("stopped"), image, "exit", "7")
	p.run(t, "wait", p.name("stopped"))
	p.run(t, "pod", "create", "--name", p.name("shop"))
	p.run(t, "run", "--detach", "--pod", p.name("shop"), "--name", p.name("shop-app"), image)

	stop := p.serve(t)
	client := connect(t, program())
	t.Run("with its service", func(t *testing.T) {
		podmanFinds(t, p, client, plain)
		answer := fail(t, client, "not_running", "netns_ip_addr", map[string]any{"container": p.name("stopped")})
		if answer.Error.Details.ExitCode == nil || *answer.Error.Details.ExitCode != 7 {
			t.Errorf("the exit code is not told: %+v", answer.Error)
		}
	})
	stop()
	t.Run("without its service", func(t *testing.T) { podmanFinds(t, p, client, plain) })
}

// podmanFinds asks for what TestPodman has started.
func podmanFinds(t *testing.T, p *podman, client *mcpclient.Client, plain string) {
	t.Run("a container", func(t *testing.T) {
		want := p.run(t, "inspect", "--format", "{{.NetworkSettings.IPAddress}}", p.name("plain"))
		for _, name := range []string{p.name("plain"), plain, plain[:12], p.name("joined")} {
			answer := succeed(t, client, "netns_ip_addr", map[string]any{"container": name})
			if got := addresses(t, answer, "eth0"); !slices.Equal(got, []string{want}) {
				t.Errorf("container %s: eth0 has %v, podman inspect says %s", name, got, want)
			}
		}
		fail(t, client, "not_found", "netns_ip_addr", map[string]any{"container": "plian"})
	})
	t.Run("a pod", func(t *testing.T) {
		infra := p.run(t, "pod", "inspect", "--format", "{{.InfraContainerID}}", p.name("shop"))
		pid := p.run(t, "inspect", "--format", "{{.State.Pid}}", infra)
		want := p.run(t, "inspect", "--format", "{{.NetworkSettings.IPAddress}}", infra)
		for _, arguments := range []map[string]any{
			{"pod": p.name("shop")},
			{"pod": p.name("shop"), "container": p.name("shop-app")},
			{"pod": p.run(t, "pod", "inspect", "--format", "{{.ID}}", p.name("shop"))},
			{"container": p.name("shop-app")},
		} {
			answer := succeed(t, client, "netns_ip_addr", arguments)
			if got := addresses(t, answer, "eth0"); !slices.Equal(got, []string{want}) {
				t.Errorf("%v: eth0 has %v, want %s", arguments, got, want)
			}
			if answer.Target.Via != "sandbox" || strconv.Itoa(answer.Target.PID) != pid || answer.Target.Pod != p.name("shop") {
				t.Errorf("%v: %+v; the infra container has pid %s", arguments, answer.Target, pid)
			}
		}
	})
	t.Run("the host's network", func(t *testing.T) {
		answer := succeed(t, client, "netns_ip_addr", map[string]any{"container": p.name("hosted")})
		if !answer.Target.HostNetwork {
			t.Errorf("%+v", answer.Target)
		}
	})
	t.Run("whose is this pid", func(t *testing.T) {
		pid, err := strconv.Atoi(p.run(t, "inspect", "--format", "{{.State.Pid}}", p.name("shop-app")))
		if err != nil {
			t.Fatal(err)
		}
		answer := succeed(t, client, "resolve_pod_pid", map[string]any{"pid": pid})
		if answer.Target.Pod != p.name("shop") || answer.Target.Container != p.name("shop-app") {
			t.Errorf("%+v", answer.Target)
		}
	})
	t.Run("which are there", func(t *testing.T) {
		answer := succeed(t, client, "list_pods", nil)
		for _, name := range []string{`"pod":"` + p.name("shop") + `"`, `"container":"` + p.name("plain") + `"`, `"container":"` + p.name("joined") + `"`} {
			if strings.Count(string(answer.Data), name) != 1 {
				t.Errorf("%s is not there once in %s", name, answer.Data)
			}
		}
	})
}

// podman runs the command with its files below folders that only this run sees.
type podman struct{ env []string }

// podmanConf asks for what needs no systemd, no privilege that CI lacks, and no
// version of the cgroups.
const podmanConf = `
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
`

// startPodman prepares podman and loads the image; the test's end removes all.
func startPodman(t *testing.T) *podman {
	t.Helper()
	// Not in the machine's own folders: a file system laid over them goes with the run.
	const state = "/var/lib/containers"
	made := os.Mkdir(state, 0o755) == nil
	if err := unix.Mount("tmpfs", state, "tmpfs", 0, "mode=0755"); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "containers.conf")
	if err := os.WriteFile(conf, []byte(podmanConf), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign := len(libpodGroups(t)) > 0
	p := &podman{env: append(os.Environ(), "CONTAINERS_CONF="+conf)}
	t.Cleanup(func() {
		p.run(t, "pod", "rm", "--all", "--force", "--time", "0")
		p.run(t, "rm", "--ignore", "--force", "--time", "0", p.name("joined")) // before the one whose network it uses
		p.run(t, "rm", "--all", "--force", "--time", "0")
		removeLibpodGroups(t, foreign)
		// Now no monitor is left whose last command would write there.
		unmountBelow(t, state)
		if err := unix.Unmount(state, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
		if made {
			_ = os.Remove(state) // unless somebody else uses it by now
		}
	})
	cmd := p.command("import", "--change", `ENTRYPOINT ["/guest"]`, "-", image)
	cmd.Stdin = guestLayer(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return p
}

// removeLibpodGroups waits for podman's monitors and removes the cgroups.
func removeLibpodGroups(t *testing.T, foreign bool) {
	t.Helper()
	if foreign {
		return // another podman on this machine has its groups there too
	}
	// Podman leaves the groups of pods, and its monitors are the last to leave theirs.
	await(t, 60*time.Second, "podman's cgroups are removed", func() bool {
		for _, root := range libpodGroups(t) {
			var groups []string
			_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					groups = append(groups, path)
				}
				return nil
			})
			for _, g := range slices.Backward(groups) {
				_ = unix.Rmdir(g) // unless a process is left in it
			}
		}
		return len(libpodGroups(t)) == 0
	})
}

// libpodGroups are podman's top cgroups, in each hierarchy.
func libpodGroups(t *testing.T) []string {
	t.Helper()
	first, err := filepath.Glob("/sys/fs/cgroup/libpod_parent")
	more, err2 := filepath.Glob("/sys/fs/cgroup/*/libpod_parent")
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return append(first, more...)
}

// name is one that no other podman on this machine uses: what runs is seen by the
// processes of the machine.
func (*podman) name(name string) string { return fmt.Sprintf("%s-e2e-%d", name, os.Getpid()) }

func (p *podman) command(args ...string) *exec.Cmd {
	cmd := exec.Command("podman", args...)
	cmd.Env = p.env
	return cmd
}

// run returns what the command prints.
func (p *podman) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.command(args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("podman %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// serve starts podman's service and returns what stops it.
func (p *podman) serve(t *testing.T) (stop func()) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(podmanSocket), 0o700); err != nil {
		t.Fatal(err)
	}
	service := p.command("system", "service", "--time", "0", "unix://"+podmanSocket)
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	stop = func() {
		_ = service.Process.Signal(syscall.SIGTERM)
		_ = service.Wait() // ended by the signal
		_ = os.Remove(podmanSocket)
	}
	t.Cleanup(func() {
		if service.ProcessState == nil {
			stop()
		}
	})
	await(t, 60*time.Second, "podman's service answers", func() bool {
		return p.command("--remote", "--url", "unix://"+podmanSocket, "version").Run() == nil
	})
	return stop
}
