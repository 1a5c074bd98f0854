package resolve

import (
	"maps"
	"slices"
	"strings"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/nsexec"
)

// chooseFiles opens the files that go with the network: of the container asked
// for, else of the default one, else of the first that runs, else of the
// sandbox, else what the runtime mounts into them. That a target has no files
// is no failure.
func (e *entry) chooseFiles() {
	t, w := e.target, e.workload
	if e.noFiles {
		return
	}
	if isVM(w.runtime()) {
		// Its processes here are those of the runtime, and may have the host's root.
		e.filesOfRuntime()
		return
	}
	for _, i := range e.containerOrder() {
		c := &w.Containers[i]
		if c.PID > 0 && c.State.Alive() && e.filesOf(w.claim(c.PID, c.ID, c.StartedAt), "container "+c.label()) {
			if e.container == whole && len(w.Containers) > 1 {
				t.note(NoteFilesFrom, "files are those of container %s; name another with container", c.label())
			} else if e.container != whole && i != e.container {
				t.note(NoteFilesFrom, "container %s does not run; files are those of container %s", w.Containers[e.container].label(), c.label())
			}
			return
		}
	}
	if t.Process != nil && e.adoptRoot(t.Process) == nil {
		t.App, t.FilesFrom = t.Process, processLabel(t.Process)
		if s := w.Sandbox; s != nil {
			t.FilesFrom = "sandbox " + sandboxLabel(s)
			t.note(NoteFilesFrom, "no container runs whose files could be read; files are those of %s", t.FilesFrom)
		}
		return
	}
	e.filesOfRuntime()
}

// filesOf opens the root of a container's process.
func (e *entry) filesOf(c claim, from string) bool {
	t := e.target
	if t.Process != nil && t.Process.PID() == c.pid {
		if e.adoptRoot(t.Process) != nil {
			return false
		}
		t.App, t.FilesFrom = t.Process, from
		return true
	}
	p, err := e.openClaimed(e.ctx, c)
	if err != nil {
		return false
	}
	if !e.sharesNetwork(p) || e.adoptRoot(p) != nil {
		_ = p.Close() // was only read from
		return false
	}
	t.own(p)
	t.App, t.FilesFrom = p, from
	return true
}

// sharesNetwork reports whether p is in the target's network, as all containers
// of a pod are; what is not is not of the pod.
func (e *entry) sharesNetwork(p *nsexec.Process) bool {
	namespaces, err := p.Namespaces()
	return err == nil && namespaces["net"].Same(e.target.Net.Identity())
}

// filesOfRuntime falls back on the sources of the mounts that the runtime makes
// for every container: they lie on the host and need no process.
func (e *entry) filesOfRuntime() {
	t, w := e.target, e.workload
	var files map[string]string
	from := ""
	for _, i := range e.containerOrder() {
		if c := &w.Containers[i]; files == nil && len(c.hostFiles) > 0 {
			files, from = c.hostFiles, "container "+c.label()
		}
	}
	if files == nil && w.Sandbox != nil && len(w.Sandbox.hostFiles) > 0 {
		files, from = w.Sandbox.hostFiles, "the sandbox"
	}
	if root, err := e.openHostRoot(t); files != nil && !w.elsewhere && err == nil {
		// A source may lie in a volume that the container can write, and a link
		// there would make us read any file of the host.
		t.host = root.ReadPlainFile
		t.overlay = func(name string) (string, bool) { path, ok := files[name]; return path, ok }
		t.FilesFrom = "what the runtime mounts into " + from
		t.note(NoteFilesFrom, "no process to read files through; only %s are known, from where the runtime keeps them", strings.Join(slices.Sorted(maps.Keys(files)), " and "))
		return
	}
	t.note(NoteNoFiles, "no files are known for this target, so the applications' resolv.conf and hosts are not known")
}

// openHostRoot pins the host's root, for files that lie there.
func (r *Resolver) openHostRoot(t *Target) (*nsexec.Files, error) {
	root, err := r.cfg.Home.OpenFiles(r.cfg.Root)
	if err != nil {
		return nil, err
	}
	t.own(root)
	return root, nil
}

// netnsFiles gives a named network namespace the files that ip-netns(8) would
// bind over those in /etc: /etc/netns/NAME/resolv.conf for /etc/resolv.conf.
func (r *Resolver) netnsFiles(t *Target, name string) {
	const all = "/etc/netns/"
	dir, shown := all+name, all+words.Printable(name)
	info, err := stat(hostPath(r.cfg.Root, dir))
	var root *nsexec.Files
	if err == nil && info.IsDir() {
		root, err = r.openHostRoot(t)
	}
	if root == nil || err != nil {
		t.note(NoteNoFiles, "there is no %s, so this namespace has no files of its own (ip-netns(8))", shown)
		return
	}
	t.host = root.ReadFile
	t.FilesFrom = shown
	t.overlay = func(name string) (string, bool) {
		rest, below := strings.CutPrefix(name, "/etc/")
		return dir + "/" + rest, below && rest != ""
	}
	t.note(NoteFilesFrom, "files are those of %s, which ip netns exec would show as /etc", shown)
}

// processFiles opens the root directory of a process that was named itself.
func (r *Resolver) processFiles(t *Target) {
	files, err := t.Process.Files()
	if err != nil {
		t.note(NoteNoFiles, "the files of %s cannot be read: %v", processLabel(t.Process), err)
		return
	}
	t.own(files)
	t.Files, t.App, t.FilesFrom = files, t.Process, processLabel(t.Process)
}

// adoptRoot makes the root directory of p the target's files.
func (e *entry) adoptRoot(p *nsexec.Process) error {
	files, err := p.Files()
	if err != nil {
		return err
	}
	e.target.own(files)
	e.target.Files = files
	return nil
}
