package resolve

import (
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxKubeconfig bounds a kubeconfig. Kubeconfigs of a hundred clusters with their
// certificates take about 500 kB.
const maxKubeconfig = 4 << 20

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
