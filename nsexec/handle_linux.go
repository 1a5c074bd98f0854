package nsexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Handle is a pinned network namespace. It keeps the namespace alive, and with
// it the addresses of a pod that was deleted meanwhile, so it is held for one
// call and closed. It is safe for concurrent use.
type Handle struct {
	home   *Home
	file   *os.File // an nsfs file of type net
	id     Identity
	isHome bool // the process's own: entering it needs no setns and no privilege
	// spare is the routing socket that was made to read the cookie, for the first
	// who wants one, so that the commonest call enters once; 0 after that.
	spare atomic.Int64
}

// OpenPath pins the namespace whose nsfs file is at path: a bind mount such as
// /run/netns/NAME or a link such as /proc/PID/ns/net. It does not open
// anything that is no namespace, so a FIFO or a device at path is harmless. It
// returns when ctx ends even if the file system does not answer, and 5 seconds after
// it began to wait.
//
// Errors: [ErrNotNetns], [*PermissionError], [*KernelTooOldError], the error of ctx,
// context.DeadlineExceeded, [ErrReadersBusy], or what open(2) says. The caller
// closes the handle.
func (h *Home) OpenPath(ctx context.Context, path string) (*Handle, error) {
	return h.openNetns(ctx, path, func() (int, error) {
		fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, pathError(path, err)
		}
		return fd, nil
	})
}

// OpenPathIn is [Home.OpenPath] with root as the root directory: symbolic
// links in path, absolute ones too, stay below root. An agent in a container
// reads the host's /run/netns this way. Magic links (/proc/PID/ns/net) do not
// resolve below a root; use [Home.OpenProcess] for those.
func (h *Home) OpenPathIn(ctx context.Context, root, path string) (*Handle, error) {
	if filepath.Clean(root) == "/" {
		return h.OpenPath(ctx, path)
	}
	return h.openNetns(ctx, path, func() (int, error) {
		dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return -1, pathError(root, err)
		}
		defer closeFD(dir)
		fd, err := openInRoot(dir, path, unix.O_PATH, 0)
		if err != nil {
			return -1, pathError(path, err)
		}
		return fd, nil
	})
}

// openTimeout bounds the opening of a path, which the kernel does in
// microseconds unless the path leads through a file system that hangs.
const openTimeout = 5 * time.Second

// openNetns turns the O_PATH descriptor that look makes into a handle.
func (h *Home) openNetns(ctx context.Context, name string, look func() (int, error)) (*Handle, error) {
	if h.tooOld != nil {
		return nil, h.tooOld
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	fd := -1
	err := h.nodeReaders.run(ctx, readTarget{path: topOf(name)}, func() (err error) {
		fd, err = openNSFS(name, look)
		return err
	}, func() { closeFD(fd) })
	switch {
	case err == nil: // also where ctx has ended since: what is open has to be closed by somebody
		return h.adopt(fd, name)
	case ctx.Err() != nil, errors.Is(err, ErrReadersBusy):
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return nil, err // it names the path
}

// topOf is the first directory of a path: all below it counts as one target of reads.
// A path may lead through /proc/PID/root into any number of file systems that hang.
func topOf(path string) string {
	top, _, _ := strings.Cut(strings.TrimLeft(filepath.Clean(path), "/"), "/")
	return "/" + top
}

// openNSFS opens what look found, if it is a namespace.
func openNSFS(name string, look func() (int, error)) (int, error) {
	path, err := look()
	if err != nil {
		return -1, err
	}
	defer closeFD(path)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(path, &fs); err != nil {
		return -1, fmt.Errorf("%s: %w", name, os.NewSyscallError("fstatfs", err))
	}
	if fs.Type != unix.NSFS_MAGIC {
		return -1, fmt.Errorf("%s: %w: %s", name, ErrNotNetns, describeFile(path))
	}
	// Through the descriptor, not the path: what was checked is what is opened.
	fd, err := unix.Open(fdPath(path), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, pathError(name, err)
	}
	return fd, nil
}

// adopt takes over an open nsfs descriptor.
func (h *Home) adopt(fd int, name string) (*Handle, error) {
	file := os.NewFile(uintptr(fd), name)
	handle := &Handle{home: h, file: file}
	if err := handle.identify(); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), handle.close())
	}
	return handle, nil
}

func (n *Handle) identify() error {
	kind, err := n.nsType()
	if err != nil {
		return err
	}
	if kind != unix.CLONE_NEWNET {
		return fmt.Errorf("%w: a %s namespace", ErrNotNetns, namespaceKind(kind))
	}
	if n.id, err = statIdentity(n.file); err != nil {
		return err
	}
	// Device and inode decide here, as both files are open and neither can be
	// reused.
	n.isHome = n.id.Same(Identity{Dev: n.home.self.id.Dev, Inode: n.home.self.id.Inode})
	return n.readCookie()
}

// readCookie enters once, so a Handle that was opened is known to work.
func (n *Handle) readCookie() error {
	fd, err := n.newSocket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil && !errors.Is(err, unix.ENOPROTOOPT) { // before Linux 5.14
		closeFD(fd)
		return os.NewSyscallError("getsockopt(SO_NETNS_COOKIE)", err)
	}
	n.id.Cookie = cookie
	n.spare.Store(int64(fd))
	return nil
}

// takeSpare returns the spare socket if it is of this kind and still there. It is
// as new: nothing has been sent on it.
func (n *Handle) takeSpare(domain, typ, proto int) (fd int, ok bool) {
	if domain != unix.AF_NETLINK || typ != unix.SOCK_RAW || proto != unix.NETLINK_ROUTE {
		return -1, false
	}
	fd = int(n.spare.Swap(0))
	return fd, fd != 0
}

