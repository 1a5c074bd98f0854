package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"nsenter-mcp/nsexec"
)

// Bundles is a [Source] that asks no runtime: it reads the OCI bundles of what runs
// (config.md of the OCI runtime specification). Containerd keeps them in its state
// folder, also for nerdctl and ctr, which use no CRI. Podman's and CRI-O's are named
// by their monitors (conmon(8)), where those are root's: what the processes of other
// users say is not believed.
//
// It tells names by a list alone: to find one name, all bundles are read.
type Bundles struct{ hostFiles }

// NewBundles returns the source for the host whose files lie below root ("/").
// home stays the caller's.
func NewBundles(home *nsexec.Home, root string) *Bundles {
	return &Bundles{newHostFiles(home, root)}
}

// Name is "bundles".
func (*Bundles) Name() string { return bundlesSource }

const bundlesSource = "bundles"

// Exact finds a container by its full ID; for anything else it fails with
// [ErrCannotTell].
func (s *Bundles) Exact(ctx context.Context, q Query) ([]Workload, error) {
	if q.Pod != "" || len(q.Container) != idLength || !isHex(q.Container) {
		return nil, ErrCannotTell
	}
	all, err := s.read(ctx, func(id, _ string) bool { return id == q.Container })
	if err != nil || len(all) == 0 {
		return nil, err
	}
	sandbox, infra := all[0].config.Annotations["io.kubernetes.cri.sandbox-id"], infraName(all[0].podID())
	if sandbox != "" || infra != "" {
		all, err = s.read(ctx, func(id, name string) bool { return id == q.Container || id == sandbox || name == infra && infra != "" })
	}
	return workloadsOf(all), err
}

// List returns every container that runs, in its pod where it has one.
func (s *Bundles) List(ctx context.Context) ([]Workload, error) {
	all, err := s.read(ctx, func(string, string) bool { return true })
	return workloadsOf(all), err
}

// workloadsOf groups containers by their pods.
func workloadsOf(all []bundle) []Workload {
	joinInfra(all)
	containers := make([]dockerContainer, 0, len(all))
	for i := range all {
		containers = append(containers, all[i].dockerContainer)
	}
	return groupDocker(containers)
}

// read reads the bundles whose ID, and name where a monitor tells it, keep picks. With
// an error it returns those that could be read.
func (s *Bundles) read(ctx context.Context, keep func(id, name string) bool) ([]bundle, error) {
	return readHost(ctx, &s.hostFiles, func(files *nsexec.Files) ([]bundle, error) {
		all, here, cut := s.containerd(ctx, files, keep)
		monitored, some, err := s.monitored(ctx, files, keep)
		if !here && !some && (err == nil || errors.Is(err, fs.ErrNotExist)) {
			return nil, &absentError{what: "no containerd and no conmon runs"}
		}
		return append(all, monitored...), cmp.Or(err, cut)
	})
}

// bundle is a container with what its config.json says.
type bundle struct {
	dockerContainer
	config ociConfig
}

// ociConfig is the part of config.json that is used. The annotations are those of
// containerd's CRI plugin (pkg/cri/annotations), of nerdctl, and of podman and CRI-O.
type ociConfig struct {
	Hostname    string            `json:"hostname"`
	Annotations map[string]string `json:"annotations"`
	Linux       struct {
		CgroupsPath string `json:"cgroupsPath"`
		Namespaces  []struct {
			Type string `json:"type"`
		} `json:"namespaces"`
	} `json:"linux"`
}

// containerdStates are the state folders of containerd as it is and as Kubernetes
// distributions pack it. Docker's containers are there by ID alone, and left out.
var containerdStates = [...]string{"run/containerd", "run/k3s/containerd", "run/k0s/containerd", "var/snap/microk8s/common/run/containerd"}

const (
	// tasks is where the runtime v2 of containerd has its bundles, by namespace.
	tasks         = "io.containerd.runtime.v2.task"
	namespaceMoby = "moby"
	// maxBundles bounds the containers of one namespace, and the monitors.
	maxBundles = 2000
	// maxConfig bounds one config.json; with a seccomp profile it has about 30 KB.
	maxConfig = 1 << 20
)

