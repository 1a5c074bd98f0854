package lab

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Cover lets this process, and what it starts, see another text in the file at
// path, which exists. The machine's own file is not touched.
func Cover(path, text string) error {
	if err := checkIsolated(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(runDir, "cover-")
	if err != nil {
		return err
	}
	file := filepath.Join(dir, filepath.Base(path))
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return err
	}
	return mount(file, path, "", unix.MS_BIND)
}
