package mcpserve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ParseLoopback reads a TCP address that only this machine reaches, given in
// numbers: 127.0.0.1:8080 or [::1]:8080.
func ParseLoopback(text string) (netip.AddrPort, error) {
	a, err := netip.ParseAddrPort(text)
	if err != nil {
		return a, fmt.Errorf("%q is no address with port in numbers, as in 127.0.0.1:8080", text)
	}
	if !a.Addr().IsLoopback() {
		return a, fmt.Errorf("%s is no loopback address (127.0.0.0/8 or ::1), and others are not served: agents elsewhere come through ssh", a)
	}
	return a, nil
}

// maxSocketPath is how long the path of a unix socket may be (unix(7)).
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// ListenUnix listens on a unix socket at path, which only this process's user
// can connect to (mode 0600). A socket that a process left there which is gone
// is replaced; anything else at that place is an error and left alone. Closing
// the listener removes the file, unless another one has taken its place. An empty file
// beside it, path.lock, stays.
func ListenUnix(ctx context.Context, path string) (_ net.Listener, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("listen on unix socket %s: %w", path, err)
		}
	}()
	path, err = filepath.Abs(path) // also: a leading @ has no meaning then
	switch {
	case err != nil:
		return nil, err
	case len(path) > maxSocketPath:
		return nil, fmt.Errorf("the path has more than %d characters", maxSocketPath)
	}
	// Two servers that start at once must not remove each other's socket.
	unlock, err := lockPath(path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: makePrivate}
	inner, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, reason(err)
	}
	l := &unixListener{UnixListener: inner.(*net.UnixListener), path: path}
	l.SetUnlinkOnClose(false) // that would remove whatever is there
	if l.made, err = os.Lstat(path); err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, errors.Join(reason(err), l.Close())
	}
	return l, nil
}

// unixListener removes its socket when it is closed.
type unixListener struct {
	*net.UnixListener
	path string
	made fs.FileInfo
}

func (l *unixListener) Close() error {
	if now, err := os.Lstat(l.path); err == nil && os.SameFile(now, l.made) {
		_ = os.Remove(l.path) // a file that stays is cleaned up at the next start
	}
	return l.UnixListener.Close()
}

// removeStale removes a socket that nobody listens on any more.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return reason(err)
	case info.Mode().Type() == fs.ModeSymlink:
		return errors.New("that is a symbolic link; name the place that is meant")
	case info.Mode().Type() != fs.ModeSocket:
		return errors.New("something that is no socket is there already")
	}
	if err := checkOwner(info, "socket"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		return errors.Join(errors.New("another server listens there already"), c.Close())
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("a socket is there already, and whether it is in use cannot be told: %w", reason(err))
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the socket of a server that is gone: %w", reason(err))
	}
	return nil
}

// reason is the cause of an error of package os or net, whose texts repeat the path.
func reason(err error) error {
	if number := syscall.Errno(0); errors.As(err, &number) {
		return number
	}
	return err
}
