package nsexec_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

func procPath(pid int, name string) string { return filepath.Join("/proc", strconv.Itoa(pid), name) }

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func symlink(t testing.TB, target, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

// Whatever a container puts into its tree, what is read lies in the tree.
func TestReadFileStaysInside(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	outside, root := t.TempDir(), t.TempDir()
	secret := filepath.Join(outside, "secret")
	writeFile(t, secret, "host")
	up := strings.Repeat("../", 40)
	writeFile(t, root+"/run/resolv.conf", "inside")
	writeFile(t, root+"/etc/plain", "inside")
	symlink(t, "/run/resolv.conf", root+"/etc/absolute")
	symlink(t, "../run/resolv.conf", root+"/etc/relative")
	symlink(t, up+"run/resolv.conf", root+"/etc/climb")
	symlink(t, "/etc/absolute", root+"/etc/twice")
	symlink(t, "/etc", root+"/folder")
	symlink(t, "..", root+"/etc/parent")
	for _, name := range []string{
		"/etc/plain", "etc/plain", "/etc/absolute", "/etc/relative", "/etc/climb", "/etc/twice", "/folder/plain", "/folder/absolute",
		"/" + up + "etc/plain", up + "etc/plain", "/etc/parent/etc/parent/etc/plain", "//etc//./plain", "/etc/../etc/plain",
	} {
		if file, err := openFiles(t, home, root).ReadFile(t.Context(), name, 100); err != nil || string(file.Data) != "inside" {
			t.Errorf("%s: read %q, %v", name, file.Data, err)
		}
	}
	symlink(t, secret, root+"/etc/host")
	symlink(t, up+secret[1:], root+"/etc/host-dots")
	symlink(t, outside, root+"/host-folder")
	symlink(t, "loop", root+"/loop")
	symlink(t, "b", root+"/a")
	symlink(t, "a", root+"/b")
	symlink(t, "/nosuch", root+"/dangling")
	for name, want := range map[string]error{
		"/etc/host": fs.ErrNotExist, "/etc/host-dots": fs.ErrNotExist, "/host-folder/secret": fs.ErrNotExist,
		up + secret[1:]: fs.ErrNotExist, secret: fs.ErrNotExist, "/dangling": fs.ErrNotExist, "/nosuch": fs.ErrNotExist,
		"/loop": unix.ELOOP, "/a": unix.ELOOP, "/etc/plain/below": unix.ENOTDIR, "": fs.ErrNotExist,
		"/nul\x00": unix.EINVAL, "/etc/plain\x00": unix.EINVAL, "/control\x1b[2J\r\n\x7f": fs.ErrNotExist, "/\xff\xfe": fs.ErrNotExist,
		"/" + strings.Repeat("x", 10_000): unix.ENAMETOOLONG, "/" + strings.Repeat("x/", 5_000): unix.ENAMETOOLONG, "/" + strings.Repeat("x", 300): unix.ENAMETOOLONG,
	} {
		if file, err := openFiles(t, home, root).ReadFile(t.Context(), name, 100); !errors.Is(err, want) {
			t.Errorf("%.40q: read %q, %v, want %v", name, file.Data, err, want)
		}
	}
}

func TestReadFileOfSomethingElse(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	zoo := fileZoo(t, root)
	delete(zoo, "file")
	delete(zoo, "empty")
	zoo["/"] = "a directory"
	files := openFiles(t, newHome(t), root)
	for name, what := range zoo {
		if _, err := files.ReadFile(t.Context(), name, 100); !errors.Is(err, nsexec.ErrNotRegular) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v, want ErrNotRegular: %s", name, err, what)
		}
	}
}

