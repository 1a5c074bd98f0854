package resolve

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
)

// Of a host's root that is mounted in part, what is missing is not known to be missing
// on the host.
func TestFilesOfTheHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for what, test := range map[string]struct {
		dirs  []string
		file  string // in the root
		whole bool   // what is not found does not exist
		note  string
	}{
		"whole":      {[]string{"etc", "usr"}, "etc/resolv.conf", true, ""},
		"parts":      {[]string{"etc", "proc"}, "etc/resolv.conf", false, ""},
		"a link out": {[]string{"etc", "run"}, "run/resolv.conf", false, ""},
		"no etc":     {[]string{"proc", "run"}, "", false, "/etc is not mounted"},
	} {
		root := t.TempDir()
		for _, dir := range test.dirs {
			if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if test.file != "" {
			if err := os.WriteFile(filepath.Join(root, test.file), []byte("nameserver 192.0.2.53\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if test.file == "run/resolv.conf" {
			if err := os.Symlink("../run/resolv.conf", filepath.Join(root, "etc/resolv.conf")); err != nil {
				t.Fatal(err)
			}
		}
		r := w.resolverFor(t, Config{Root: root, AllowHostNetwork: true})
		target, err := r.Resolve(t.Context(), Query{Netns: "host"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = target.Close() })
		file, err := target.ReadFile(t.Context(), "/etc/resolv.conf", 100)
		switch {
		case (target.Files != nil) != test.whole:
			t.Errorf("%s: whole root: %v", what, target.Files != nil)
		case test.file != "" && (err != nil || string(file.Data) != "nameserver 192.0.2.53\n" || target.FilesFrom != "the host"):
			t.Errorf("%s: got %q of %q, %v", what, file.Data, target.FilesFrom, err)
		case test.file == "" && !errors.Is(err, fs.ErrNotExist):
			t.Errorf("%s: got %q, %v", what, file.Data, err)
		}
		if said := noted(target, NoteNoFiles); (said != "") != (test.note != "") || !strings.Contains(said, strings.ReplaceAll(test.note, "/etc", root+"/etc")) {
			t.Errorf("%s: the note is %q", what, said)
		}
	}
}

func TestResolveNetns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Containers: []lab.ContainerSpec{{Name: "app"}}})
	name := filepath.Base(p.Path)
	inode := p.Handle.Identity().Inode
	for what, test := range map[string]struct {
		value string
		pid   int
	}{
		"name":          {name, 0},
		"path":          {p.Path, 0},
		"inode":         {strconv.FormatUint(inode, 10), p.PID},
		"link":          {fmt.Sprintf("net:[%d]", inode), p.PID},
		"process":       {fmt.Sprintf("/proc/%d/ns/net", p.PID), p.PID},
		"thread":        {fmt.Sprintf("/proc/%d/task/%d/ns/net", p.PID, p.PID), p.PID},
		"untidy":        {"/run//netns/./" + name, 0},
		"a link to one": {symlink(t, p.Path), 0},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			target := w.resolve(t, Query{Netns: test.value})
			inside(t, target, p.Handle)
			if target.Via != ViaNetns || target.PID() != test.pid {
				t.Errorf("got pid %d via %s, want %d", target.PID(), target.Via, test.pid)
			}
			if test.pid == 0 && (target.NetnsPath == "" || noted(target, "no_files") == "") {
				t.Errorf("path %q, notes %+v", target.NetnsPath, target.Notes)
			}
			_, err := target.ReadFile(t.Context(), "/etc/resolv.conf", 10)
			if test.pid == 0 && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("files without a process: %v", err)
			}
		})
	}
	t.Run("described", func(t *testing.T) {
		t.Parallel()
		target := w.resolve(t, Query{Netns: name, Describe: true})
		if target.PID() != p.PID {
			t.Errorf("got pid %d, want %d", target.PID(), p.PID)
		}
	})
	t.Run("host", func(t *testing.T) {
		t.Parallel()
		target, err := w.resolver.Resolve(t.Context(), Query{Netns: "host"})
		if err != nil {
			t.Fatal(err)
		}
		inside(t, target, w.Node.Handle)
		if !target.HostNetwork || target.FilesFrom != "the host" {
			t.Errorf("host network %v, files of %q", target.HostNetwork, target.FilesFrom)
		}
		if err := target.Close(); err != nil {
			t.Error(err)
		}
		if err := w.Node.Handle.Do(func() error { return nil }); err != nil {
			t.Errorf("closing the target has closed the host: %v", err)
		}
		host := strconv.FormatUint(w.Node.Handle.Identity().Inode, 10)
		inside(t, w.resolve(t, Query{Netns: host}), w.Node.Handle)
	})
	t.Run("unknown", func(t *testing.T) {
		t.Parallel()
		if e := refused(t, w.resolver, Query{Netns: name + "x"}, KindNotFound); !slices.Contains(e.NearMisses, name) {
			t.Errorf("near misses are %q", e.NearMisses)
		}
		refused(t, w.resolver, Query{Netns: "/run/netns/nope"}, KindNotNetns)
		refused(t, w.resolver, Query{Netns: "4026000000"}, KindNotFound)
		refused(t, w.resolver, Query{Netns: "net:[1]"}, KindNotFound)
	})
	t.Run("no namespace", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, w.resolver, Query{Netns: file}, KindNotNetns)
		refused(t, w.resolver, Query{Netns: "/proc"}, KindNotNetns)
		refused(t, w.resolver, Query{Netns: "/dev/null/net"}, KindNotNetns)
		refused(t, w.resolver, Query{Netns: "/run/" + strings.Repeat("x", 300)}, KindNotNetns)
		refused(t, w.resolver, Query{Netns: fmt.Sprintf("/proc/%d/ns/mnt", p.PID)}, KindNotNetns)
		refused(t, w.resolver, Query{Netns: "/dev/null"}, KindNotNetns)
		// Nobody learns which files there are.
		there, missing := refused(t, w.resolver, Query{Netns: file}, KindNotNetns), refused(t, w.resolver, Query{Netns: file + "x"}, KindNotNetns)
		if there.Hint != missing.Hint || there.Message != strings.ReplaceAll(missing.Message, file+"x", file) {
			t.Errorf("%q %q, and %q %q", there.Message, there.Hint, missing.Message, missing.Hint)
		}
	})
}

func symlink(t *testing.T, to string) string {
	t.Helper()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(to, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// The convention of ip-netns(8): /etc/netns/NAME holds what /etc shows inside.
func TestNetnsFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.Pod(t, lab.PodSpec{Style: lab.Plain})
	name := filepath.Base(p.Path)
	root := t.TempDir()
	dir := filepath.Join(root, "etc/netns", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte("nameserver 192.0.2.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The namespace is opened where it is, its files are looked for below this
	// root, as /run cannot be in both.
	target := w.resolve(t, Query{Netns: p.Path})
	r := w.resolverFor(t, Config{Root: root})
	target.Notes = nil
	r.netnsFiles(target, name)
	reads(t, target, "/etc/resolv.conf", "nameserver 192.0.2.1\n")
	if target.FilesFrom != "/etc/netns/"+name || noted(target, "files_from") == "" {
		t.Errorf("files from %q, notes %+v", target.FilesFrom, target.Notes)
	}
	for _, other := range []string{"/etc/hosts", "/proc/version", "/etc/netns/" + name + "/resolv.conf"} {
		if _, err := target.ReadFile(t.Context(), other, 10); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got %v, want not exist", other, err)
		}
	}
}
