//go:build e2e

package eval

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/internal/mcpserve/mcpclient"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// start starts the program for the lab's node, as a client does.
func start(t *testing.T, l *lab.Lab) *mcpclient.Client {
	t.Helper()
	engine, err := l.Node.Engine()
	must(t, err)
	path := os.Getenv("NSENTER_MCP")
	if path == "" {
		path, err = filepath.Abs("../../../bin/nsenter-mcp")
		must(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.Command(path, "--docker-host", engine.Host(), "--host-netns", l.Node.Path, "--log-level", "warn")
	client, err := mcpclient.Start(ctx, cmd)
	must(t, err)
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("end of the server: %v", err)
		}
	})
	return client
}
