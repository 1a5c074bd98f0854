//go:build unix

package config

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// openPlain opens a file without waiting.
func openPlain(dir *os.Root, name string) (*os.File, error) {
	return dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
}

// checkOwner refuses a file that others than root could have written.
func checkOwner(path string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return fmt.Errorf("its owner is not known")
	case st.Uid != 0:
		return fmt.Errorf("it belongs to uid %d and not to root, so it is not the operator's word; 'chown root %s'", st.Uid, path)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others than root can write it (mode %04o); 'chmod go-w %s'", info.Mode().Perm(), path)
	}
	return nil
}
