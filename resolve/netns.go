package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/nsexec"
)

// netnsDirs is where network namespaces have names, paths of the host:
// ip-netns(8) and CNI, and the Docker engine. /var/run is a link to /run almost
// everywhere.
var netnsDirs = [...]string{"/run/netns", "/var/run/netns", "/var/run/docker/netns", "/run/docker/netns"}

// hostNetns is the name of the host's own namespace.
const hostNetns = "host"

// resolveNetns opens a network namespace that is named itself.
func (r *Resolver) resolveNetns(ctx context.Context, value string, describe bool) (*Target, error) {
	t := &Target{Via: ViaNetns, Node: r.Node(), Query: Query{Netns: value, Describe: describe}}
	if err := r.openNetns(ctx, t, value); err != nil {
		return nil, t.abort(err)
	}
	if err := r.checkHost(t); err != nil {
		return nil, t.abort(err)
	}
	if t.Process == nil && describe && value != hostNetns {
		r.inhabit(ctx, t)
	}
	if t.Process != nil {
		r.identify(ctx, t, describe)
		if t.host == nil {
			r.processFiles(t)
		}
	}
	return t, nil
}

// inhabit finds a process in a network that was opened by a path, for who wants
// to know whose it is.
func (r *Resolver) inhabit(ctx context.Context, t *Target) {
	found := &Target{}
	t.own(found)
	if r.adoptOldest(ctx, found, t.Net.Identity().Inode) == nil {
		t.Process = found.Process
	}
}

func (r *Resolver) openNetns(ctx context.Context, t *Target, value string) *Error {
	switch {
	case value == hostNetns:
		r.openHost(t)
		return nil
	case strings.HasPrefix(value, "/"):
		return r.openNetnsPath(ctx, t, value)
	}
	if inode, ok := parseNetLink(value); ok {
		return r.openInode(ctx, t, inode)
	}
	if found, err := r.openNetnsName(ctx, t, value); found || err != nil {
		return err
	}
	if inode, err := strconv.ParseUint(value, 10, 64); err == nil {
		return r.openInode(ctx, t, inode)
	}
	return r.noSuchNetns(ctx, value)
}

// openHost takes the Resolver's own handle, which the target does not close, and
// the host's own files. A container has perhaps only parts of them mounted, as
// deploy/node.yaml does. What such a root lacks the host may have.
func (r *Resolver) openHost(t *Target) {
	t.Net = r.cfg.Host
	files, err := r.openHostRoot(t)
	if err != nil {
		t.note(NoteNoFiles, "the host's files cannot be read: %v", err)
		return
	}
	there := func(dir string) bool { _, err := stat(hostPath(r.cfg.Root, dir)); return err == nil }
	switch {
	case there("/usr") || filepath.Clean(r.cfg.Root) == "/":
		t.Files = files
	case there("/etc"):
		t.host = files.ReadFile
		t.overlay = func(name string) (string, bool) { return name, true }
	default:
		t.note(NoteNoFiles, "the host's /etc is not seen from here: %s is not mounted (deploy/node.yaml mounts it)", filepath.Join(r.cfg.Root, "etc"))
		return
	}
	t.FilesFrom = "the host"
}

// openNetnsName tries the places where namespaces have names.
func (r *Resolver) openNetnsName(ctx context.Context, t *Target, name string) (bool, *Error) {
	var failed error
	for _, dir := range netnsDirs {
		file := path.Join(dir, name)
		switch err := r.adoptPath(ctx, t, file); {
		case err == nil:
			r.pathFiles(t)
			return true, nil
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid):
			failed = cmp.Or(failed, err)
		}
	}
	if failed != nil {
		return false, enterError("netns "+quote(name), failed)
	}
	return false, nil
}

func (r *Resolver) noSuchNetns(ctx context.Context, name string) *Error {
	var names []string
	for _, n := range r.namedNetns(ctx) {
		if words.IsToken(n.Name) {
			names = append(names, n.Name)
		}
	}
	e := &Error{
		Kind:       KindNotFound,
		Message:    fmt.Sprintf("no network namespace is named %s in %s", quote(name), strings.Join(netnsDirs[:3], ", ")),
		NearMisses: words.Closest(name, names, maxNear),
		Hint:       "Call resolve_pod_pid without arguments to see the names that exist. A container has a name of its own: use container or pod.",
	}
	if len(e.NearMisses) > 0 {
		e.Hint = "Did you mean " + strings.Join(e.NearMisses, ", ") + "?"
	}
	return e
}

