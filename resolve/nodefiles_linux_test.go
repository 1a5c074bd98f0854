package resolve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

// nodeTree is a host's root directory as a kubelet leaves it.
type nodeTree struct {
	tb   testing.TB
	root string
}

func (n nodeTree) write(name, content string) {
	n.tb.Helper()
	file := filepath.Join(n.root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		n.tb.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		n.tb.Fatal(err)
	}
}

func (n nodeTree) link(target, name string) {
	n.tb.Helper()
	file := filepath.Join(n.root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		n.tb.Fatal(err)
	}
	if err := os.Symlink(target, file); err != nil {
		n.tb.Fatal(err)
	}
}

// pod makes the folders that come before the sandbox.
func (n nodeTree) pod(p podLog) {
	n.tb.Helper()
	n.write(filepath.Join("/var/lib/kubelet/pods", p.UID, "etc-hosts"), "# Kubernetes-managed hosts file.\n")
	if err := os.MkdirAll(filepath.Join(n.root, podLogs, p.dir()), 0o755); err != nil {
		n.tb.Fatal(err)
	}
}

// log makes what there is of one attempt of a container.
func (n nodeTree) log(c containerLog) {
	n.tb.Helper()
	file := filepath.Join(podLogs, c.pod.dir(), c.name, fmt.Sprintf("%d.log", c.restarts))
	n.write(file, "out\n")
	n.write(filepath.Join("/var/lib/kubelet/pods", c.pod.UID, "containers", c.name, fmt.Sprintf("%08x", c.restarts)), "")
	if c.id != "" {
		n.link(file, filepath.Join(containerLogs, c.pod.Pod+"_"+c.pod.Namespace+"_"+c.name+"-"+c.id+".log"))
	}
}

// group makes a cgroup as far as a file system can show one that is none.
func (n nodeTree) group(name string, pids ...int) {
	n.tb.Helper()
	var b strings.Builder
	for _, pid := range pids {
		fmt.Fprintln(&b, pid)
	}
	n.write(filepath.Join(name, "cgroup.procs"), b.String())
	n.write(filepath.Join(name, "cgroup.controllers"), "pids\n")
}

// logOf is the log of a lab's pod.
func logOf(p *lab.Pod) podLog { return podLog{Namespace: p.Namespace, Pod: p.Name, UID: p.UID} }

// treeOf makes the files of a node with these pods, whose processes are found by
// a search of /proc.
func treeOf(t *testing.T, pods ...*lab.Pod) nodeTree {
	t.Helper()
	cgroups := map[int]string{}
	for _, p := range pods {
		for _, c := range append([]*lab.Container{p.Sandbox}, p.Containers...) {
			if pid := c.PID(); pid != 0 {
				cgroups[pid] = cgroupOf(p.UID, c.ID)
			}
		}
	}
	n := nodeTree{t, fakeProc(t, cgroups)}
	for _, p := range pods {
		n.pod(logOf(p))
		for _, c := range p.Containers {
			n.log(containerLog{pod: logOf(p), name: containerName(c), id: c.ID, restarts: c.Status().Restarts})
		}
	}
	return n
}

// containerName is the name in its pod.
func containerName(c *lab.Container) string {
	name, _ := parseK8sName(c.Name)
	return name.Container
}

// filesOnly is a resolver that asks nobody but the files.
func (w *world) filesOnly(tb testing.TB, root string, more ...Source) *Resolver {
	tb.Helper()
	r := w.resolverFor(tb, Config{
		Root: root, AllowHostNetwork: true,
		Sources: append([]Source{NewNodeFiles(w.Home, root), NewCgroups(root)}, more...),
	})
	r.limits.grace = r.limits.source // the files are heard although the cgroups know a UID at once
	return r
}

func TestNodeFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.Pod(t, lab.PodSpec{Name: "web-7d4b9-x2x1z", Namespace: "shop", Containers: []lab.ContainerSpec{
		{Name: "app", Files: lab.FileSpec{Extra: map[string]string{"etc/who": "app"}}}, {Name: "proxy"},
	}})
	crashing := w.Pod(t, lab.PodSpec{Name: "crash-0", Namespace: "shop", Containers: []lab.ContainerSpec{
		{Name: "app", State: lab.Exited, ExitCode: 7, Restarts: 5},
	}})
	static := w.Pod(t, lab.PodSpec{Name: "etcd-node-1", Namespace: "kube-system", UID: uidHash, Style: lab.HostNetwork, Containers: []lab.ContainerSpec{{Name: "etcd"}}})
	n := treeOf(t, web, crashing, static)
	// An older log of the same container, and one that was rotated out.
	n.log(containerLog{pod: logOf(crashing), name: "app", id: idB, restarts: 4})
	n.write(filepath.Join(podLogs, logOf(crashing).dir(), "app", "5.log.20260102-150405"), "")
	r := w.filesOnly(t, n.root)

	t.Run("by name", func(t *testing.T) {
		t.Parallel()
		for _, q := range []Query{{Pod: web.Name}, {Pod: "shop/" + web.Name}, {Pod: web.UID}, {Pod: "web-7d4b9"}} {
			target := open(t, r, q)
			inside(t, target, web.Handle)
			f := target.Workload
			if f.Pod != web.Name || f.Namespace != "shop" || f.UID != web.UID || f.Source != "files" || len(f.Containers) != 2 {
				t.Errorf("%+v: workload is %+v", q, f)
			}
			if target.PID() != web.PID || target.Via != ViaSandbox || f.Sandbox.ID != web.Sandbox.ID || f.Sandbox.Created.IsZero() {
				t.Errorf("%+v: entered pid %d via %s, sandbox %+v", q, target.PID(), target.Via, f.Sandbox)
			}
			for i, c := range f.Containers {
				if c.State != StateRunning || c.PID != web.Containers[i].PID() || c.ID != web.Containers[i].ID {
					t.Errorf("%+v: container is %+v", q, c)
				}
			}
			if said := noted(target, "sandbox_guessed"); !strings.Contains(said, "the only one of the pod that no log names") {
				t.Errorf("%+v: the guess is told as %q", q, said)
			}
			reads(t, target, "/etc/who", "app")
		}
	})
	t.Run("by container", func(t *testing.T) {
		t.Parallel()
		proxy := web.Containers[1]
		for _, q := range []Query{{Container: "proxy"}, {Container: proxy.ID}, {Container: proxy.ID[:12]}, {Pod: web.Name, Container: "proxy"}} {
			target := open(t, r, q)
			inside(t, target, web.Handle)
			if target.Container != "proxy" || target.Via != ViaSandbox || target.App.PID() != proxy.PID() {
				t.Errorf("%+v: container %q via %s, files of pid %d", q, target.Container, target.Via, target.App.PID())
			}
		}
	})
	t.Run("by process", func(t *testing.T) {
		t.Parallel()
		pid := web.Containers[0].PID()
		target := open(t, r, Query{PID: &pid})
		if f := target.Workload; f.Pod != web.Name || target.Container != "app" {
			t.Errorf("pid %d is said to be of %+v, container %q", pid, f, target.Container)
		}
	})
	t.Run("in CrashLoopBackOff", func(t *testing.T) {
		t.Parallel()
		target := open(t, r, Query{Pod: "crash-0"})
		inside(t, target, crashing.Handle)
		if c := target.Workload.Containers[0]; c.State != StateExited || c.Restarts != 5 || c.PID != 0 || c.ID != crashing.Containers[0].ID {
			t.Errorf("container is %+v", c)
		}
		if said := noted(target, "container_not_running"); !strings.Contains(said, "app has exited, restarted 5 times") {
			t.Errorf("note is %q", said)
		}
	})
	t.Run("static, in the host's network", func(t *testing.T) {
		t.Parallel()
		target := open(t, r, Query{Pod: "etcd-node-1"})
		inside(t, target, w.Node.Handle)
		if !target.HostNetwork || target.PID() != static.PID {
			t.Errorf("host network %v, pid %d", target.HostNetwork, target.PID())
		}
	})
	t.Run("list", func(t *testing.T) {
		t.Parallel()
		ws, err := NewNodeFiles(w.Home, n.root).List(t.Context())
		if err != nil || len(ws) != 3 {
			t.Fatalf("%d workloads, %v", len(ws), err)
		}
		for _, f := range ws {
			if f.Sandbox == nil || len(f.Containers) == 0 || f.Containers[0].Name == "" {
				t.Errorf("got %+v", f)
			}
			if c := f.Containers[0]; f.Pod == "crash-0" && (c.Restarts != 5 || c.State != StateExited || c.ID != crashing.Containers[0].ID) {
				t.Errorf("got %+v", c)
			}
		}
	})
	t.Run("nobody knows it", func(t *testing.T) {
		t.Parallel()
		if e := refused(t, r, Query{Pod: "web-7d4b9-x2x1y"}, KindNotFound); !slices.Contains(e.NearMisses, "shop/"+web.Name) {
			t.Errorf("near misses are %q", e.NearMisses)
		}
		refused(t, r, Query{Pod: "prod/crash-0"}, KindNotFound)
		if _, err := NewNodeFiles(w.Home, n.root).Exact(t.Context(), Query{Container: "nginx"}); !errors.Is(err, ErrCannotTell) {
			t.Errorf("a container without a pod: %v", err)
		}
	})
}

