package resolve

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// scanChunk is how many processes a worker takes at a time.
const scanChunk = 64

// maxCgroupFile bounds what is read of one cgroup file: 13 hierarchies of
// version 1 at PATH_MAX would be more, but none is a container's.
const maxCgroupFile = 16 << 10

// scanProcesses calls visit with each process of the proc file system at
// procRoot, from several goroutines at once, until visit returns false or ctx
// ends. Kernel threads and processes that end meanwhile are left out where
// nothing can be read of them.
func scanProcesses(ctx context.Context, procRoot string, what scanFor, visit func(process) bool) error {
	dir, err := os.Open(procRoot)
	if err != nil {
		return fmt.Errorf("scan processes: %w", err)
	}
	names, err := dir.Readdirnames(-1)
	if err := closeAfter(dir, err); err != nil {
		return fmt.Errorf("scan processes: %w", err)
	}
	root, err := unix.Open(procRoot, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("scan processes: %w", &os.PathError{Op: "open", Path: procRoot, Err: err})
	}
	defer func() { _ = unix.Close(root) }() // only looked through

	var next atomic.Int64
	var stopped atomic.Bool
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			r := procReader{root: root, what: what, buffer: make([]byte, maxCgroupFile)}
			for {
				from := int(next.Add(scanChunk)) - scanChunk
				if from >= len(names) || stopped.Load() || ctx.Err() != nil {
					return
				}
				for _, name := range names[from:min(from+scanChunk, len(names))] {
					if p, ok := r.read(name); ok && !visit(p) {
						stopped.Store(true)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("scan processes: %w", err)
	}
	return nil
}

func closeAfter(f *os.File, err error) error {
	if closeErr := f.Close(); err == nil {
		return closeErr
	}
	return err
}

// procReader reads with bare system calls: package os spends more on a file of
// /proc than the kernel does, and there may be thousands. It reads nothing that a
// process could hold up, as cmdline and environ are, which lie in its memory.
type procReader struct {
	root   int
	what   scanFor
	buffer []byte
}

// read returns what was asked for, and false for what is no process or has
// nothing to show.
func (r *procReader) read(name string) (process, bool) {
	pid, err := strconv.Atoi(name)
	if err != nil {
		return process{}, false
	}
	p := process{pid: pid}
	if r.what.net {
		if n, err := unix.Readlinkat(r.root, name+"/ns/net", r.buffer); err == nil {
			p.net, _ = parseNetLink(string(r.buffer[:n]))
		}
	}
	if r.what.cgroup {
		p.cgroup = r.file(name + "/cgroup")
	}
	if r.what.monitor && r.file(name+"/comm") == "conmon\n" && r.trusted(name) {
		p.monitor, p.children = true, r.file(name+"/task/"+name+"/children")
	}
	return p, p.net != 0 || p.cgroup != "" || p.monitor
}

// trusted reports whether a process is root's, of the PID namespace of this proc file
// system. Anybody can call a process conmon, and what a monitor says of a container is
// believed. The user is read from status: the owner of /proc/PID is root for every
// process that cannot be dumped. NSpid has a number for each PID namespace, from that
// of the proc file system to the process's own (proc(5)).
func (r *procReader) trusted(name string) bool {
	status := r.file(name + "/status")
	_, uids, _ := strings.Cut(status, "\nUid:\t")
	_, pids, _ := strings.Cut(status, "\nNSpid:\t")
	pids, _, _ = strings.Cut(pids, "\n")
	return strings.HasPrefix(uids, "0\t0\t0\t0\n") && pids == name
}

func (r *procReader) file(name string) string {
	fd, err := unix.Openat(r.root, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }() // only read from
	n, err := unix.Read(fd, r.buffer)
	if err != nil {
		return ""
	}
	return string(r.buffer[:n])
}