// containerd reads those of containerd's containers. here: there is one that
// knows names. An error says that those of a namespace are missing.
func (s *Bundles) containerd(ctx context.Context, files *nsexec.Files, keep func(id, name string) bool) (all []bundle, here bool, err error) {
	named := func(name string) bool { return checkName("", name, "") == nil }
	for _, state := range containerdStates {
		namespaces, _ := files.ReadDir(ctx, path.Join(state, tasks), maxBundles, named) // most are not there
		for _, n := range namespaces {
			if n.Name == namespaceMoby {
				continue
			}
			here = true
			folder := path.Join(state, tasks, n.Name)
			entries, failed := files.ReadDir(ctx, folder, maxBundles, named)
			if failed != nil && !errors.Is(failed, fs.ErrNotExist) {
				err = fmt.Errorf("containers of containerd's namespace %s: %w", n.Name, failed)
			}
			for _, e := range entries {
				if !keep(e.Name, "") {
					continue
				}
				dir := path.Join(folder, e.Name)
				pid, err := files.ReadPlainFile(ctx, path.Join(dir, "init.pid"), 32)
				if err != nil {
					continue // it is being made or removed, or has no process
				}
				b := readBundle(ctx, files, dir)
				b.ID, b.Name = e.Name, cmp.Or(text(b.config.Annotations["nerdctl/name"]), e.Name)
				if b.PID, _ = strconv.Atoi(strings.TrimSpace(string(pid.Data))); s.left(b.PID, b.config.Linux.CgroupsPath) {
					b.PID, b.State = 0, StateExited
				}
				if b.Name == e.Name && len(e.Name) == idLength {
					b.Name = ""
				}
				all = append(all, b)
			}
		}
	}
	return all, here, err
}

// left reports whether the process of a container has ended: containerd keeps the task,
// and its PID, until somebody deletes it. The kernel may have given the number to
// another process since, which is in another cgroup.
func (s *Bundles) left(pid int, group string) bool {
	_, data, err := readBounded(filepath.Join(s.procRoot, strconv.Itoa(pid), "cgroup"), maxCgroup)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	// "/default/web", or "system.slice:nerdctl:<id>" for systemd (runc, docs/systemd.md).
	names := []string{path.Base(group)}
	if parts := strings.Split(group, ":"); len(parts) == 3 {
		names = append(names, parts[1]+"-"+parts[2]+".scope")
	}
	elsewhere := false
	for line := range strings.Lines(string(data)) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), ":")
		_, line, _ = strings.Cut(line, ":")
		for part := range strings.SplitSeq(line, "/") {
			if slices.Contains(names, part) {
				return false
			}
			elsewhere = elsewhere || part != ""
		}
	}
	return elsewhere && group != "" // all roots: this process is in that container itself
}

// monitored reads the bundles that monitors name. That a process is the container's
// is told by the kernel, which knows whose child it is. some: there is a monitor.
func (s *Bundles) monitored(ctx context.Context, files *nsexec.Files, keep func(id, name string) bool) (all []bundle, some bool, err error) {
	var mu sync.Mutex
	var monitors []process
	err = scanProcesses(ctx, s.procRoot, scanFor{monitor: true}, func(p process) bool {
		mu.Lock()
		defer mu.Unlock()
		monitors = append(monitors, p)
		return len(monitors) < maxBundles
	})
	if len(monitors) >= maxBundles {
		err = fmt.Errorf("there are more than %d monitors of containers", maxBundles-1)
	}
	for _, m := range monitors {
		id, name, dir := parseMonitor(s.commandLine(ctx, m.pid))
		first, _, _ := strings.Cut(m.children, " ")
		pid, failed := strconv.Atoi(first)
		if id == "" || failed != nil || !keep(id, name) {
			continue // of a container that has ended, or no monitor
		}
		b := readBundle(ctx, files, dir)
		b.ID, b.Name, b.PID = id, text(name), pid
		all = append(all, b)
	}
	return all, len(monitors) > 0, err
}