// The word of a runtime counts; files only add what it does not know.
func TestNodeFilesBesideARuntime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}})
	n := treeOf(t, web)
	n.log(containerLog{pod: logOf(web), name: "init", id: idB}) // whose container is removed
	r := w.resolverFor(t, Config{Root: n.root, Sources: []Source{w.docker, NewNodeFiles(w.Home, n.root)}})
	r.limits.grace = r.limits.source // so that both are heard
	target := open(t, r, Query{Pod: "web-0"})
	inside(t, target, web.Handle)
	if f := target.Workload; f.Source != "docker" || len(f.Containers) != 1 || f.Sandbox.Name != web.Sandbox.Name || noted(target, "sandbox_guessed") != "" {
		t.Errorf("workload is %+v, notes %+v", f, target.Notes)
	}
}

// Files do not tell a pod that has ended from one without a process for now. A
// runtime does, and is waited for before that is said.
func TestNodeFilesBeforeARuntime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	n := treeOf(t, w.Pod(t, lab.PodSpec{Name: "web-0"})) // a node has processes
	ended := podLog{Namespace: "default", Pod: "job-1", UID: uidA}
	n.pod(ended)
	n.log(containerLog{pod: ended, name: "app", id: idA})
	n.write(filepath.Join(podLogs, ended.dir(), "app", "0.log"), "")
	code := 0
	known := Workload{
		Pod: "job-1", Namespace: "default", UID: uidA, Sandbox: &Sandbox{ID: idB, State: StateExited},
		Containers: []Container{{ID: idA, Name: "app", State: StateExited, Reason: reasonCompleted, ExitCode: &code}},
	}
	r := w.resolverFor(t, Config{Root: n.root, Sources: []Source{knows("slow", 300*time.Millisecond, known), NewNodeFiles(w.Home, n.root)}})
	r.limits.grace = 0
	if e := refused(t, r, Query{Pod: "job-1"}, KindNotRunning); !strings.Contains(e.Message, "has ended: container app has exited (Completed)") {
		t.Errorf("got %q", e.Message)
	}
}

// What is left of a pod that was deleted names nothing; the one that was created
// again under its name does.
func TestNodeFilesOfDeletedPods(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.Pod(t, lab.PodSpec{Name: "db-0", Containers: []lab.ContainerSpec{{Name: "app"}}})
	n := treeOf(t, db)
	deleted := podLog{Namespace: "default", Pod: "db-0", UID: uidA}
	n.write(filepath.Join(podLogs, deleted.dir(), "app", "0.log"), "")
	moved := podLog{Namespace: "default", Pod: "moved-0", UID: uidA[:35] + "f"}
	n.write(filepath.Join(podLogs, moved.dir(), "app", "0.log"), "")
	ended := podLog{Namespace: "default", Pod: "job-1", UID: uidA[:35] + "e"}
	n.pod(ended)
	n.log(containerLog{pod: ended, name: "app", id: idA})
	waiting := podLog{Namespace: "default", Pod: "new-0", UID: uidA[:35] + "d"}
	n.pod(waiting)

	there := Workload{Pod: "moved-0", Namespace: "default", UID: "x", Node: "node-9"}
	r := w.resolverFor(t, Config{
		Root: n.root, Sources: []Source{NewNodeFiles(w.Home, n.root)}, Cluster: []Source{knows("kubernetes", 0, there)},
	})
	target := open(t, r, Query{Pod: "db-0"})
	inside(t, target, db.Handle)
	if len(target.Notes) > 0 && noted(target, "older_pod") != "" {
		t.Errorf("a deleted pod is told of: %+v", target.Notes)
	}
	refused(t, r, Query{Pod: "moved-0"}, KindOtherNode)
	if e := refused(t, r, Query{Pod: "job-1"}, KindNotRunning); !strings.Contains(e.Message, "no process of pod default/job-1 runs: container app has exited") {
		t.Errorf("got %q", e.Message)
	}
	refused(t, r, Query{Pod: "new-0"}, KindNoSandbox)
	ws, err := NewNodeFiles(w.Home, n.root).List(t.Context())
	var names []string
	for _, f := range ws {
		names = append(names, f.Pod)
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"db-0", "job-1", "new-0"}) {
		t.Errorf("listed are %q, %v", names, err)
	}
	// Without a kubelet's folders nothing shows that a pod was deleted.
	if err := os.RemoveAll(filepath.Join(n.root, "var/lib/kubelet")); err != nil {
		t.Fatal(err)
	}
	refused(t, r, Query{Pod: "moved-0"}, KindNotRunning)
}

