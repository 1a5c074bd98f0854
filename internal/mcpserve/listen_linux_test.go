package mcpserve

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"nsenter-mcp/internal/lab"
)

func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "mcp.sock") }

func listenOn(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// leaveSocket makes a socket as a process that was killed leaves it.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestListenUnix(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	l := listenOn(t, path)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := ListenUnix(t.Context(), path); err == nil || !strings.Contains(err.Error(), "another server listens") {
		t.Errorf("a second server: %v", err)
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	} else {
		_ = c.Close()
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket was left: %v", err)
	}
}

// The file has its mode from the start: bind makes it so, without chmod.
func TestSocketIsNeverOpenToOthers(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	config := net.ListenConfig{Control: makePrivate}
	l, err := config.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestListenUnixReplacesAStaleSocket(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	leaveSocket(t, path)
	listenOn(t, path)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestListenUnixLeavesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		put  func(t *testing.T, path string)
		want string
	}{
		"a file": {func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "no socket"},
		"a directory": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "no socket"},
		"a FIFO": {func(t *testing.T, path string) {
			if err := unix.Mkfifo(path, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "no socket"},
		"a link to a stale socket": {func(t *testing.T, path string) {
			leaveSocket(t, path+".real")
			if err := os.Symlink(path+".real", path); err != nil {
				t.Fatal(err)
			}
		}, "symbolic link"},
		"a link to nothing": {func(t *testing.T, path string) {
			if err := os.Symlink("nowhere", path); err != nil {
				t.Fatal(err)
			}
		}, "symbolic link"},
		"a socket of another kind": {func(t *testing.T, path string) {
			c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
		}, "cannot be told"},
		"another user's stale socket": {func(t *testing.T, path string) {
			lab.OtherUsers(t)
			leaveSocket(t, path)
			if err := os.Chown(path, 65534, 65534); err != nil {
				t.Fatal(err)
			}
		}, "of user 65534"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := socketPath(t)
			c.put(t, path)
			before, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = ListenUnix(t.Context(), path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v", err)
			}
			after, err := os.Lstat(path)
			if err != nil || !os.SameFile(before, after) {
				t.Errorf("it was not left alone: %v", err)
			}
		})
	}
}

func TestListenUnixPaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, strings.Repeat("x", 200)): "107 characters",
		filepath.Join(dir, "none", "mcp.sock"):       "no such file or directory",
		"/dev/null/mcp.sock":                         "not a directory",
	} {
		if _, err := ListenUnix(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A name that begins with @ is a file like any other, not an abstract socket,
// which has no mode.
func TestListenUnixIsNeverAbstract(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	listenOn(t, "@mcp")
	if _, err := os.Lstat(filepath.Join(dir, "@mcp")); err != nil {
		t.Error(err)
	}
}

func TestListenUnixRemovesOnlyItsOwnSocket(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	first := listenOn(t, path)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	listenOn(t, path)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the first server removed the second one's socket: %v", err)
	}
}

// Of servers that start at once on a stale socket, one wins and works.
func TestListenUnixAtOnce(t *testing.T) {
	t.Parallel()
	for range 10 {
		path := socketPath(t)
		leaveSocket(t, path)
		var all sync.WaitGroup
		won := make(chan net.Listener, 10)
		for range 10 {
			all.Go(func() {
				if l, err := ListenUnix(t.Context(), path); err == nil {
					won <- l
				} else if !strings.Contains(err.Error(), "another server listens") {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if len(won) != 1 {
			t.Fatalf("%d servers listen", len(won))
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		_ = (<-won).Close()
	}
}

// TestListenUnixDespiteLocks: whoever can open a directory can lock it, and no other
// user can lock what keeps two servers apart.
func TestListenUnixDespiteLocks(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	leaveSocket(t, path)
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Close() })
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	l, err := ListenUnix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	info, err := os.Stat(path + ".lock")
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := os.Chown(path+".lock", 12345, -1); err != nil {
		t.Skip("not root: ", err)
	}
	if _, err := ListenUnix(t.Context(), path); err == nil || !strings.Contains(err.Error(), "a lock file of user 12345") {
		t.Error(err)
	}
}

// Reading a token does not wait at a FIFO.
func TestTokenFileFIFO(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadToken(path); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Error(err)
	}
}

func TestParseLoopback(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{ // the error, or empty
		"127.0.0.1:8080":         "",
		"127.1.2.3:0":            "",
		"[::1]:8080":             "",
		"[::ffff:127.0.0.1]:80":  "",
		"0.0.0.0:8080":           "no loopback",
		"[::]:8080":              "no loopback",
		"192.0.2.1:8080":         "no loopback",
		"[fe80::1%lo]:80":        "no loopback",
		":8080":                  "in numbers",
		"8080":                   "in numbers",
		"localhost:8080":         "in numbers",
		"127.0.0.1":              "in numbers",
		"127.0.0.1:http":         "in numbers",
		"127.0.0.1:65536":        "in numbers",
		"http://127.0.0.1:8080/": "in numbers",
		"":                       "in numbers",
	} {
		_, err := ParseLoopback(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Over a unix socket nobody needs a token, any name of the host will do, and
// the audit log has the peer's user.
func TestHTTPOverUnixSocket(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{}
	s := serveOn(t, listenOn(t, socketPath(t)), d, HTTPConfig{}, nil)
	for _, e := range s.eras() {
		r := s.call(e, "1", "echo", "{}")
		r.Header.Del("Authorization")
		r.Host = "agent"
		if got := s.do(r); got.status != 200 || got.one(t).Error != nil {
			t.Errorf("%s: %d %s", e.name, got.status, got.body)
		}
		r.Header.Set("Origin", "http://agent")
		if got := s.do(s.call(e, "1", "echo", "{}")); got.status != 200 {
			t.Errorf("%d", got.status)
		}
	}
	want := fmt.Sprintf("http:uid:%d", os.Getuid())
	for _, c := range d.recorded() {
		if c.Caller != want {
			t.Errorf("caller %q, want %q", c.Caller, want)
		}
	}
	// A page that a browser got through some proxy cannot call.
	r := s.call(era{}, "1", "echo", "{}")
	r.Host = "agent"
	r.Header.Set("Origin", "http://agent")
	if got := s.do(r); got.status != 403 {
		t.Errorf("with an origin: %d", got.status)
	}
}

// A token can be asked for beside that.
func TestHTTPOverUnixSocketWithToken(t *testing.T) {
	t.Parallel()
	config := HTTPConfig{Tokens: []Token{newTestToken(t, "test", testSecret)}}
	s := serveOn(t, listenOn(t, socketPath(t)), &fakeDispatcher{}, config, nil)
	if got := s.do(s.call(era{token: "x"}, "1", "echo", "{}")); got.status != 401 {
		t.Errorf("%d", got.status)
	}
	if got := s.do(s.call(era{token: testSecret}, "1", "echo", "{}")); got.status != 200 {
		t.Errorf("%d", got.status)
	}
}
