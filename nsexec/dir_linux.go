package nsexec

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ReadDir returns the entries of the directory name, sorted by name: those that
// keep picks by their names, or with nil all. keep is called in the order of the
// file system, which is any. A directory with more than limit entries, whether
// picked or not, is not read to its end and fails with [ErrTooMany]. Links on the
// way are followed inside the tree; those in the directory are only read.
// It returns when ctx ends even if the kernel does not, as [Files.ReadFile] does.
//
// Errors: fs.ErrNotExist, ENOTDIR, [ErrTooMany], [*PermissionError],
// [ErrReadersBusy], the error of ctx.
func (f *Files) ReadDir(ctx context.Context, name string, limit int, keep func(name string) bool) ([]Entry, error) {
	var entries []Entry
	err := f.run(ctx, name, func() error {
		return withFD(f.root, func(root int) (err error) {
			entries, err = f.readDir(ctx, root, name, limit, keep)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read directory %s: %w", name, err)
	}
	return entries, nil
}

func (f *Files) readDir(ctx context.Context, root int, name string, limit int, keep func(string) bool) ([]Entry, error) {
	fd, err := openInRoot(root, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err == nil {
		defer closeFD(fd)
	}
	if gone := f.intact(); gone != nil {
		return nil, gone
	}
	if err != nil {
		return nil, openError(name, err)
	}
	names := &nameReader{fd: fd, buffer: make([]byte, 16<<10), proceed: ctx.Err}
	target := make([]byte, unix.PathMax)
	var entries []Entry
	for seen := 0; ; {
		chunk, err := names.next()
		if err != nil {
			return nil, err
		}
		if len(chunk) == 0 {
			slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
			return entries, nil
		}
		if seen += len(chunk); seen > limit {
			return nil, fmt.Errorf("%w than %d entries", ErrTooMany, limit)
		}
		for _, n := range chunk {
			if keep != nil && !keep(n) {
				continue
			}
			if e, ok := readEntry(fd, n, target); ok {
				entries = append(entries, e)
			}
		}
	}
}

// nameReader reads the names in an open directory. Like readFD it keeps package
// os out, which would look at files by name where the kernel does not tell their
// type.
type nameReader struct {
	fd      int
	buffer  []byte
	proceed func() error // asked before each call
}

// next returns further names, none at the end.
func (r *nameReader) next() ([]string, error) {
	for {
		if err := r.proceed(); err != nil {
			return nil, err
		}
		n, err := unix.Getdents(r.fd, r.buffer)
		if errors.Is(err, unix.EINTR) {
			continue // a file system may say so without end
		}
		if err != nil {
			return nil, os.NewSyscallError("getdents", err)
		}
		// "." and ".." are left out, so that an answer may hold no name at all.
		_, _, names := unix.ParseDirent(r.buffer[:n], -1, nil)
		if n == 0 || len(names) > 0 {
			return names, nil
		}
	}
}

// readEntry looks at one name without following it; false where it is gone.
// buffer is for the text of a link.
func readEntry(dir int, name string, buffer []byte) (Entry, bool) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Entry{}, false
	}
	e := Entry{Name: name, Dir: st.Mode&unix.S_IFMT == unix.S_IFDIR, ModTime: time.Unix(st.Mtim.Unix())}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		n, err := unix.Readlinkat(dir, name, buffer)
		if err != nil {
			return Entry{}, false
		}
		e.Link = string(buffer[:n])
	}
	return e, true
}
