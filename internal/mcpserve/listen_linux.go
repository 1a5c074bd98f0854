package mcpserve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

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

// lockPatience is how long another server may take to make its socket.
const lockPatience = 2 * time.Second

// lockDirectory keeps other servers that start from the directory until the
// returned function is called. Whoever can open a directory can lock it, so the
// wait for the lock is short.
func lockDirectory(ctx context.Context, dir string) (unlock func(), err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open its directory: %w", err)
	}
	unlock = func() { _ = unix.Close(fd) } // which unlocks
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for {
		if err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return unlock, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			unlock()
			return nil, fmt.Errorf("lock its directory, as another server that starts may have: %w", err)
		}
	}
}

// checkOwner refuses a file of another user.
func checkOwner(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && int64(stat.Uid) != int64(os.Geteuid()) {
		return fmt.Errorf("a socket of user %d is there already", stat.Uid)
	}
	return nil
}