// Identity names the namespace; it stays valid after Close.
func (n *Handle) Identity() Identity { return n.id }

// Close gives the namespace up. Sockets made in it live on by themselves, and
// what is inside at the moment ends undisturbed. Closing [Home.Self] does
// nothing.
func (n *Handle) Close() error {
	if n == n.home.self {
		return nil
	}
	return n.close()
}

func (n *Handle) close() error {
	if fd := n.spare.Swap(0); fd != 0 {
		closeFD(int(fd))
	}
	return closeFile(n.file)
}

// Do runs fn on a locked thread that is inside the namespace and returns its
// error. fn must be synchronous: goroutines that it starts, and library calls
// that start some (net.Dialer by name, http.Transport), run outside. It must
// not block for long, as it holds a thread: make sockets inside, wait outside.
// fn runs on another goroutine than the caller's and must not call
// runtime.LockOSThread or UnlockOSThread.
//
// A panic in fn becomes a [*PanicError].
func (n *Handle) Do(fn func() error) error {
	return n.home.visit(n, fn)
}

// enter moves the calling thread into the namespace. Nothing has to be done at
// home, except to find a closed handle out.
func (n *Handle) enter() error {
	if n.isHome {
		return n.withFD(func(int) error { return nil })
	}
	return n.setns()
}

// setns moves the calling thread. Only Home.trip and what it calls do that.
func (n *Handle) setns() error {
	err := n.withFD(func(fd int) error {
		return os.NewSyscallError("setns", unix.Setns(fd, unix.CLONE_NEWNET))
	})
	if errors.Is(err, unix.EPERM) {
		return &PermissionError{Op: "enter " + n.id.String(), Need: []string{"CAP_SYS_ADMIN"}, Err: err}
	}
	return err
}

func (n *Handle) nsType() (kind int, err error) {
	err = n.withFD(func(fd int) (err error) {
		kind, err = unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
		return os.NewSyscallError("ioctl(NS_GET_NSTYPE)", err)
	})
	return kind, err
}

func (n *Handle) withFD(fn func(fd int) error) error { return withFD(n.file, fn) }

// WithFD lends the namespace's nsfs descriptor to fn, for requests that name a
// namespace by one (RTM_GETNSID, RTM_NEWLINK). fn must neither keep nor close
// it.
func (n *Handle) WithFD(fn func(fd int) error) error { return n.withFD(fn) }

// withFD lends the descriptor to fn. After a Close meanwhile the descriptor
// itself is closed, and its number free, only when fn has given it back.
func withFD(file *os.File, fn func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return ErrClosed
	}
	var inner error
	if raw.Control(func(fd uintptr) { inner = fn(int(fd)) }) != nil {
		// It has no other error, and this one is unexported and not
		// os.ErrClosed (internal/poll.ErrFileClosing).
		return ErrClosed
	}
	return inner
}

func closeFile(file *os.File) error {
	err := file.Close()
	if errors.Is(err, os.ErrClosed) {
		return ErrClosed
	}
	return err
}

func statIdentity(file *os.File) (id Identity, err error) {
	err = withFD(file, func(fd int) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return os.NewSyscallError("fstat", err)
		}
		id = Identity{Dev: st.Dev, Inode: st.Ino}
		return nil
	})
	return id, err
}

// namespaceKind names the clone flag of a namespace as ls /proc/PID/ns does.
func namespaceKind(flag int) string {
	switch flag {
	case unix.CLONE_NEWNS:
		return "mnt"
	case unix.CLONE_NEWUTS:
		return "uts"
	case unix.CLONE_NEWIPC:
		return "ipc"
	case unix.CLONE_NEWUSER:
		return "user"
	case unix.CLONE_NEWPID:
		return "pid"
	case unix.CLONE_NEWCGROUP:
		return "cgroup"
	case unix.CLONE_NEWTIME:
		return "time"
	}
	return fmt.Sprintf("%#x", flag)
}

// describeFile says what stands where a namespace was expected.
func describeFile(fd int) string {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return "a file of unknown type"
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		if st.Size == 0 {
			// What is left of /run/netns/NAME when its mount is gone, or when it
			// was mounted in another mount namespace only.
			return "an empty regular file (its bind mount is gone or belongs to another mount namespace)"
		}
		return "a regular file"
	case unix.S_IFDIR:
		return "a directory"
	case unix.S_IFIFO:
		return "a fifo"
	case unix.S_IFSOCK:
		return "a socket"
	case unix.S_IFBLK, unix.S_IFCHR:
		return "a device"
	}
	return "not a namespace file"
}

// pathError adds the path, and the capability where permission is lacking.
func pathError(path string, err error) error {
	switch {
	case isRefusal(err) && strings.Contains(path, "/ns/"):
		// Namespace links are guarded by ptrace access (namespaces(7)).
		return &PermissionError{Op: "open " + path, Need: []string{"CAP_SYS_PTRACE"}, Err: err}
	case isRefusal(err):
		return openError(path, err)
	}
	return &os.PathError{Op: "open", Path: path, Err: err}
}

// openError is for callers that name the path themselves.
func openError(path string, err error) error {
	if isRefusal(err) {
		return &PermissionError{Op: "open " + path, Need: []string{"CAP_DAC_READ_SEARCH"}, Err: err}
	}
	return os.NewSyscallError("open", err)
}

func isRefusal(err error) bool {
	return errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM)
}

func fdPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// closeFD closes a descriptor that was only read from or never used, where
// close(2) has nothing to report.
func closeFD(fd int) { _ = unix.Close(fd) }
