//go:build e2e

package e2e

import (
	"os/exec"
	"strings"
	"testing"
)

// The libraries that are linked allocate about as much before main as starts a
// garbage collection, which would be a sixth of the time until initialize is
// answered (cmd/nsenter-mcp/heap.go).
func TestStartCollectsNoGarbage(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(program())
	cmd.Env = append(cmd.Environ(), "GODEBUG=gctrace=1", "GOGC=")
	cmd.Stdin = strings.NewReader(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"test","version":"1"}}}` + "\n")
	var log, out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	if !strings.Contains(out.String(), `"serverInfo"`) || strings.Contains(log.String(), "gc 1 @") {
		t.Errorf("answered %s\n%s", out.String(), log.String())
	}
}
