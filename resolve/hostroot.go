package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	securejoin "github.com/cyphar/filepath-securejoin"

	"nsenter-mcp/nsexec"
)

// hostPath is where a path of the host is found by this process. Links on the way,
// absolute ones above all (/var/run to /run), stay below root, as they would for
// the host itself. It is for what has to be named to somebody else, such as a
// socket, and for folders that only root can write: whoever can change a link
// meanwhile is not kept out, as [nsexec.Files] does.
func hostPath(root, name string) string {
	if filepath.Clean(root) == "/" {
		return filepath.Clean(name)
	}
	found, err := securejoin.SecureJoin(root, name)
	if err != nil { // links in a circle
		return filepath.Join(root, name)
	}
	return found
}

// hostFiles reads files of the host for a source.
type hostFiles struct {
	home           *nsexec.Home
	root, procRoot string
}

func newHostFiles(home *nsexec.Home, root string) hostFiles {
	root = filepath.Join("/", root)
	return hostFiles{home: home, root: root, procRoot: filepath.Join(root, "proc")}
}

// readHost opens the host's root for one question. It fails with [ErrAbsent] where there
// is none, or where what ask needs is not there.
func readHost[T any](ctx context.Context, h *hostFiles, ask func(*nsexec.Files) ([]T, error)) ([]T, error) {
	files, err := h.home.OpenFiles(h.root)
	var found []T
	if err == nil {
		defer func() { _ = files.Close() }() // only read from
		found, err = ask(files)
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, nsexec.ErrUnsupported) {
		err = fmt.Errorf("%s: %w", h.root, ErrAbsent)
	}
	return found, cmp.Or(err, ctx.Err())
}
