package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// spec is an image of one layer.
type spec struct {
	ref, arch, user string
	entries         []entry
	entrypoint, cmd []string
	labels          map[string]string
}

// entry is a member of the layer, in the order of the command line.
type entry struct {
	header tar.Header
	data   []byte
}

func (s *spec) addDir(name string) error {
	mode := int64(0o755)
	if rest, ok := strings.CutPrefix(name, "+"); ok {
		name, mode = rest, 0o1777
	}
	s.add(tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}, nil)
	return nil
}

func (s *spec) addFile(arg string) error {
	name, source, ok := strings.Cut(arg, "=")
	if !ok {
		return fmt.Errorf("%q is not path=source", arg)
	}
	data, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	s.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755}, data)
	return nil
}

func (s *spec) addText(arg string) error {
	name, content, ok := strings.Cut(arg, "=")
	if !ok {
		return fmt.Errorf("%q is not path=content", arg)
	}
	s.add(tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, []byte(content))
	return nil
}

func (s *spec) addLink(arg string) error {
	name, target, ok := strings.Cut(arg, "=")
	if !ok {
		return fmt.Errorf("%q is not path=target", arg)
	}
	s.add(tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777}, nil)
	return nil
}

func (s *spec) addLabel(arg string) error {
	key, value, ok := strings.Cut(arg, "=")
	if !ok {
		return fmt.Errorf("%q is not key=value", arg)
	}
	if s.labels == nil {
		s.labels = map[string]string{}
	}
	s.labels[key] = value
	return nil
}

func (s *spec) add(h tar.Header, data []byte) {
	h.Name = strings.TrimPrefix(h.Name, "/")
	s.entries = append(s.entries, entry{h, data})
}

// descriptor points to a blob (OCI image specification, descriptor.md).
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// archive is an OCI layout that is a docker-save archive too: both lists name
// the same blobs.
func (s *spec) archive() ([]byte, error) {
	layer, err := s.layer()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	blob := func(mediaType string, data []byte) (descriptor, error) {
		d := descriptor{MediaType: mediaType, Digest: fmt.Sprintf("sha256:%x", sha256.Sum256(data)), Size: len(data)}
		return d, put(w, tar.Header{Typeflag: tar.TypeReg, Name: d.path(), Mode: 0o644}, data)
	}
	layerAt, err := blob("application/vnd.oci.image.layer.v1.tar", layer)
	if err != nil {
		return nil, err
	}
	config, err := s.config(layerAt.Digest)
	if err != nil {
		return nil, err
	}
	configAt, err := blob("application/vnd.oci.image.config.v1+json", config)
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": configAt, "layers": []descriptor{layerAt},
	})
	if err != nil {
		return nil, err
	}
	manifestAt, err := blob("application/vnd.oci.image.manifest.v1+json", manifest)
	if err != nil {
		return nil, err
	}
	manifestAt.Annotations = map[string]string{
		"io.containerd.image.name":          s.ref,
		"org.opencontainers.image.ref.name": s.ref[strings.LastIndexByte(s.ref, ':')+1:],
	}
	for _, list := range []struct {
		name    string
		content any
	}{
		{"index.json", map[string]any{"schemaVersion": 2, "manifests": []descriptor{manifestAt}}},
		{"manifest.json", []any{map[string]any{
			"Config": configAt.path(), "Layers": []string{layerAt.path()}, "RepoTags": []string{s.ref},
		}}},
		{"oci-layout", map[string]string{"imageLayoutVersion": "1.0.0"}},
	} {
		data, err := json.Marshal(list.content)
		if err != nil {
			return nil, err
		}
		if err := put(w, tar.Header{Typeflag: tar.TypeReg, Name: list.name, Mode: 0o644}, data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (d descriptor) path() string { return path.Join("blobs", strings.Replace(d.Digest, ":", "/", 1)) }

func (s *spec) layer() ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range s.entries {
		if err := put(w, e.header, e.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (s *spec) config(layer string) ([]byte, error) {
	const epoch = "1970-01-01T00:00:00Z"
	config := map[string]any{
		"Env":        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		"WorkingDir": "/",
	}
	if s.user != "" {
		config["User"] = s.user
	}
	if len(s.entrypoint) > 0 {
		config["Entrypoint"] = s.entrypoint
	}
	if len(s.cmd) > 0 {
		config["Cmd"] = s.cmd
	}
	if len(s.labels) > 0 {
		config["Labels"] = s.labels
	}
	return json.Marshal(map[string]any{
		"architecture": s.arch, "os": "linux", "created": epoch, "config": config,
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{layer}},
		"history": []any{map[string]any{"created": epoch, "created_by": "mkimage"}},
	})
}

// put writes one member. Its time is always the same.
func put(w *tar.Writer, h tar.Header, data []byte) error {
	h.ModTime, h.Format, h.Size = time.Unix(0, 0), tar.FormatPAX, int64(len(data))
	if err := w.WriteHeader(&h); err != nil {
		return err
	}
	_, err := io.Copy(w, bytes.NewReader(data))
	return err
}
