package mcpserve

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// makePrivate gives a socket that is not yet bound the mode that its file will
// have, so that at no time anybody else can connect: bind takes the mode from
// the socket's own inode (net/unix/af_unix.c, unix_bind_bsd).
func makePrivate(_, _ string, c syscall.RawConn) error {
	var err error
	control := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) })
	return errors.Join(os.NewSyscallError("fchmod", err), control)
}

// lockPath keeps other servers that start on the same path away until the returned
// function is called. The lock is on a file that only this user can open, so that
// nobody else can hold it. The file stays: were it removed, two could hold the lock, one
// of the old file and one of the new.
func lockPath(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open %s.lock: %w", path, reason(err))
	}
	info, err := f.Stat()
	if err == nil {
		err = checkOwner(info, "lock file")
	}
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() { _ = f.Close() }, nil // which unlocks
}

// checkOwner refuses a file of another user.
func checkOwner(info fs.FileInfo, what string) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && int64(stat.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("a %s of user %d is there already", what, stat.Uid)
	}
	return nil
}

// peerOf says who connected to a unix socket: the user that the process had when
// it did (unix(7), SO_PEERCRED).
func peerOf(c *net.UnixConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return "unknown"
	}
	var credentials *unix.Ucred
	control := raw.Control(func(fd uintptr) {
		credentials, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil || control != nil {
		return "unknown"
	}
	return fmt.Sprintf("uid:%d", credentials.Uid)
}
