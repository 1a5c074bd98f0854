package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Path is the operator's file.
const Path = "/etc/nsenter-mcp.yaml"

// maxFile bounds a file.
const maxFile = 64 << 10

// Load reads the operator's file at path below the directory root, which no link
// leads out of; found is false where there is none. A file that others than root
// could have written is an error that says how to mend it, and so is one that cannot
// be understood: a server without the operator's limits would allow too much.
func Load(root, path string) (f File, found bool, err error) {
	text, err := readTrusted(root, path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, false, nil
	}
	if err == nil {
		f, err = Parse(text)
	}
	if err != nil {
		return File{}, false, fmt.Errorf("%s: %w", filepath.Join(root, path), err)
	}
	return f, true, nil
}

// readTrusted reads a regular file that only root can write.
func readTrusted(root, path string) ([]byte, error) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil, reason(err)
	}
	defer func() { _ = dir.Close() }() // it was only read
	name := strings.TrimPrefix(path, "/")
	// Before opening: that could wait at a FIFO, or set a device off.
	info, err := dir.Lstat(name)
	if err != nil {
		return nil, reason(err)
	}
	if err := checkKind(info); err != nil {
		return nil, err
	}
	f, err := openPlain(dir, name)
	if err != nil {
		return nil, reason(err)
	}
	defer func() { _ = f.Close() }() // it was only read
	// What is read is what is checked, whatever has the name by now.
	if info, err = f.Stat(); err != nil {
		return nil, reason(err)
	}
	if err := checkKind(info); err != nil {
		return nil, err
	}
	if err := checkOwner(filepath.Join(root, path), info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, reason(err)
	case len(text) > maxFile:
		return nil, fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return text, nil
}

func checkKind(info fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("it is a symbolic link, which is not followed; put the file itself there")
	case !info.Mode().IsRegular():
		return fmt.Errorf("it is no regular file but %s", info.Mode().Type())
	}
	return nil
}

// reason is err without the path, which its reader knows.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("this user may not read it (%w); it holds no secret, so 'chmod a+r' it", err)
	}
	return err
}
