package nsexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Files is the root directory of a container, or of any other tree. Paths are
// resolved below it as if it were "/": the tree's own symbolic links can never
// lead out. It is safe for concurrent use.
type Files struct {
	home *Home
	root *os.File // O_PATH
	// owner is the process whose root it is, and mountns the mount namespace
	// that it was in; nil where the tree depends on no process.
	owner   *Process
	mountns Identity
}

// OpenFiles pins dir as a root directory. The caller closes it.
func (h *Home) OpenFiles(dir string) (*Files, error) {
	if h.tooOld != nil {
		return nil, h.tooOld
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, pathError(dir, err)
	}
	return &Files{home: h, root: os.NewFile(uintptr(fd), dir)}, nil
}

// Close gives the tree up. Reads that hang in the kernel end by themselves.
func (f *Files) Close() error {
	err := closeFile(f.root)
	if f.owner != nil {
		err = errors.Join(err, f.owner.Close())
	}
	return err
}

// ReadFile reads at most limit bytes of the regular file name, which is taken
// from the tree's root. It returns when ctx ends even if the kernel does not
// (a FUSE or NFS server that hangs); the read then goes on by itself, and while two
// of one target do, further ones of this target fail with [ErrReadersBusy].
//
// Files of a proc file system count as not regular: they show the process that
// reads them (/proc/self, /proc/sys/net), which is this one.
//
// Errors: fs.ErrNotExist, [ErrNotRegular], [ErrGone] when the process whose
// root this is has ended, [*PermissionError], [ErrClosed], the error of ctx,
// ELOOP for magic links.
func (f *Files) ReadFile(ctx context.Context, name string, limit int64) (File, error) {
	return f.read(ctx, name, limit, 0)
}

// ReadPlainFile is [Files.ReadFile] for a path that must hold no symbolic link at
// all; one with a link fails with ELOOP. It is for files of the host that lie in
// folders which a container can write, where a link could lead anywhere.
func (f *Files) ReadPlainFile(ctx context.Context, name string, limit int64) (File, error) {
	return f.read(ctx, name, limit, unix.RESOLVE_NO_SYMLINKS)
}

func (f *Files) read(ctx context.Context, name string, limit int64, resolve uint64) (File, error) {
	var file File
	err := f.run(ctx, name, func() error {
		return withFD(f.root, func(root int) (err error) {
			file, err = f.readRegular(ctx, root, name, max(limit, 0), resolve)
			return err
		})
	})
	if err != nil {
		return File{}, fmt.Errorf("read %s: %w", name, err)
	}
	return file, nil
}

// run runs an access to the file name, bounded as one of the target's whose root it
// is. Where the tree is the node's own, each directory counts as a target: what a
// container brings with it, such as a volume, lies in one of its own.
func (f *Files) run(ctx context.Context, name string, access func() error) error {
	if f.owner != nil {
		return f.home.readers.run(ctx, readTarget{mountns: f.mountns}, access, nil)
	}
	dir := filepath.Join(f.root.Name(), filepath.Dir(name))
	return f.home.nodeReaders.run(ctx, readTarget{path: dir}, access, nil)
}

func (f *Files) readRegular(ctx context.Context, root int, name string, limit int64, resolve uint64) (File, error) {
	// O_PATH first: opening a FIFO waits, opening a device may do anything.
	path, err := openInRoot(root, name, unix.O_PATH, resolve)
	if err == nil {
		defer closeFD(path)
	}
	if gone := f.intact(); gone != nil {
		return File{}, gone
	}
	if err != nil {
		return File{}, openError(name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(path, &st); err != nil {
		return File{}, os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return File{}, fmt.Errorf("%w: %s", ErrNotRegular, describeFile(path))
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(path, &fs); err != nil {
		return File{}, os.NewSyscallError("fstatfs", err)
	}
	if fs.Type == unix.PROC_SUPER_MAGIC {
		return File{}, fmt.Errorf("%w: a file of /proc", ErrNotRegular)
	}
	// Through the descriptor, not the name: what was checked is what is read.
	fd, err := unix.Open(fdPath(path), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return File{}, openError(name, err)
	}
	defer closeFD(fd)
	data, more, err := readFD(fd, limit, ctx.Err)
	if err != nil {
		return File{}, err
	}
	return File{Data: data, Size: st.Size, Truncated: more}, nil
}

// intact fails when the mounts below the root may have changed since it was
// pinned, and with them what a path leads to. With the last process of a mount
// namespace its mounts come off the tree (umount_tree in fs/namespace.c), and
// where /etc/resolv.conf was mounted the image's own file appears. So it is
// asked after a path was walked, and also when that found nothing.
func (f *Files) intact() error {
	if f.owner == nil {
		return nil
	}
	now, err := f.owner.namespace("mnt")
	if err != nil {
		return f.owner.explain("ns/mnt", err)
	}
	if !now.Same(f.mountns) {
		return fmt.Errorf("pid %d: %w: it went to another mount namespace", f.owner.PID(), ErrGone)
	}
	return nil
}

// readFD reads at most limit bytes and says whether more follow. It asks before
// each read whether to go on.
//
// It does not use os.File, which would show the descriptor to the runtime's
// poller. epoll_ctl(2) asks the file whether it is ready and holds the epoll
// instance's lock meanwhile (fs/eventpoll.c, ep_insert): where that question
// goes to a FUSE server that keeps silent, the whole program would stand still.
func readFD(fd int, limit int64, proceed func() error) (data []byte, more bool, err error) {
	for {
		// A file system may hand out single bytes, or EINTR without end.
		if err := proceed(); err != nil {
			return nil, false, err
		}
		data = slices.Grow(data, 512)
		n, err := unix.Read(fd, data[len(data):cap(data)])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, false, os.NewSyscallError("read", err)
		}
		data = data[:len(data)+n]
		if int64(len(data)) > limit {
			return data[:limit], true, nil
		}
		if n == 0 {
			return data, false, nil
		}
	}
}

// openInRoot opens name below root without following a link out of it
// (openat2(2)). flags are those of open: O_PATH for what can only be looked at.
// resolve adds to the rules by which the path is walked.
func openInRoot(root int, name string, flags int, resolve uint64) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags) | unix.O_CLOEXEC, //nolint:gosec // flags of open are positive
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS | resolve,
	}
	// EAGAIN: something was renamed or mounted meanwhile, anywhere on the machine
	// (handle_dots in fs/namei.c compares global counters), so the kernel could
	// not be sure that a ".." stayed inside. On a busy node that happens a few
	// times in a row; a container that renames without pause must not keep us.
	const tries = 500
	var err error
	for range tries {
		var fd int
		if fd, err = unix.Openat2(root, name, &how); err == nil {
			return fd, nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return -1, err
}
