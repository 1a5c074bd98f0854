package nsexec_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

func entryNames(entries []nsexec.Entry) []string {
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return names
}

func TestReadDir(t *testing.T) {
	t.Parallel()
	outside, root := t.TempDir(), t.TempDir()
	writeFile(t, outside+"/secret", "host")
	writeFile(t, root+"/logs/pods/a/0.log", "")
	writeFile(t, root+"/logs/file", "")
	if err := unix.Mkfifo(root+"/logs/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	symlink(t, outside, root+"/logs/out")
	symlink(t, "/logs", root+"/absolute")
	symlink(t, strings.Repeat("../", 40)+"logs", root+"/climb")
	files := openFiles(t, newHome(t), root)
	for _, name := range []string{"/logs", "logs/", "/absolute", "/climb"} {
		entries, err := files.ReadDir(t.Context(), name, 10, nil)
		if err != nil || !slices.Equal(entryNames(entries), []string{"fifo", "file", "out", "pods"}) {
			t.Fatalf("%s: %+v, %v", name, entries, err)
		}
		for _, e := range entries {
			if e.Dir != (e.Name == "pods") || (e.Link == outside) != (e.Name == "out") || time.Since(e.ModTime).Abs() > time.Hour {
				t.Errorf("%s: %+v", name, e)
			}
		}
	}
	picked, err := files.ReadDir(t.Context(), "/logs", 10, func(n string) bool { return strings.HasPrefix(n, "f") })
	if err != nil || !slices.Equal(entryNames(picked), []string{"fifo", "file"}) {
		t.Errorf("picked %+v, %v", picked, err)
	}
	for name, want := range map[string]error{
		"/logs/out": fs.ErrNotExist, outside: fs.ErrNotExist, "/nosuch": fs.ErrNotExist, "/logs/file": unix.ENOTDIR, "/logs/fifo": unix.ENOTDIR,
	} {
		if entries, err := files.ReadDir(t.Context(), name, 10, nil); !errors.Is(err, want) {
			t.Errorf("%s: %+v, %v, want %v", name, entries, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := files.ReadDir(ctx, "/logs", 10, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// A directory may be larger than anybody wants to read.
func TestReadDirIsBounded(t *testing.T) {
	t.Parallel()
	const many = 2000 // more than one answer of the kernel holds
	root := t.TempDir()
	for i := range many {
		if err := os.Mkdir(fmt.Sprintf("%s/%0200d", root, i), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	files := openFiles(t, newHome(t), root)
	entries, err := files.ReadDir(t.Context(), "/", many, nil)
	if err != nil || len(entries) != many {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	// The kernel gives them in the order of a hash (ext4) or latest first (tmpfs).
	if names := entryNames(entries); !slices.IsSorted(names) {
		t.Errorf("unsorted: %s before %s", names[0], names[1])
	}
	none := func(string) bool { return false }
	if entries, err := files.ReadDir(t.Context(), "/", many-1, none); !errors.Is(err, nsexec.ErrTooMany) {
		t.Errorf("%d entries, %v, want ErrTooMany", len(entries), err)
	}
}
