package nsexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one process, pinned by a descriptor of its /proc directory. The
// directory belongs to the process, not to its number: once the process is
// gone every read through it fails, also when the number has been given to
// another process. It works where a pidfd cannot be had, for the processes of
// a host whose PID namespace is not ours.
type Process struct {
	home *Home
	dir  *os.File // /proc/PID, O_PATH
	stat ProcStat // as it was when opened
}

// OpenProcess pins the process with number pid of the proc file system at
// procRoot ("/proc", or "/host/proc" in a container).
//
// Errors: [ErrNoProcess], [ErrZombie], [ErrKernelThread], [*KernelTooOldError],
// [*PermissionError]. The caller closes the Process.
func (h *Home) OpenProcess(procRoot string, pid int) (*Process, error) {
	if h.tooOld != nil {
		return nil, h.tooOld
	}
	if pid <= 0 {
		return nil, fmt.Errorf("pid %d: %w", pid, ErrNoProcess)
	}
	path := filepath.Join(procRoot, strconv.Itoa(pid))
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil, fmt.Errorf("pid %d: %w", pid, ErrNoProcess)
	}
	if err != nil {
		return nil, pathError(path, err)
	}
	p := &Process{home: h, dir: os.NewFile(uintptr(fd), path)}
	if p.stat, err = p.Stat(); err == nil {
		err = enterable(p.stat)
	}
	if errors.Is(err, ErrGone) {
		err = ErrNoProcess
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("pid %d: %w", pid, err), p.Close())
	}
	return p, nil
}

// enterable reports why a process has nothing to enter, nil if it has.
func enterable(s ProcStat) error {
	switch {
	case s.KernelThread:
		return ErrKernelThread
	case s.State == 'Z' || s.State == 'X':
		return ErrZombie
	case s.exiting:
		return ErrGone
	}
	return nil
}

// PID is the process's number in the PID namespace of the proc file system it
// was opened from.
func (p *Process) PID() int { return p.stat.PID }

// StartTicks is when the process started, in clock ticks after boot. A PID and
// its start name a process for good.
func (p *Process) StartTicks() uint64 { return p.stat.StartTicks }

// userHZ is the unit of the times in /proc/PID/stat: USER_HZ, 100 on every
// architecture that Go knows (include/asm-generic/param.h).
const userHZ = 100

// Started is when the process started by today's wall clock, to a hundredth of
// a second. A clock that was set since makes it differ from what a log says.
func (p *Process) Started() time.Time {
	var sinceBoot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &sinceBoot); err != nil {
		return time.Time{}
	}
	const tick = time.Second / userHZ
	age := time.Duration(sinceBoot.Nano()) - time.Duration(p.stat.StartTicks)*tick //nolint:gosec // ticks since boot: far from any limit
	return time.Now().Add(-age).Round(tick)
}

// Stat reads /proc/PID/stat now. It fails with [ErrGone] after the process
// was reaped.
func (p *Process) Stat() (ProcStat, error) {
	fd, err := p.openAt("stat", unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return ProcStat{}, err
	}
	defer closeFD(fd)
	// One read has it all: the kernel writes the line as one record, and hands a
	// record out whole where it fits (fs/proc/base.c, proc_single_show;
	// fs/seq_file.c, seq_read_iter). It has 52 fields: a name, a letter and numbers.
	var line [2048]byte
	n, err := unix.Read(fd, line[:])
	if err != nil {
		return ProcStat{}, p.explain("stat", os.NewSyscallError("read", err))
	}
	return parseProcStat(line[:n])
}

// Alive reports whether the process still runs; a zombie does not, nor one that
// is ending.
func (p *Process) Alive() bool {
	s, err := p.Stat()
	return err == nil && enterable(s) == nil
}

// Ended reports whether it is certain that the process has ended, or is ending. It
// is not the opposite of [Process.Alive]: where nobody can tell it is false, too.
func (p *Process) Ended() bool {
	s, err := p.Stat()
	return errors.Is(err, ErrGone) || err == nil && enterable(s) != nil
}