// The cgroup of a pod is found by its name in every shape.
func TestPodProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	escaped := strings.ReplaceAll(uidA, "-", "_")
	const v2, v1, hybrid = "/sys/fs/cgroup/", "/sys/fs/cgroup/pids/", "/sys/fs/cgroup/unified/"
	burstable := "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + escaped + ".slice/"
	for name, test := range map[string]struct {
		groups map[string][]int
		want   map[string]int
	}{
		"containerd, systemd": {map[string][]int{
			v2 + burstable + "cri-containerd-" + idA + ".scope": {70, 7, 71}, v2 + burstable + "cri-containerd-" + idB + ".scope": {9},
		}, map[string]int{idA: 7, idB: 9}},
		"CRI-O, its monitor and crun's group": {map[string][]int{
			v2 + burstable + "crio-conmon-" + idA + ".scope": {5}, v2 + burstable + "crio-" + idA + ".scope": {},
			v2 + burstable + "crio-" + idA + ".scope/container": {8},
		}, map[string]int{idA: 8}},
		"guaranteed":     {map[string][]int{v2 + "kubepods.slice/kubepods-pod" + escaped + ".slice/docker-" + idA + ".scope": {6}}, map[string]int{idA: 6}},
		"cgroupfs":       {map[string][]int{v2 + "kubepods/besteffort/pod" + uidA + "/" + idA: {6}}, map[string]int{idA: 6}},
		"version 1":      {map[string][]int{v1 + "kubepods/burstable/pod" + uidA + "/" + idA: {6}}, map[string]int{idA: 6}},
		"both versions":  {map[string][]int{hybrid + burstable + idA: {6}}, map[string]int{idA: 6}},
		"kind":           {map[string][]int{v2 + "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + escaped + ".slice/cri-containerd-" + idA + ".scope": {6}}, map[string]int{idA: 6}},
		"systemd inside": {map[string][]int{v2 + burstable + "crio-" + idA + ".scope": {}, v2 + burstable + "crio-" + idA + ".scope/system.slice/x.service": {12}, v2 + burstable + "crio-" + idA + ".scope/init.scope": {11}}, map[string]int{idA: 11}},
		"Docker inside": {map[string][]int{
			v2 + burstable + "crio-" + idA + ".scope": {}, v2 + burstable + "crio-" + idA + ".scope/init": {11},
			v2 + burstable + "crio-" + idA + ".scope/docker": {}, v2 + burstable + "crio-" + idA + ".scope/docker/" + idB: {3},
		}, map[string]int{idA: 11}},
		"another PID space":  {map[string][]int{v2 + burstable + "cri-containerd-" + idA + ".scope": {0, 0}}, nil},
		"a shim only":        {map[string][]int{v2 + burstable: {4}}, nil},
		"another pod's":      {map[string][]int{v2 + "kubepods/pod" + uidHash + "/" + idA: {6}}, nil},
		"empty while ending": {map[string][]int{v2 + burstable + "cri-containerd-" + idA + ".scope": {}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := nodeTree{t, t.TempDir()}
			for group, pids := range test.groups {
				n.group(group, pids...)
			}
			files, err := w.Home.OpenFiles(n.root)
			if err != nil {
				t.Fatal(err)
			}
			defer files.Close()
			got := podProcesses(t.Context(), files, uidA)
			if len(got) != len(test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			for id, pid := range test.want {
				if len(got[id]) != 1 || got[id][0] != pid {
					t.Errorf("got %v, want %v", got, test.want)
				}
			}
		})
	}
}

// Real processes in real cgroups, below a host's root that is not "/".
func TestNodeFilesInRealCgroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}})
	app := web.Containers[0]
	mount := cgroupHere(t)
	pod := filepath.Join(mount, "kubepods", "burstable", "pod"+web.UID)
	for _, c := range []*lab.Container{web.Sandbox, app} {
		enterCgroup(t, filepath.Join(pod, c.ID), c.PID())
	}
	n := nodeTree{t, t.TempDir()}
	n.pod(logOf(web))
	n.log(containerLog{pod: logOf(web), name: "app", id: app.ID})
	for _, dir := range []string{"/proc", "/sys/fs/cgroup"} {
		at := filepath.Join(n.root, dir)
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(dir, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	files, err := w.Home.OpenFiles(n.root)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if got := podProcesses(t.Context(), files, web.UID); !slices.Equal(got[web.Sandbox.ID], []int{web.PID}) || !slices.Equal(got[app.ID], []int{app.PID()}) || len(got) != 2 {
		t.Errorf("the cgroup file system shows %v", got)
	}
	// The slower way, which does without that file system.
	all, err := NewNodeFiles(w.Home, n.root).processes(t.Context(), func(uid string) bool { return uid == web.UID })
	if got := all[web.UID]; !slices.Equal(got[web.Sandbox.ID], []int{web.PID}) || !slices.Equal(got[app.ID], []int{app.PID()}) || len(got) != 2 {
		t.Errorf("/proc shows %v, %v", got, err)
	}
	target := open(t, w.filesOnly(t, n.root), Query{Pod: "web-0"})
	inside(t, target, web.Handle)
	if target.PID() != web.PID || target.Via != ViaSandbox || target.App.PID() != app.PID() {
		t.Errorf("entered pid %d via %s, files of %d", target.PID(), target.Via, target.App.PID())
	}
}

// cgroupHere is where this machine lets cgroups be made; it skips a test where
// there is no such place.
func cgroupHere(t *testing.T) string {
	t.Helper()
	for _, mount := range cgroupMounts {
		var st unix.Statfs_t
		if unix.Statfs(mount, &st) != nil || st.Type != unix.CGROUP2_SUPER_MAGIC && st.Type != unix.CGROUP_SUPER_MAGIC {
			continue
		}
		probe := filepath.Join(mount, fmt.Sprintf("nsenter-mcp-%d", os.Getpid()))
		if os.Mkdir(probe, 0o755) == nil {
			if err := os.Remove(probe); err != nil {
				t.Fatal(err)
			}
			return mount
		}
	}
	t.Skip("no cgroup can be made here")
	return ""
}

// enterCgroup makes a cgroup with a process in it. The test's end takes both
// back.
func enterCgroup(t *testing.T, dir string, pid int) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mount := cgroupHere(t)
	t.Cleanup(func() {
		// Gone with its processes at the latest; parents may be other tests' too.
		_ = os.WriteFile(filepath.Join(mount, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
		for up := filepath.Dir(dir); up != mount; up = filepath.Dir(up) {
			if os.Remove(up) != nil {
				return
			}
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		t.Fatal(err)
	}
}

// Whatever lies in the folders, nothing outside of the root is looked at, nothing
// endless is read, and nobody is held up.
func TestNodeFilesHostile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}})
	n := treeOf(t, web)
	outside := nodeTree{t, t.TempDir()}
	far := podLog{Namespace: "out", Pod: "far-0", UID: uidA}
	outside.pod(far)
	outside.log(containerLog{pod: far, name: "app"})
	n.link(filepath.Join(outside.root, podLogs, far.dir()), filepath.Join(podLogs, far.dir()))
	n.link(strings.Repeat("../", 40)+outside.root, filepath.Join(podLogs, "climb_far-1_"+uidA))
	for _, name := range []string{"a_b_c_d", "..._x_y", "x\x1b[2J_y_z", "_", "__", strings.Repeat("x", 250)} {
		n.write(filepath.Join(podLogs, name, "app", "0.log"), "")
		n.write(filepath.Join(podLogs, "shop_file-0_"+name[:1]+uidHash), "")
		n.link("/etc/passwd", filepath.Join(containerLogs, name))
	}
	n.link("web-0_shop_app-"+idA+".log", filepath.Join(containerLogs, "web-0_shop_app-"+idA+".log")) // to itself
	fifo := filepath.Join(n.root, podLogs, logOf(web).dir(), "pipe")
	if err := unix.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	n.group("/sys/fs/cgroup/kubepods/pod" + web.UID + "/" + idA)
	procs := filepath.Join(n.root, "/sys/fs/cgroup/kubepods/pod"+web.UID, idA, "cgroup.procs")
	if err := errors.Join(os.Remove(procs), unix.Mkfifo(procs, 0o644)); err != nil {
		t.Fatal(err)
	}
	r := w.filesOnly(t, n.root)
	target := open(t, r, Query{Pod: "web-0"})
	inside(t, target, web.Handle)
	for _, q := range []Query{{Pod: "far-0"}, {Pod: "far-1"}, {Pod: "file-0"}} {
		refused(t, r, q, KindNotFound)
	}
	ws, err := NewNodeFiles(w.Home, n.root).List(t.Context())
	if err != nil || len(ws) != 1 {
		t.Errorf("listed are %+v, %v", ws, err)
	}
}

