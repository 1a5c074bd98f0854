package nsexec_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

func openFiles(t testing.TB, home *nsexec.Home, dir string) *nsexec.Files {
	t.Helper()
	files, err := home.OpenFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	return files
}

func hangs(op fuseOp) fuseBehaviour { return fuseBehaviour{Hang: map[fuseOp]bool{op: true}} }

func TestReadFileThatHangs(t *testing.T) {
	t.Parallel()
	for name, op := range map[string]fuseOp{
		"lookup": fuseLookup, "stat": fuseGetattr, "statfs": fuseStatfs, "open": fuseOpen, "read": fuseRead, "flush": fuseFlush,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := newHome(t)
			server := startFUSE(t, hangs(op))
			files := openFiles(t, home, server.dir)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			failed := make(chan error, 1)
			go func() {
				_, err := files.ReadFile(ctx, "/file", 100)
				failed <- err
			}()
			select {
			case err := <-failed:
				t.Fatalf("did not hang: %v", err)
			case <-server.hung:
			}
			cancel()
			if err := <-failed; !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want that of the context", err)
			}
			if err := files.Close(); err != nil {
				t.Errorf("close under a read that hangs: %v", err)
			}
		})
	}
}

// A file system that does not answer whether a file is ready must not be asked:
// the runtime's poller would wait for it, and with it all connections.
func TestReadFileLeavesPollerAlone(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	server := startFUSE(t, hangs(fusePoll))
	file, err := openFiles(t, home, server.dir).ReadFile(t.Context(), "/file", 100)
	if err != nil || string(file.Data) != fuseContent {
		t.Errorf("read %q, %v", file.Data, err)
	}
	select {
	case <-server.hung:
		t.Error("the file was polled")
	default:
	}
}

// What a hostile file system answers must neither be waited for nor be tried
// for ever.
func TestReadFileHostileAnswers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		behaviour fuseBehaviour
		want      error
	}{
		"try again":   {fuseBehaviour{Fail: map[fuseOp]unix.Errno{fuseRead: unix.EAGAIN}}, unix.EAGAIN},
		"stale":       {fuseBehaviour{Fail: map[fuseOp]unix.Errno{fuseOpen: unix.ESTALE}}, unix.ESTALE},
		"io error":    {fuseBehaviour{Fail: map[fuseOp]unix.Errno{fuseGetattr: unix.EIO}}, unix.EIO},
		"interrupted": {fuseBehaviour{Fail: map[fuseOp]unix.Errno{fuseRead: unix.EINTR}}, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := openFiles(t, newHome(t), startFUSE(t, test.behaviour).dir)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if _, err := files.ReadFile(ctx, "/file", 100); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
	t.Run("one byte at a time", func(t *testing.T) {
		t.Parallel()
		files := openFiles(t, newHome(t), startFUSE(t, fuseBehaviour{Drip: true}).dir)
		file, err := files.ReadFile(t.Context(), "/file", 100)
		if err != nil || len(file.Data) != 100 || !file.Truncated {
			t.Errorf("read %d bytes, truncated %v, %v", len(file.Data), file.Truncated, err)
		}
	})
}

// Reads that hang cost their own target, and no other: neither other trees nor what
// is opened by a path.
func TestReadersBusy(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	server := startFUSE(t, hangs(fuseRead))
	files := openFiles(t, home, server.dir)
	healthy := t.TempDir()
	if err := os.WriteFile(filepath.Join(healthy, "file"), []byte("fine"), 0o644); err != nil {
		t.Fatal(err)
	}
	others := openFiles(t, home, healthy)
	pin := pinNetns(t)
	othersWork := func(when string) {
		t.Helper()
		if file, err := others.ReadFile(t.Context(), "/file", 100); string(file.Data) != "fine" {
			t.Errorf("%s: another tree: %q, %v", when, file.Data, err)
		}
		if entries, err := others.ReadDir(t.Context(), "/", 100, nil); err != nil || len(entries) != 1 {
			t.Errorf("%s: another directory: %v, %v", when, entries, err)
		}
		h, err := home.OpenPath(t.Context(), pin)
		if err != nil {
			t.Errorf("%s: a named network: %v", when, err)
			return
		}
		h.Close()
	}

	const calls, most = 64, 2
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			if _, err := files.ReadFile(ctx, "/file", 100); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want that of the context", err)
			}
		})
	}
	for range most {
		<-server.hung
	}
	othersWork("while reads are waited for")
	cancel()
	wg.Wait()
	othersWork("while reads hang that nobody waits for")
	if _, err := files.ReadFile(t.Context(), "/file", 100); !errors.Is(err, nsexec.ErrReadersBusy) {
		t.Errorf("the tree that hangs: %v, want ErrReadersBusy", err)
	}
	if n := len(server.hung); n != 0 {
		t.Errorf("%d more reads began", n)
	}
	server.stop()
	eventually(t, "the tree after its file system was taken away", func() error {
		if _, err := files.ReadFile(t.Context(), "/file", 100); errors.Is(err, nsexec.ErrReadersBusy) {
			return err
		}
		return nil
	})
	// And never because of reads that are only many.
	for range 500 {
		wg.Go(func() {
			if file, err := others.ReadFile(t.Context(), "/file", 100); string(file.Data) != "fine" {
				t.Errorf("read %q, %v", file.Data, err)
			}
		})
	}
	wg.Wait()
}

// A process that holds the lock of its own memory lets nobody read its environ.
func TestEnvironThatHangs(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	server := startFUSE(t, hangs(fuseRead))
	c := start(t, "/proc/self/exe", unix.CLONE_NEWNET, []string{roleVar + "=" + roleHolding, "FILE=" + server.dir + "/file"}, nil)
	t.Cleanup(server.stop) // before the end of the process is awaited, which waits for the file
	p := openProcess(t, home, c.pid)
	<-server.hung
	if _, err := c.stdin.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"environ", "cmdline"} {
		eventually(t, name+" hangs, and is asked for no more", func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_, err := p.ReadFile(ctx, name, 100)
			if errors.Is(err, nsexec.ErrReadersBusy) && !errors.Is(err, context.DeadlineExceeded) {
				return nil
			}
			return fmt.Errorf("error %w, want ErrReadersBusy", err)
		})
	}
	for _, name := range []string{"cgroup", "status", "comm"} {
		if _, err := p.ReadFile(t.Context(), name, 1000); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !p.Alive() {
		t.Error("the process is not alive")
	}
	net, err := p.Net()
	if err != nil {
		t.Fatal(err)
	}
	net.Close()
	// All others can be read.
	if _, err := openProcess(t, home, startChild(t, unix.CLONE_NEWNS).pid).ReadFile(t.Context(), "environ", 100); err != nil {
		t.Errorf("another process: %v", err)
	}
}

// A path that leads into a file system that hangs, as an agent's client may
// name one.
func TestOpenPathThatHangs(t *testing.T) {
	t.Parallel()
	home := newHome(t)
	server := startFUSE(t, hangs(fuseLookup))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	failed := make(chan error, 2)
	go func() { _, err := home.OpenPath(ctx, server.dir+"/file"); failed <- err }()
	go func() { _, err := home.OpenPathIn(ctx, server.dir, "/file"); failed <- err }()
	<-server.hung
	cancel()
	for range 2 {
		if err := <-failed; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want that of the context", err)
		}
	}
}
