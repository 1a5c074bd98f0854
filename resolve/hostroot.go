package resolve

import (
	"os"
	"path"
	"path/filepath"
	"strings"
)

// maxLinks is how many links the kernel follows on one way (MAXSYMLINKS of
// include/linux/namei.h).
const maxLinks = 40

// hostPath is where a path of the host is found by this process. Links on the way,
// absolute ones above all (/var/run to /run), stay below root, as they would for
// the host itself. It is for what has to be named to somebody else, such as a
// socket, and for folders that only root can write: whoever can change a link
// meanwhile is not kept out, as [nsexec.Files] does.
func hostPath(root, name string) string {
	if filepath.Clean(root) == "/" {
		return filepath.Clean(name)
	}
	at, rest := "/", strings.Split(filepath.ToSlash(name), "/")
	for links := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		next := path.Join(at, part) // ".." ends at the root
		target, err := os.Readlink(filepath.Join(root, next))
		if err != nil {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return filepath.Join(root, name)
		}
		if path.IsAbs(target) {
			at = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return filepath.Join(root, at)
}