// A container that sees our processes (hostPID) must not make us read our own
// files of /proc: an environment holds credentials.
func TestReadFileRefusesProc(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	if err := os.Mkdir(root+"/proc", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("/proc", root+"/proc", "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(root+"/proc", unix.MNT_DETACH) })
	symlink(t, "/proc/self/environ", root+"/environ")
	symlink(t, "/proc/self/root/etc/passwd", root+"/root")
	symlink(t, "/proc/self/cwd/files_linux_test.go", root+"/cwd")
	symlink(t, "/proc/self/fd/0", root+"/fd")
	files := openFiles(t, newHome(t), root)
	for name, want := range map[string]error{
		"/environ": nsexec.ErrNotRegular, "/proc/self/environ": nsexec.ErrNotRegular, "/proc/sys/kernel/hostname": nsexec.ErrNotRegular,
		// Magic links are not even followed.
		"/root": unix.ELOOP, "/cwd": unix.ELOOP, "/fd": unix.ELOOP, procPath(os.Getpid(), "root/etc/passwd"): unix.ELOOP, "/proc/self/exe": unix.ELOOP,
	} {
		if file, err := files.ReadFile(t.Context(), name, 100); !errors.Is(err, want) {
			t.Errorf("%s: read %q, %v, want %v", name, file.Data, err, want)
		}
	}
}

func TestReadFileLimit(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	text := strings.Repeat("0123456789", 1000)
	writeFile(t, root+"/file", text)
	writeFile(t, root+"/empty", "")
	const huge = 1 << 30
	if err := os.WriteFile(root+"/huge", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(root+"/huge", huge); err != nil {
		t.Fatal(err)
	}
	files := openFiles(t, newHome(t), root)
	for _, test := range []struct {
		name        string
		limit, want int64
		size        int64
	}{
		{"/file", 1, 1, 10_000}, {"/file", 9_999, 9_999, 10_000}, {"/file", 10_000, 10_000, 10_000}, {"/file", 10_001, 10_000, 10_000},
		{"/file", 1<<63 - 1, 10_000, 10_000}, {"/file", 0, 0, 10_000}, {"/file", -1, 0, 10_000},
		{"/empty", 0, 0, 0}, {"/empty", 10, 0, 0}, {"/huge", 4096, 4096, huge}, {"/huge", 1 << 20, 1 << 20, huge},
	} {
		file, err := files.ReadFile(t.Context(), test.name, test.limit)
		if err != nil || int64(len(file.Data)) != test.want || file.Size != test.size || file.Truncated != (test.want < test.size) {
			t.Errorf("%s limit %d: %d bytes, size %d, truncated %v, %v", test.name, test.limit, len(file.Data), file.Size, file.Truncated, err)
		}
		if test.name == "/file" && string(file.Data) != text[:test.want] {
			t.Errorf("limit %d: wrong bytes", test.limit)
		}
		if c := int64(cap(file.Data)); c > 3*test.want+8192 {
			t.Errorf("%s limit %d: takes %d bytes of memory", test.name, test.limit, c)
		}
	}
}

func TestReadFileContext(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	writeFile(t, root+"/file", "text")
	files := openFiles(t, newHome(t), root)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := files.ReadFile(ctx, "/file", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
	if err := files.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := files.ReadFile(t.Context(), "/file", 10); !errors.Is(err, nsexec.ErrClosed) {
		t.Errorf("error %v, want ErrClosed", err)
	}
	if err := files.Close(); !errors.Is(err, nsexec.ErrClosed) {
		t.Errorf("second Close: %v, want ErrClosed", err)
	}
}

// A file that is replaced all the time by what must not be read: each answer is
// the file inside or a refusal.
func TestReadFileRace(t *testing.T) {
	t.Parallel()
	outside, root := t.TempDir(), t.TempDir()
	writeFile(t, outside+"/resolv.conf", "host")
	writeFile(t, root+"/safe/resolv.conf", "inside")
	if err := unix.Mkfifo(root+"/safe/fifo", 0o644); err != nil {
		t.Fatal(err)
	}
	symlink(t, outside, root+"/to-host")
	symlink(t, strings.Repeat("../", 30)+outside[1:], root+"/to-host-dots")
	symlink(t, "/proc/self/root", root+"/to-proc")
	files := openFiles(t, newHome(t), root)

	stop := make(chan struct{})
	var attackers sync.WaitGroup
	attack := func(next func(i int) error) {
		attackers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := next(i); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
					t.Error(err)
					return
				}
			}
		})
	}
	// One swaps what /etc is, the other what lies in it, the third moves
	// folders, which is what makes ".." dangerous.
	folders := []string{"safe", "to-host", "to-host-dots", "to-proc"}
	attack(func(i int) error {
		if err := os.Symlink(folders[i%len(folders)], root+"/etc.new"); err != nil {
			return err
		}
		return os.Rename(root+"/etc.new", root+"/etc")
	})
	attack(func(i int) error {
		if i%2 == 0 {
			return os.Symlink("fifo", root+"/safe/x")
		}
		os.Remove(root + "/safe/x")
		return os.Link(root+"/safe/resolv.conf", root+"/safe/x")
	})
	if err := os.MkdirAll(root+"/moving/a/b/c", 0o755); err != nil {
		t.Fatal(err)
	}
	symlink(t, "../../../../safe/resolv.conf", root+"/moving/a/b/c/link")
	attack(func(int) error {
		if err := os.Rename(root+"/moving/a/b", root+"/moved"); err != nil {
			return err
		}
		return os.Rename(root+"/moved", root+"/moving/a/b")
	})
	read := map[string]int{}
	const least, most = 500 * time.Millisecond, time.Minute // a busy machine may run the attackers alone for long
	for start := time.Now(); time.Since(start) < least || len(read) < 4 && time.Since(start) < most; {
		for _, name := range []string{"/etc/resolv.conf", "/safe/x", "/moving/a/b/c/link", "/moving/a/b/c/../../../../safe/resolv.conf"} {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			file, err := files.ReadFile(ctx, name, 100)
			cancel()
			if errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%s: hangs", name)
			}
			if err == nil {
				if string(file.Data) != "inside" {
					t.Fatalf("%s: read %q", name, file.Data)
				}
				read[name]++
			}
		}
	}
	close(stop)
	attackers.Wait()
	if len(read) != 4 {
		t.Errorf("only these were ever read, so nothing was proven: %v", read)
	}
}

// Where a container can write, no link is followed, not even one that stays
// inside.
func TestReadPlainFile(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	root := t.TempDir()
	writeFile(t, root+"/etc/plain", "inside")
	symlink(t, "plain", root+"/etc/link")
	symlink(t, "etc", root+"/folder")
	files, err := home.OpenFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = files.Close() })
	if got, err := files.ReadPlainFile(t.Context(), "/etc/plain", 100); err != nil || string(got.Data) != "inside" {
		t.Errorf("plain: %q, %v", got.Data, err)
	}
	for _, name := range []string{"/etc/link", "/folder/plain"} {
		if got, err := files.ReadPlainFile(t.Context(), name, 100); !errors.Is(err, syscall.ELOOP) {
			t.Errorf("%s: %q, %v, want ELOOP", name, got.Data, err)
		}
	}
}