// processNetns is the path by which people name the namespace of a process.
var processNetns = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^/proc/([0-9]{1,7})/(?:task/[0-9]{1,7}/)?ns/net$`)
})

func (r *Resolver) openNetnsPath(ctx context.Context, t *Target, file string) *Error {
	file = path.Clean(file)
	// Through the process, which is then pinned and known; below another root
	// such a link could not be followed at all.
	if m := processNetns().FindStringSubmatch(file); m != nil {
		pid, err := strconv.Atoi(m[1])
		if err != nil {
			return enterError(quote(file), err)
		}
		return r.openPID(t, pid)
	}
	err := r.adoptPath(ctx, t, file)
	if isNoNetns(err) {
		return &Error{
			Kind:    KindNotNetns,
			Message: "there is no network namespace at " + quote(file),
			Hint: "Call resolve_pod_pid without arguments to see the named namespaces; a path is one as /run/netns/NAME or /proc/PID/ns/net. " +
				"If the path exists on the node, the server does not see the path: check --host-root and mount propagation, or name a pid.",
			Err: err,
		}
	}
	if err != nil {
		return enterError("netns "+quote(file), err)
	}
	r.pathFiles(t)
	return nil
}

// isNoNetns holds for all that a path may be but a network namespace. What it is instead,
// and whether anything is there, is not told: a caller would learn the node's files.
func isNoNetns(err error) bool {
	return slices.ContainsFunc([]error{
		nsexec.ErrNotNetns, fs.ErrNotExist, fs.ErrInvalid, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.ENXIO, syscall.EACCES,
	}, func(other error) bool { return errors.Is(err, other) })
}

// adoptPath makes the namespace that a path names the target's.
func (r *Resolver) adoptPath(ctx context.Context, t *Target, file string) error {
	handle, err := r.cfg.Home.OpenPathIn(ctx, r.cfg.Root, file)
	if err != nil {
		return err
	}
	t.own(handle)
	t.Net, t.NetnsPath = handle, file
	return nil
}

// pathFiles finds the files that go with a network that was opened by a path.
func (r *Resolver) pathFiles(t *Target) {
	if dir, name := path.Split(t.NetnsPath); slices.Contains(netnsDirs[:], path.Clean(dir)) {
		r.netnsFiles(t, name)
		return
	}
	t.note(NoteNoFiles, "a path names a network only, no files")
}

// openInode finds the namespace with an inode number: the host's, that of a
// process, or a named one. Numbers are those of /proc/PID/ns/net.
func (r *Resolver) openInode(ctx context.Context, t *Target, inode uint64) *Error {
	if r.cfg.Host.Identity().Inode == inode {
		r.openHost(t)
		return nil
	}
	if r.adoptOldest(ctx, t, inode) == nil {
		return nil
	}
	// Its processes have ended, or moved on; whatever else holds it may not have.
	if err := t.Close(); err != nil {
		return enterError(fmt.Sprintf("netns %d", inode), err)
	}
	t.Net, t.Process = nil, nil
	for _, n := range r.namedNetns(ctx) {
		if r.adoptPath(ctx, t, n.Path) == nil && t.Net.Identity().Inode == inode {
			r.pathFiles(t)
			return nil
		}
		_ = t.Close() // was only looked at
		t.Net, t.NetnsPath = nil, ""
	}
	if ctx.Err() != nil {
		return ended(ctx, nil)
	}
	return &Error{
		Kind:    KindNotFound,
		Message: fmt.Sprintf("no process and no name on this node holds the network namespace with inode %d", inode),
		Hint:    "Inode numbers come from readlink /proc/PID/ns/net or from netns_inode of an earlier answer; the namespace is gone if its last process has ended.",
	}
}

const (
	// maxWays is how many processes of a namespace are tried: the first may end before
	// it is entered.
	maxWays = 4
	// maxAged bounds the processes of a namespace whose age is looked at.
	maxAged = 512
)

// inhabitants are the processes in the network namespaces that keep picks, by inode,
// the lowest PID first. What a scan cannot see is not among them.
func (r *Resolver) inhabitants(ctx context.Context, keep func(inode uint64) bool) map[uint64][]int {
	var mu sync.Mutex
	pids := map[uint64][]int{}
	_ = scanProcesses(ctx, r.procRoot(), scanFor{net: true}, func(p process) bool {
		if keep(p.net) {
			mu.Lock()
			defer mu.Unlock()
			pids[p.net] = append(pids[p.net], p.pid)
		}
		return true
	})
	for _, of := range pids {
		slices.Sort(of)
	}
	return pids
}

// adoptOldest enters a namespace by its oldest process: it keeps what the others
// come and go in, and a low PID may be a young process's where the numbers have
// wrapped round.
func (r *Resolver) adoptOldest(ctx context.Context, t *Target, inode uint64) error {
	pids := r.inhabitants(ctx, func(net uint64) bool { return net == inode })[inode]
	return r.adoptFirst(t, r.oldestFirst(pids), inode)
}

func (r *Resolver) oldestFirst(pids []int) []int {
	var sorted []int
	for _, a := range byAge(r.cfg.Home, r.procRoot(), pids[:min(len(pids), maxAged)]) {
		sorted = append(sorted, a.pid)
	}
	return sorted
}

// adoptFirst enters by the first of the processes that is still there, and still in
// the namespace in which it was seen.
func (r *Resolver) adoptFirst(t *Target, pids []int, inode uint64) error {
	gone := nsexec.ErrGone
	for _, pid := range pids[:min(len(pids), maxWays)] {
		p, err := r.cfg.Home.OpenProcess(r.procRoot(), pid)
		if err == nil {
			failed := t.adoptProcess(p)
			switch {
			case failed != nil:
				err = failed.Err
			case t.Net.Identity().Inode == inode:
				return nil
			default:
				err = nsexec.ErrGone
			}
		}
		if !hasEnded(err) {
			return err
		}
		gone = err
	}
	return gone
}

// aged is a process with its start.
type aged struct {
	pid     int
	ticks   uint64 // since boot
	started time.Time
}

// byAge sorts processes by their start, the oldest first. Those that have ended
// meanwhile are left out.
func byAge(home *nsexec.Home, procRoot string, pids []int) []aged {
	all := make([]aged, 0, len(pids))
	for _, pid := range pids {
		if p, err := home.OpenProcess(procRoot, pid); err == nil {
			all = append(all, aged{pid: pid, ticks: p.StartTicks(), started: p.Started()})
			_ = p.Close() // was only looked at
		}
	}
	slices.SortFunc(all, func(a, b aged) int { return cmp.Or(cmp.Compare(a.ticks, b.ticks), cmp.Compare(a.pid, b.pid)) })
	return all
}

// maxNamed bounds the names of one directory.
const maxNamed = 1 << 16

// namedNetns lists the named namespaces, each once, sorted. Nothing is opened,
// so that what only looks like one is listed too.
func (r *Resolver) namedNetns(ctx context.Context) []NamedNetns {
	files, err := r.cfg.Home.OpenFiles(r.cfg.Root)
	if err != nil {
		return nil
	}
	defer func() { _ = files.Close() }() // was only read from
	var all []NamedNetns
	seen := map[string]bool{}
	for _, dir := range netnsDirs {
		entries, _ := files.ReadDir(ctx, dir, maxNamed, printable) // that there is none is the usual case
		for _, e := range entries {
			if !seen[e.Name] && !e.Dir {
				seen[e.Name] = true
				all = append(all, NamedNetns{Name: e.Name, Path: path.Join(dir, e.Name)})
			}
		}
	}
	slices.SortFunc(all, func(a, b NamedNetns) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func pidLabel(pid int) string { return fmt.Sprintf("pid %d", pid) }

func processLabel(p *nsexec.Process) string { return pidLabel(p.PID()) }
