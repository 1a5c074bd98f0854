//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestImage makes the container image in both ways, without an engine and by
// deploy/Dockerfile, and runs it.
func TestImage(t *testing.T) {
	root := filepath.Join("..", "..")
	e := startEngine(t)
	archive := filepath.Join(t.TempDir(), "image.tar")
	run(t, nil, "go", "-C", root, "run", "./internal/mkimage", "-ref", "example.org/tools/nsenter-mcp:archive",
		"-file", "/nsenter-mcp="+program(), "-entrypoint", "/nsenter-mcp", "-out", archive)
	e.docker(t, "load", "--input", archive)

	folder := t.TempDir()
	copyFile(t, program(), filepath.Join(folder, "nsenter-mcp"), 0o755)
	build := exec.CommandContext(t.Context(), "docker", "--host", "unix://"+e.socket, "build",
		"--file", filepath.Join(root, "deploy", "Dockerfile"), "--tag", "example.org/tools/nsenter-mcp:dockerfile", folder)
	build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0") // the builder that every engine has
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	want := run(t, nil, program(), "version")
	for _, tag := range []string{"archive", "dockerfile"} {
		name := "example.org/tools/nsenter-mcp:" + tag
		if got := e.docker(t, "run", "--rm", "--network", "none", name, "version"); got != want {
			t.Errorf("%s says it is %q, the program is %q", tag, got, want)
		}
		// Nothing but the program: what an engine adds is not in the image.
		if got := e.docker(t, "image", "inspect", "--format", "{{.Config.Entrypoint}} {{len .RootFS.Layers}}", name); got != "[/nsenter-mcp] 1" {
			t.Errorf("%s: entry point and layers are %s", tag, got)
		}
		if out, err := exec.CommandContext(t.Context(), "docker", "--host", "unix://"+e.socket, "run", "--rm",
			"--network", "none", "--entrypoint", "sh", name).CombinedOutput(); err == nil || !strings.Contains(string(out), "sh") {
			t.Errorf("%s has a shell: %v %s", tag, err, out)
		}
	}
}
