package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// build runs the command and returns the archive.
func build(t *testing.T, words ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "image.tar")
	if err := run(append(words, "-out", out)); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// members reads a tar archive by name.
func members(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("%s: owner %d:%d, time %s", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		all[h.Name] = append([]byte(fmt.Sprintf("%o %s|", h.Mode, h.Linkname)), data...)
	}
}

func content(member []byte) []byte {
	_, data, _ := bytes.Cut(member, []byte("|"))
	return data
}

func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app")
	if err := os.WriteFile(path, []byte("\x7fELF and so on"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestArchive follows both ways into the archive: an OCI reader's from
// index.json and docker load's from manifest.json.
func TestArchive(t *testing.T) {
	t.Parallel()
	files := members(t, build(t, "-ref", "example.org/tools/app:1.2", "-arch", "arm64", "-user", "65535:65535",
		"-dir", "/etc", "-dir", "+/tmp", "-file", "/app="+program(t), "-text", "/etc/motd=a=b\n", "-link", "/bin=usr/bin",
		"-entrypoint", "/app", "-entrypoint", "-v", "-cmd", "serve", "-label", "org.opencontainers.image.licenses=Apache-2.0"))
	blob := func(d descriptor) []byte {
		data := content(files[d.path()])
		if sum := fmt.Sprintf("sha256:%x", sha256.Sum256(data)); sum != d.Digest || len(data) != d.Size {
			t.Errorf("%s has digest %s and %d bytes, the list says %+v", d.path(), sum, len(data), d)
		}
		return data
	}
	read := func(data []byte, into any) {
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatalf("%v in %s", err, data)
		}
	}

	var index struct{ Manifests []descriptor }
	read(content(files["index.json"]), &index)
	if len(index.Manifests) != 1 || index.Manifests[0].Annotations["io.containerd.image.name"] != "example.org/tools/app:1.2" ||
		index.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2" {
		t.Fatalf("%+v", index)
	}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	read(blob(index.Manifests[0]), &manifest)
	var config struct {
		Architecture, OS string
		Config           struct {
			Entrypoint, Cmd []string
			User            string
			Labels          map[string]string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	read(blob(manifest.Config), &config)
	if config.Architecture != "arm64" || config.OS != "linux" || config.Config.User != "65535:65535" ||
		!slices.Equal(config.Config.Entrypoint, []string{"/app", "-v"}) || !slices.Equal(config.Config.Cmd, []string{"serve"}) ||
		config.Config.Labels["org.opencontainers.image.licenses"] != "Apache-2.0" {
		t.Errorf("%+v", config)
	}
	if len(manifest.Layers) != 1 || !slices.Equal(config.RootFS.DiffIDs, []string{manifest.Layers[0].Digest}) {
		t.Fatalf("layers %+v, diff_ids %v", manifest.Layers, config.RootFS.DiffIDs)
	}
	got := members(t, blob(manifest.Layers[0]))
	for name, want := range map[string]string{
		"etc/": "755 |", "tmp/": "1777 |", "app": "755 |\x7fELF and so on", "etc/motd": "644 |a=b\n", "bin": "777 usr/bin|",
	} {
		if string(got[name]) != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}

	var saved []struct {
		Config           string
		Layers, RepoTags []string
	}
	read(content(files["manifest.json"]), &saved)
	if len(saved) != 1 || saved[0].Config != manifest.Config.path() || !slices.Equal(saved[0].Layers, []string{manifest.Layers[0].path()}) ||
		!slices.Equal(saved[0].RepoTags, []string{"example.org/tools/app:1.2"}) {
		t.Errorf("manifest.json: %+v", saved)
	}
}

func TestSameBytes(t *testing.T) {
	t.Parallel()
	app := program(t)
	words := []string{"-ref", "app:1", "-file", "/app=" + app, "-label", "b=1", "-label", "a=2", "-label", "c=3", "-entrypoint", "/app"}
	first := build(t, words...)
	for range 10 {
		if !bytes.Equal(first, build(t, words...)) {
			t.Fatal("the same input gave other bytes")
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "x.tar")
	for _, c := range []struct{ words, want string }{
		{"-out " + out, "-ref"},
		{"-ref app:1", "-out"},
		{"-out " + out + " -ref app", "tag"},
		{"-out " + out + " -ref host:5000/app", "tag"},
		{"-out " + out + " -ref app:1 -file /app", "path=source"},
		{"-out " + out + " -ref app:1 -file /app=/nonexistent/app", "no such file"},
		{"-out " + out + " -ref app:1 -link x", "path=target"},
		{"-out " + out + " -ref app:1 -text x", "path=content"},
		{"-out " + out + " -ref app:1 -label x", "key=value"},
		{"-out " + out + " -ref app:1 more", `unexpected "more"`},
	} {
		if err := run(strings.Fields(c.words)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.words, err, c.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: left an archive", c.words)
		}
	}
}
