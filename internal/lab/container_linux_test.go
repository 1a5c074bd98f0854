package lab_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

func TestPodProcess(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	p := l.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{{
		Name: "app", Args: []string{"/bin/app", "--port=80"}, Env: []string{"HTTP_PROXY=http://proxy:3128"},
	}}})
	app := p.Containers[0]

	pinned, err := l.Home.OpenProcess("/proc", p.PID)
	if err != nil {
		t.Fatal(err)
	}
	defer pinned.Close()
	stat, err := pinned.Stat()
	if err != nil || stat.Comm != "pause" {
		t.Errorf("got name %q, %v, want pause", stat.Comm, err)
	}
	ns, err := pinned.Net()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if !ns.Identity().Same(p.Handle.Identity()) {
		t.Error("the process is not in the pod's network namespace")
	}

	mine, pauses, apps := namespaces(t, os.Getpid()), namespaces(t, p.PID), namespaces(t, app.PID())
	for _, kind := range []string{"net", "mnt", "uts", "ipc", "pid"} {
		if pauses[kind] == mine[kind] {
			t.Errorf("pause is in the %s namespace of the lab", kind)
		}
		if same := apps[kind] == pauses[kind]; same != (kind == "net") {
			t.Errorf("%s namespace of the app and pause the same: %t", kind, same)
		}
	}
	for path, want := range map[string]string{
		fmt.Sprintf("/proc/%d/cmdline", app.PID()):      "/bin/app\x00--port=80\x00",
		fmt.Sprintf("/proc/%d/cmdline", p.PID):          "/pause\x00",
		fmt.Sprintf("/proc/%d/root/proc/1/comm", p.PID): "pause\n",
	} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: got %q, %v, want %q", path, got, err, want)
		}
	}
	if env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", app.PID())); err != nil || !strings.HasPrefix(string(env), "HTTP_PROXY=http://proxy:3128\x00") {
		t.Errorf("environment %q, %v", env, err)
	}
	// What a mount namespace copied of other pods would keep them alive.
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", p.PID))
	if err != nil || strings.Count(string(mounts), "\n") != 2 {
		t.Errorf("mounts of pause: %s %v", mounts, err)
	}
}

func namespaces(t *testing.T, pid int) map[string]string {
	t.Helper()
	m := map[string]string{}
	for _, kind := range []string{"net", "mnt", "uts", "ipc", "pid"} {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
		if err != nil {
			t.Fatal(err)
		}
		m[kind] = link
	}
	return m
}

func TestFiles(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	p := l.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{
		{Name: "same"},
		{Name: "own", Files: lab.FileSpec{ResolvConf: "nameserver 192.0.2.53\n", Extra: map[string]string{"etc/ssl/ca.pem": "x"}}},
		{Name: "odd", Files: lab.FileSpec{Prepare: func(root string) error {
			if err := os.Remove(filepath.Join(root, "etc/resolv.conf")); err != nil {
				return err
			}
			return os.Symlink("/run/elsewhere", filepath.Join(root, "etc/resolv.conf"))
		}}},
	}})
	same, own, odd := p.Containers[0], p.Containers[1], p.Containers[2]

	const cluster = "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
	inside := func(c *lab.Container, name string) string {
		t.Helper()
		files, err := l.Home.OpenFiles(fmt.Sprintf("/proc/%d/root", c.PID()))
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		f, err := files.ReadFile(context.Background(), name, 1<<16)
		if err != nil {
			t.Fatal(err)
		}
		return string(f.Data)
	}
	for _, tt := range []struct {
		c          *lab.Container
		name, want string
	}{
		{p.Sandbox, "/etc/resolv.conf", cluster},
		{same, "/etc/resolv.conf", cluster},
		{own, "/etc/resolv.conf", "nameserver 192.0.2.53\n"},
		{own, "/etc/ssl/ca.pem", "x"},
		{same, "/etc/hostname", "web-0\n"},
		{same, "/etc/nsswitch.conf", "hosts: files dns\n"},
	} {
		if got := inside(tt.c, tt.name); got != tt.want {
			t.Errorf("%s of %s: got %q, want %q", tt.name, tt.c.Name, got, tt.want)
		}
	}
	if got := inside(same, "/etc/hosts"); !strings.Contains(got, p.IP.String()+"\tweb-0\n") {
		t.Errorf("hosts: %q", got)
	}
	if to, err := os.Readlink(fmt.Sprintf("/proc/%d/root/etc/resolv.conf", odd.PID())); err != nil || to != "/run/elsewhere" {
		t.Errorf("link to %q, %v", to, err)
	}
	// The runtime's path and the container's are one file.
	if err := os.WriteFile(p.Sandbox.ResolvConf, []byte("nameserver 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := inside(same, "/etc/resolv.conf"); got != "nameserver 192.0.2.1\n" {
		t.Errorf("after a change outside: %q", got)
	}
}

