package nsexec_test

import (
	"context"
	"errors"
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

// awaited is a context that ends as soon as somebody waits for its end.
type awaited struct {
	context.Context
	cancel context.CancelFunc
}

func (c awaited) Done() <-chan struct{} {
	c.cancel()
	return c.Context.Done()
}

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

	// Reads that somebody waits for: the next one waits for its turn.
	const limit = 32
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for range limit {
		wg.Go(func() {
			if _, err := files.ReadFile(ctx, "/file", 100); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want that of the context", err)
			}
		})
	}
	for range limit {
		<-server.hung
	}
	waiting, end := context.WithCancel(t.Context())
	defer end()
	if _, err := others.ReadFile(awaited{waiting, end}, "/file", 100); !errors.Is(err, nsexec.ErrReadersBusy) || !errors.Is(err, context.Canceled) {
		t.Errorf("while all read: %v, want ErrReadersBusy and the context's", err)
	}
	// Reads that nobody waits for any more: there is no use in waiting.
	cancel()
	wg.Wait()
	if _, err := others.ReadFile(t.Context(), "/file", 100); !errors.Is(err, nsexec.ErrReadersBusy) {
		t.Errorf("while all hang: %v, want ErrReadersBusy", err)
	}
	server.stop()
	eventually(t, "reads after the file system was taken away", func() error {
		_, err := others.ReadFile(t.Context(), "/file", 100)
		return err
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

// A path that leads into a file system that hangs, as an agent's client may
// name one.
func TestOpenPathThatHangs(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 5 seconds")
	}
	home := newHome(t)
	server := startFUSE(t, hangs(fuseLookup))
	failed := make(chan error, 2)
	go func() { _, err := home.OpenPath(server.dir + "/file"); failed <- err }()
	go func() { _, err := home.OpenPathIn(server.dir, "/file"); failed <- err }()
	for range 2 {
		if err := <-failed; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want deadline exceeded", err)
		}
	}
}
