package resolve

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// The files here are those that the operator or the node's root has chosen, and the
// kernel's own: no target can make a read of these hang, nor the linter know that. All
// else is read through [nsexec.Files] and [nsexec.Process].

// stat says what is at a path, whose links it follows.
func stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

// maxKubeconfig bounds a kubeconfig. Kubeconfigs of a hundred clusters with their
// certificates take about 500 kB.
const maxKubeconfig = 4 << 20

// maxWords bounds a file that holds a word or two.
const maxWords = 1 << 10

// readBounded reads a file of at most limit bytes, and what it is.
func readBounded(path string, limit int64) (fs.FileInfo, []byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }() // was only read from
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it is longer than %d bytes", limit)
	}
	return info, data, err
}
