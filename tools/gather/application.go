package gather

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/probe/fetch"
)

// environTime bounds the wait for the environment, which the application can hold up;
// without it a call has its answer all the same.
const environTime = 2 * time.Second

// maxEnviron bounds what is read of an environment, in bytes.
const maxEnviron = 1 << 20

// applicationEnviron is the environment of the target's application; nil where
// there is none or it cannot be read. cut: it goes on after what was read.
func applicationEnviron(ctx context.Context, target *resolve.Target) (environ []byte, cut bool) {
	if target.App == nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(ctx, environTime)
	defer cancel()
	environ, err := target.App.ReadFile(ctx, "environ", maxEnviron)
	if err != nil {
		return nil, false // some containers hide it even from root
	}
	if cut = len(environ) >= maxEnviron && environ[len(environ)-1] != 0; cut {
		environ = environ[:bytes.LastIndexByte(environ, 0)+1] // half a variable is none
	}
	return environ, cut
}

// fileReader reads files of the target's application.
func fileReader(target *resolve.Target) fetch.ReadFunc {
	return func(ctx context.Context, name string, limit int64) ([]byte, error) {
		return wholeFile(target.ReadFile(ctx, name, limit))
	}
}

// hostFileReader reads files of the host below its root, until done is called.
// It is nil where that is this process's own.
func hostFileReader(home *nsexec.Home, root string) (read fetch.ReadFunc, done func()) {
	if filepath.Clean("/"+root) == "/" {
		return nil, func() {}
	}
	files, err := home.OpenFiles(root)
	if err != nil {
		return func(context.Context, string, int64) ([]byte, error) { return nil, err }, func() {}
	}
	read = func(ctx context.Context, name string, limit int64) ([]byte, error) {
		return wholeFile(files.ReadFile(ctx, name, limit))
	}
	return read, func() { _ = files.Close() } // was only read from
}

// wholeFile takes no part of a file for the file.
func wholeFile(file nsexec.File, err error) ([]byte, error) {
	if err == nil && file.Truncated {
		return nil, fmt.Errorf("longer than %d bytes: %w", len(file.Data), fs.ErrInvalid)
	}
	return file.Data, err
}