// A node's /var/log may lie on another disk: an absolute link leads there, below
// the host's root.
func TestNodeFilesThroughLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.Pod(t, lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}}})
	n := treeOf(t, web)
	for _, dir := range []string{"/var/log", "/var/lib/kubelet"} {
		to := "/data" + dir
		if err := errors.Join(
			os.MkdirAll(filepath.Join(n.root, filepath.Dir(to)), 0o755),
			os.Rename(filepath.Join(n.root, dir), filepath.Join(n.root, to)),
		); err != nil {
			t.Fatal(err)
		}
		n.link(to, dir)
	}
	target := open(t, w.filesOnly(t, n.root), Query{Pod: "web-0"})
	inside(t, target, web.Handle)
	if target.Via != ViaSandbox || len(target.Workload.Containers) != 1 {
		t.Errorf("via %s, workload %+v", target.Via, target.Workload)
	}
}

func TestNodeFilesAbsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := NewNodeFiles(w.Home, t.TempDir())
	if _, err := s.List(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("list: %v, want ErrAbsent", err)
	}
	for _, q := range []Query{{Pod: "web-0"}, {Container: "app"}} {
		if _, err := s.Exact(t.Context(), q); !errors.Is(err, ErrAbsent) {
			t.Errorf("%+v: %v, want ErrAbsent", q, err)
		}
	}
	if _, err := NewNodeFiles(w.Home, "/nosuch").List(t.Context()); !errors.Is(err, ErrAbsent) {
		t.Errorf("no root: %v, want ErrAbsent", err)
	}
}