// commandLine is "" where the process has ended, or keeps it back.
func (s *Bundles) commandLine(ctx context.Context, pid int) string {
	ctx, cancel := context.WithTimeout(ctx, commandLineTime)
	defer cancel()
	p, err := s.home.OpenProcess(s.procRoot, pid)
	if err != nil {
		return ""
	}
	defer func() { _ = p.Close() }() // was only read from
	line, err := p.ReadFile(ctx, "cmdline", maxCommandLine)
	if err != nil {
		return ""
	}
	return string(line)
}

// The bounds of a command line that is read: the process can keep it back.
const (
	commandLineTime = time.Second
	maxCommandLine  = 16 << 10
)

// parseMonitor reads conmon's command line; no ID where it is none.
func parseMonitor(command string) (id, name, dir string) {
	words := strings.Split(command, "\x00")
	for i, w := range words[:len(words)-1] {
		switch w {
		case "-c", "--cid":
			id = cmp.Or(id, words[i+1])
		case "-n", "--name":
			name = cmp.Or(name, words[i+1])
		case "-b", "--bundle":
			dir = cmp.Or(dir, words[i+1])
		case "-e", "--exec-attach", "--exec-process-spec":
			return "", "", "" // of a command in a container
		}
	}
	if len(id) != idLength || !isHex(id) {
		return "", "", ""
	}
	return id, name, dir
}

// readBundle reads config.json. Without it a container has its name alone.
func readBundle(ctx context.Context, files *nsexec.Files, dir string) bundle {
	b := bundle{dockerContainer: dockerContainer{Container: Container{State: StateRunning}}}
	file, err := files.ReadPlainFile(ctx, path.Join(dir, "config.json"), maxConfig)
	if err != nil || unmarshalForeign(file.Data, &b.config) != nil {
		return b
	}
	a := b.config.Annotations
	b.Image = text(cmp.Or(a["io.kubernetes.cri.image-name"], a["nerdctl/image-ref"]))
	pod := k8sName{Pod: a["io.kubernetes.cri.sandbox-name"], Namespace: a["io.kubernetes.cri.sandbox-namespace"], UID: a["io.kubernetes.cri.sandbox-uid"]}
	if pod.Pod != "" && checkName("", pod.Pod, "") == nil {
		pod.Container = cmp.Or(text(a["io.kubernetes.cri.container-name"]), sandboxContainer)
		b.podman = pod
	}
	return b
}

// joinInfra puts podman's containers into their pods. A pod's ID stands in the
// cgroup of its containers. Its name is taken to be the hostname of its infra container,
// which it is unless somebody has chosen another one (podman-pod-create(1), --hostname),
// except where that is in the host's network and has the host's name. A note says so.
func joinInfra(all []bundle) {
	names := map[string]string{} // of pods, by ID
	for i := range all {
		b := &all[i]
		id := b.podID()
		for _, n := range b.config.Linux.Namespaces {
			if n.Type == "network" && id != "" && b.Name == infraName(id) && checkName("", b.config.Hostname, "") == nil {
				names[id] = b.config.Hostname
			}
		}
	}
	for i := range all {
		b := &all[i]
		if id := b.podID(); names[id] != "" {
			b.podman = k8sName{Container: b.Name, Pod: names[id], UID: id}
			if b.Name == infraName(id) {
				b.podman.Container = sandboxContainer
			}
		}
	}
}

// infraName is the name of the infra container of the pod with that ID.
func infraName(pod string) string {
	if pod == "" {
		return ""
	}
	return shortID(pod) + "-infra"
}

// podID is the ID of podman's pod that the container is in; "" for none.
// "/libpod_parent/POD/libpod-ID", "machine-libpod_pod_POD.slice:libpod:ID".
func (b *bundle) podID() string {
	for _, part := range strings.FieldsFunc(b.config.Linux.CgroupsPath, func(c rune) bool { return c == '/' || c == ':' }) {
		if id := containerIDIn(part); id != "" && id != b.ID {
			return id
		}
	}
	return ""
}
