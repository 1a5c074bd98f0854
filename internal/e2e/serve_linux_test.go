//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestInspectorOverHTTP: the client of the TypeScript SDK talks to `serve` in
// each way in which it can.
func TestInspectorOverHTTP(t *testing.T) {
	const secret = "0123456789abcdef0123456789abcdef"
	address, _ := startServe(t, secret)
	url := "http://" + address + "/mcp"
	for _, protocol := range []string{"legacy", "auto", "modern"} {
		t.Run(protocol, func(t *testing.T) {
			connect := []string{
				"--transport", "http", "--server-url", url, "--protocol-era", protocol, "--header", "Authorization: Bearer " + secret,
			}
			var list struct{ Tools []struct{ Name string } }
			out := runInspector(t, append(connect, "--method", "tools/list", "--strict")...)
			if err := json.Unmarshal(out, &list); err != nil || len(list.Tools) == 0 {
				t.Fatalf("tools/list: %v in %s", err, out)
			}
			for arguments, fails := range map[string]bool{`{"netns":"host"}`: false, `{"netns":"nowhere"}`: true} {
				out := runInspector(t, append(connect, "--method", "tools/call", "--tool-name", "netns_ip_addr", "--tool-args-json", arguments)...)
				var result struct {
					IsError           bool
					StructuredContent *struct{ Summary string }
				}
				if err := json.Unmarshal(out, &result); err != nil || result.IsError != fails || result.StructuredContent == nil || result.StructuredContent.Summary == "" {
					t.Errorf("%s: %v in %s", arguments, err, out)
				}
			}
		})
	}
}

// startServe runs `serve` on loopback until the test ends and returns its
// address and PID. args go before those that say where to listen.
func startServe(t testing.TB, secret string, args ...string) (address string, pid int) {
	t.Helper()
	token := filepath.Join(t.TempDir(), "inspector.token")
	if err := os.WriteFile(token, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(), append(args, "serve", "--listen", "127.0.0.1:0", "--token-file", token, "--log-format", "json")...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		var record struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &record) == nil && strings.HasPrefix(record.Msg, "serving") {
			address = record.Address
			break
		}
	}
	read := make(chan struct{})
	go func() { // on to the end, so that the server can write
		for lines.Scan() {
		}
		close(read)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-read
		if err := cmd.Wait(); err != nil {
			t.Errorf("end of serve: %v", err)
		}
	})
	if address == "" {
		t.Fatal("serve does not start")
	}
	return address, cmd.Process.Pid
}