// ReadFile reads at most limit bytes of a file of /proc/PID ("cgroup", "status",
// "environ"). It fails with [ErrGone] after the process has ended. It returns when ctx
// ends even if the kernel does not: what lies in the memory of the process (environ,
// cmdline) is read under a lock that the process can hold for ever, or from a file
// system that hangs and is mapped there. Such reads are bounded as those of
// [Files.ReadFile] are, and together with them.
func (p *Process) ReadFile(ctx context.Context, name string, limit int) ([]byte, error) {
	switch name {
	case "cgroup", "comm", "status":
		return p.readFile(ctx, name, limit) // the kernel's own words
	}
	of := readTarget{path: p.dir.Name()}
	if mountns, err := p.namespace("mnt"); err == nil {
		of = readTarget{mountns: mountns}
	}
	var data []byte
	err := p.home.readers.run(ctx, of, func() (err error) {
		data, err = p.readFile(ctx, name, limit)
		return err
	}, nil)
	if err != nil { // after the end of ctx, data may still be written
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

func (p *Process) readFile(ctx context.Context, name string, limit int) ([]byte, error) {
	fd, err := p.openAt(name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	defer closeFD(fd)
	data, _, err := readFD(fd, int64(max(limit, 0)), ctx.Err)
	if err != nil {
		return nil, p.explain(name, err)
	}
	return data, nil
}

// Namespaces returns device and inode of each namespace the process is in, by
// kind as in /proc/PID/ns (net, mnt, pid, uts, ipc, user, cgroup, time);
// cookies are not read. Kinds that the kernel does not know are absent.
func (p *Process) Namespaces() (map[string]Identity, error) {
	kinds := [...]string{"net", "mnt", "pid", "uts", "ipc", "user", "cgroup", "time"}
	found := make(map[string]Identity, len(kinds))
	var failed error
	for _, kind := range kinds {
		id, err := p.namespace(kind)
		if err != nil {
			failed = err
			continue
		}
		found[kind] = id
	}
	// Some may be missing because the process ended meanwhile.
	if failed != nil && (len(found) == 0 || !p.Alive()) {
		return nil, p.explain("ns/net", failed)
	}
	return found, nil
}

// namespace returns device and inode of the namespace of a kind; the error is
// the kernel's own.
func (p *Process) namespace(kind string) (id Identity, err error) {
	err = withFD(p.dir, func(dir int) error {
		var st unix.Stat_t
		err := unix.Fstatat(dir, "ns/"+kind, &st, 0)
		id = Identity{Dev: st.Dev, Inode: st.Ino}
		return err
	})
	return id, err
}

// RootIs reports whether dir is the root directory of the process. It is false
// where that cannot be told. The root is not asked, for it may be on a file system
// that hangs: AT_STATX_DONT_SYNC (statx(2)) returns what the kernel has.
func (p *Process) RootIs(dir string) bool {
	const flags = unix.AT_STATX_DONT_SYNC
	var root, other unix.Statx_t
	err := withFD(p.dir, func(fd int) error { return unix.Statx(fd, "root", flags, unix.STATX_INO, &root) })
	if err != nil || unix.Statx(unix.AT_FDCWD, dir, flags, unix.STATX_INO, &other) != nil {
		return false
	}
	return root.Dev_major == other.Dev_major && root.Dev_minor == other.Dev_minor && root.Ino == other.Ino
}

// Net pins the network namespace of the process. The caller closes the handle.
func (p *Process) Net() (*Handle, error) {
	fd, err := p.openAt("ns/net", unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return p.home.adopt(fd, fmt.Sprintf("%s/ns/net", p.dir.Name()))
}

// Files pins the root directory of the process. It can be read as long as the
// process lives. The caller closes it.
func (p *Process) Files() (*Files, error) {
	mountns, err := p.namespace("mnt")
	if err != nil {
		return nil, p.explain("ns/mnt", err)
	}
	owner, err := p.dup()
	if err != nil {
		return nil, err
	}
	fd, err := p.openAt("root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, errors.Join(err, owner.Close())
	}
	return &Files{home: p.home, root: os.NewFile(uintptr(fd), p.dir.Name()+"/root"), owner: owner, mountns: mountns}, nil
}

// dup pins the process once more, for somebody who may need it longer.
func (p *Process) dup() (*Process, error) {
	fd := -1
	err := withFD(p.dir, func(dir int) (err error) {
		fd, err = unix.FcntlInt(uintptr(dir), unix.F_DUPFD_CLOEXEC, 0)
		return os.NewSyscallError("fcntl(F_DUPFD_CLOEXEC)", err)
	})
	if err != nil {
		return nil, err
	}
	return &Process{home: p.home, dir: os.NewFile(uintptr(fd), p.dir.Name()), stat: p.stat}, nil
}

// Hostname is what gethostname(2) says to the process: the name of its UTS namespace,
// uts_namespaces(7); "" where that cannot be entered.
func (p *Process) Hostname() string {
	fd, err := p.openAt("ns/uts", unix.O_RDONLY)
	if err != nil {
		return ""
	}
	defer closeFD(fd)
	name := make(chan string)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		var system unix.Utsname
		if unix.Setns(fd, unix.CLONE_NEWUTS) == nil && unix.Uname(&system) == nil {
			name <- unix.ByteSliceToString(system.Nodename[:])
		}
		close(name)
	}()
	return <-name
}

// Close gives the process up.
func (p *Process) Close() error { return closeFile(p.dir) }

func (p *Process) openAt(name string, flags int) (int, error) {
	fd := -1
	err := withFD(p.dir, func(dir int) (err error) {
		fd, err = unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return -1, p.explain(name, err)
	}
	return fd, nil
}

// explain turns what the kernel says of a pinned process into what it means: a
// process that has ended answers ENOENT or ESRCH, and so does one that is about
// to, or a zombie, for all that it has given back already.
func (p *Process) explain(name string, err error) error {
	switch {
	case isRefusal(err):
		// ptrace(2), PTRACE_MODE_READ_FSCREDS.
		return &PermissionError{
			Op:   fmt.Sprintf("open %s of pid %d", name, p.stat.PID),
			Need: []string{"CAP_SYS_PTRACE"},
			Err:  err,
		}
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH):
		if name == "stat" {
			return ErrGone
		}
		s, statErr := p.Stat()
		if statErr != nil {
			return fmt.Errorf("pid %d: %w", p.stat.PID, ErrGone)
		}
		if why := enterable(s); why != nil {
			return fmt.Errorf("pid %d: %w", p.stat.PID, why)
		}
	}
	return fmt.Errorf("pid %d: %s: %w", p.stat.PID, name, err)
}
