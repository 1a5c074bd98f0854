//go:build e2e

package e2e

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// toolIsError is the inspector's exit code for a tool that answered with an
// error and a schema that fits; an answer that breaks its schema gives another.
const toolIsError = 5

// TestInspector lets the official inspector, whose client is the one of the
// TypeScript SDK, list the tools under its strict check and call them. That
// client holds every structured answer, failures too, against its schema.
func TestInspector(t *testing.T) {
	inspect := func(t *testing.T, arguments ...string) []byte {
		t.Helper()
		return runInspector(t, append([]string{program()}, arguments...)...)
	}

	t.Run("tools/list --strict", func(t *testing.T) {
		var list struct{ Tools []struct{ Name string } }
		if err := json.Unmarshal(inspect(t, "--method", "tools/list", "--strict"), &list); err != nil {
			t.Fatal(err)
		}
		if len(list.Tools) == 0 {
			t.Error("no tool is listed")
		}
	})

	for name, test := range map[string]struct {
		tool, arguments string
		fails           bool
	}{
		"an answer":             {"netns_ip_addr", `{"netns":"host"}`, false},
		"an answer in detail":   {"netns_ip_addr", `{"netns":"host","details":true}`, false},
		"an inventory":          {"resolve_pod_pid", `{}`, false},
		"a failure":             {"netns_ip_addr", `{"netns":"nowhere"}`, true},
		"a failure with a list": {"netns_ip_addr", `{"nets":"host"}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			out := inspect(t, "--method", "tools/call", "--tool-name", test.tool, "--tool-args-json", test.arguments)
			var result struct {
				IsError           bool
				StructuredContent *struct{ Summary string }
			}
			if err := json.Unmarshal(out, &result); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			if result.IsError != test.fails || result.StructuredContent == nil || result.StructuredContent.Summary == "" {
				t.Errorf("got %s", out)
			}
		})
	}
}

// runInspector runs the inspector's command line and returns its output.
func runInspector(t *testing.T, arguments ...string) []byte {
	t.Helper()
	modules, err := filepath.Abs("../../.ci/node/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(modules, "node-linux-"+map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH], "bin", "node")
	cmd := exec.CommandContext(t.Context(), node, append([]string{filepath.Join(modules, ".bin", "mcp-inspector"), "--cli"}, arguments...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == toolIsError {
		return out
	}
	if err != nil {
		t.Fatalf("inspector %v: %v\n%s\n%s", arguments, err, out, stderrOf(exit))
	}
	return out
}

func stderrOf(exit *exec.ExitError) []byte {
	if exit == nil {
		return nil
	}
	return exit.Stderr
}