// Docker's logs are links that tell the ID, where the kubelet makes none.
func TestNodeFilesOfDocker(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	web := w.Pod(t, lab.PodSpec{Name: "web-0", Containers: []lab.ContainerSpec{{Name: "app"}}})
	app := web.Containers[0]
	n := nodeTree{t, fakeProc(t, map[int]string{web.PID: cgroupOf(web.UID, web.Sandbox.ID), app.PID(): cgroupOf(web.UID, app.ID)})}
	n.pod(logOf(web))
	n.link("/var/lib/docker/containers/"+app.ID+"/"+app.ID+"-json.log", filepath.Join(podLogs, logOf(web).dir(), "app", "2.log"))
	target := open(t, w.filesOnly(t, n.root), Query{Pod: "web-0"})
	if c := target.Workload.Containers; target.PID() != web.PID || len(c) != 1 || c[0].ID != app.ID || c[0].Restarts != 2 || c[0].PID != app.PID() {
		t.Errorf("entered pid %d, containers %+v", target.PID(), c)
	}
	// Without any ID, the oldest is the best guess, and the network right anyway.
	if err := os.Remove(filepath.Join(n.root, podLogs, logOf(web).dir(), "app", "2.log")); err != nil {
		t.Fatal(err)
	}
	n.write(filepath.Join(podLogs, logOf(web).dir(), "app", "2.log"), "")
	target = open(t, w.filesOnly(t, n.root), Query{Pod: "web-0"})
	inside(t, target, web.Handle)
	if said := noted(target, "sandbox_guessed"); target.PID() != web.PID || !strings.Contains(said, "the oldest of 2") || !strings.Contains(said, "1 container whose") {
		t.Errorf("entered pid %d: %q", target.PID(), said)
	}
}