func TestContainerStates(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	p := l.Pod(t, lab.PodSpec{Containers: []lab.ContainerSpec{
		{Name: "crash", State: lab.Exited, ExitCode: 137, Restarts: 5},
		{Name: "waiting", State: lab.Created},
		{Name: "app"},
	}})
	for i, want := range []lab.Status{
		{State: lab.Exited, ExitCode: 137, Restarts: 5}, {State: lab.Created}, {State: lab.Running},
	} {
		got := p.Containers[i].Status()
		if got.State != want.State || got.ExitCode != want.ExitCode || got.Restarts != want.Restarts || (got.PID != 0) != (want.State == lab.Running) {
			t.Errorf("%s: got %+v", p.Containers[i].Name, got)
		}
	}

	app := p.Containers[2]
	if err := app.Exit(3); err != nil {
		t.Fatal(err)
	}
	if s := app.Status(); s.State != lab.Exited || s.ExitCode != 3 || s.PID != 0 || s.FinishedAt.Before(s.StartedAt) {
		t.Errorf("after exit: %+v", s)
	}
	next, err := p.Restart(app)
	if err != nil {
		t.Fatal(err)
	}
	if next.ID == app.ID || !strings.HasSuffix(next.Name, "_1") || next.PID() == 0 || p.Containers[2] != next {
		t.Errorf("successor %s %+v", next.Name, next.Status())
	}
	if err := unix.Kill(next.PID(), unix.SIGKILL); err != nil { // by nobody the lab knows of
		t.Fatal(err)
	}
	if err := next.Kill(); err != nil { // waits
		t.Fatal(err)
	}
	if s := next.Status(); s.ExitCode != 128+9 {
		t.Errorf("after SIGKILL: %+v", s)
	}
	if !p.Sandbox.Netns().Handle.Identity().Same(p.Handle.Identity()) || p.Sandbox.PID() != p.PID {
		t.Error("the sandbox did not outlive its containers")
	}
}

func TestContainersWithoutPod(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	web := l.Container(t, lab.ContainerSpec{Name: "web"})
	side := l.Container(t, lab.ContainerSpec{Name: "side", Join: web})
	host := l.Container(t, lab.ContainerSpec{Name: "host", Style: lab.HostNetwork})
	stopped := l.Container(t, lab.ContainerSpec{Name: "stopped", State: lab.Exited, ExitCode: 1})

	if !side.Netns().Handle.Identity().Same(web.Netns().Handle.Identity()) {
		t.Error("side does not share web's network")
	}
	if !host.Netns().Handle.Identity().Same(l.Node.Handle.Identity()) || host.Hostname != l.Node.Name {
		t.Error("host is not in the node's network")
	}
	if stopped.Netns() != nil {
		t.Error("a stopped container still has a network")
	}

	before, ip, pid := web.Netns().Handle.Identity(), web.Netns().IP, web.PID()
	if err := web.Restart(); err != nil {
		t.Fatal(err)
	}
	after := web.Netns()
	if after.Handle.Identity().Same(before) || after.IP != ip || web.PID() == pid || web.Status().Restarts != 1 {
		t.Errorf("after a restart: %s %+v", after.IP, web.Status())
	}
	serve(t, after, "web")
	wantGet(t, host.Netns(), ip, 80, "web")
	if err := stopped.Restart(); err != nil {
		t.Fatal(err)
	}
	wantGet(t, stopped.Netns(), ip, 80, "web")
}

func TestDelete(t *testing.T) {
	t.Parallel()
	l := lab.Start(t)
	spec := lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{}}}
	first := l.Pod(t, spec)
	fd := pidfd(t, first.PID)
	if err := first.Delete(); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, fd)
	if _, err := os.Stat(first.Path); err == nil {
		t.Error("the namespace is still pinned")
	}
	if out, err := l.Node.Output("ip", "link", "show", first.HostLink); err == nil {
		t.Errorf("the veth is still there: %s", out)
	}
	spec.IP = first.IP
	second := l.Pod(t, spec)
	if second.UID == first.UID || second.IP != first.IP {
		t.Errorf("got uid %s, address %s", second.UID, second.IP)
	}
	serve(t, second.Netns, "second")
	wantGet(t, l.Node.Netns, second.IP, 80, "second")
}
