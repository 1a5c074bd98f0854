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

// readBounded reads a file of at most maxKubeconfig bytes, and what it is.
func readBounded(path string) (fs.FileInfo, []byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }() // was only read from
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxKubeconfig+1))
	if err == nil && len(data) > maxKubeconfig {
		err = fmt.Errorf("it is longer than %d bytes", maxKubeconfig)
	}
	return info, data, err
}
