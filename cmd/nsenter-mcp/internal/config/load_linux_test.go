package config

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
)

func TestMain(m *testing.M) { lab.TestMain(m) }

func TestLoad(t *testing.T) {
	t.Parallel()
	const good = "toolsets: [inspect]\n"
	write := func(path, text string, mode os.FileMode) error {
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			return err
		}
		return os.Chmod(path, mode) // whatever the umask
	}
	for _, c := range []struct {
		name string
		make func(path string) error
		want string // in the error, "" for success
	}{
		{"a good one", func(p string) error { return write(p, good, 0o644) }, ""},
		{"a private one", func(p string) error { return write(p, good, 0o600) }, ""},
		{"the group can write", func(p string) error { return write(p, good, 0o664) }, "(mode 0664); 'chmod go-w "},
		{"everybody can write", func(p string) error { return write(p, good, 0o646) }, "(mode 0646); 'chmod go-w "},
		{"a link", func(p string) error {
			if err := write(p+".real", good, 0o644); err != nil {
				return err
			}
			return os.Symlink(p+".real", p)
		}, "it is a symbolic link, which is not followed"},
		{"a FIFO", func(p string) error { return syscall.Mkfifo(p, 0o644) }, "no regular file"},
		{"a folder", func(p string) error { return os.Mkdir(p, 0o755) }, "no regular file"},
		{"a large one", func(p string) error { return write(p, good+strings.Repeat("#\n", maxFile/2), 0o644) }, "more than 65536 bytes"},
		{"a wrong one", func(p string) error { return write(p, "toolset: []\n", 0o644) }, "did you mean toolsets?"},
	} {
		path := filepath.Join(t.TempDir(), "nsenter-mcp.yaml")
		if err := c.make(path); err != nil {
			t.Fatal(err)
		}
		f, found, err := Load("/", path)
		switch {
		case c.want == "" && (err != nil || !found || len(f.Toolsets) != 1 || f.Toolsets[0] != dispatch.Inspect):
			t.Errorf("%s: %+v, %v, %v", c.name, f, found, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), path+": ")):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if _, found, err := Load("/", filepath.Join(t.TempDir(), "none")); found || err != nil {
		t.Errorf("none: %v, %v", found, err)
	}
}

// A link below the node's root is followed only as far as it stays there.
func TestLoadStaysBelowTheRoot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, link, to string // to: %s stands for the folder above the root
		want           string // in the error, "" for success
	}{
		{"a folder", "", "", ""},
		{"a link inside", "etc", "private", ""},
		{"a link out", "etc", "../outside", "escapes"},
		{"a link to a path", "etc", "%s/outside", "escapes"},
		{"a link to a path of the node's", "etc", "/private", "escapes"},
		{"a file that is a link out", "private/nsenter-mcp.yaml", "../../outside/nsenter-mcp.yaml", "symbolic link"},
	} {
		above := t.TempDir()
		root := filepath.Join(above, "root")
		for _, dir := range []string{"outside", "root/private"} {
			if err := os.MkdirAll(filepath.Join(above, dir), 0o755); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(above, dir, "nsenter-mcp.yaml")
			if filepath.Join(root, c.link) == file {
				continue
			}
			if err := os.WriteFile(file, []byte("toolsets: [inspect]\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		path := "/private/nsenter-mcp.yaml"
		if c.link == "etc" {
			path = "/etc/nsenter-mcp.yaml"
		}
		if c.link != "" {
			if err := os.Symlink(strings.ReplaceAll(c.to, "%s", above), filepath.Join(root, c.link)); err != nil {
				t.Fatal(err)
			}
		}
		_, found, err := Load(root, path)
		switch {
		case c.want == "" && (err != nil || !found):
			t.Errorf("%s: %v, %v", c.name, found, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), root+path+": ")):
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
	if _, found, err := Load(filepath.Join(t.TempDir(), "none"), Path); found || err != nil {
		t.Errorf("no root: %v, %v", found, err)
	}
}

func TestFileOfAnotherUser(t *testing.T) {
	t.Parallel()
	lab.OtherUsers(t)
	path := filepath.Join(t.TempDir(), "nsenter-mcp.yaml")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Load("/", path); err == nil || !strings.Contains(err.Error(), "belongs to uid 65534 and not to root") || !strings.Contains(err.Error(), "'chown root "+path) {
		t.Error(err)
	}
}
