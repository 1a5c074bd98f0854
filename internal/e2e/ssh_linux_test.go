//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSSH reaches the server as the README configures it: ssh without a
// terminal, then sudo with a rule for exactly this command.
func TestSSH(t *testing.T) {
	command := startSSH(t)
	client := connect(t, command...)
	answer := succeed(t, client, "netns_ip_addr", map[string]any{"netns": "host"})
	if got := addresses(t, answer, "lo"); len(got) != 1 || got[0] != "127.0.0.1" {
		t.Errorf("lo has %v", got)
	}

	t.Run("thirty calls at once and end of input", func(t *testing.T) {
		const calls = 30
		var in, stderr bytes.Buffer
		in.WriteString(`{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"e2e","version":"1"}}}` + "\n")
		for i := range calls {
			fmt.Fprintf(&in, `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"netns_ip_addr","arguments":{"netns":"host"}}}`+"\n", i)
		}
		cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
		cmd.Stdin, cmd.Stderr = &in, &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, stderr.Bytes())
		}
		answered := map[string]bool{}
		for line := range bytes.Lines(out) {
			var reply struct {
				ID     json.RawMessage
				Result *struct{ IsError bool }
			}
			if err := json.Unmarshal(line, &reply); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			if reply.Result == nil || reply.Result.IsError {
				t.Errorf("not answered well: %s", line)
			}
			answered[string(reply.ID)] = true
		}
		if len(answered) != calls+1 {
			t.Errorf("%d of %d answered", len(answered), calls+1)
		}
	})

	t.Run("via", func(t *testing.T) { viaSSH(t, command) })

	// The docs and the hint for a node that is out of reach say to try it so.
	t.Run("version by hand", func(t *testing.T) {
		byHand := append(command[:len(command):len(command)], "version")
		out, err := exec.CommandContext(t.Context(), byHand[0], byHand[1:]...).Output()
		if err != nil || !strings.HasPrefix(string(out), "nsenter-mcp ") || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%v, %q", err, out)
		}
	})

	t.Run("any other command is refused", func(t *testing.T) {
		program := command[len(command)-1]
		for _, other := range [][]string{{"/bin/cat", "/etc/shadow"}, {program, "doctor"}, {program, "version", "--help"}} {
			refused := append(command[:len(command)-1:len(command)-1], other...)
			if out, err := exec.CommandContext(t.Context(), refused[0], refused[1:]...).CombinedOutput(); err == nil {
				t.Errorf("sudo ran %q: %s", other, out)
			}
		}
	})
}

// startSSH makes an account, its sudo rule and an sshd on loopback, and returns
// the command that reaches the server through them.
func startSSH(t *testing.T) []string {
	t.Helper()
	const account = "sre"
	dir := t.TempDir()
	// sshd and sudo want folders that only root can change, up to the root.
	installed := "/etc/nsenter-mcp-under-test"
	copyFile(t, program(), installed, 0o755)
	run(t, nil, "useradd", "--create-home", "--home-dir", filepath.Join(dir, "home"), "--shell", "/bin/sh",
		"--password", "*", account) // no password fits, yet sshd takes the account for unlocked
	rule := fmt.Sprintf("%[1]s ALL=(root) NOPASSWD: %[2]s \"\", %[2]s version\n", account, installed) // as in the README
	if err := os.WriteFile("/etc/sudoers.d/nsenter-mcp", []byte(rule), 0o440); err != nil {
		t.Fatal(err)
	}
	hostKey, clientKey := filepath.Join(dir, "host_key"), filepath.Join(dir, "client_key")
	for _, key := range []string{hostKey, clientKey} {
		run(t, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
	}
	public, err := os.ReadFile(clientKey + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	authorized := "/etc/ssh/e2e_keys"
	if err := os.WriteFile(authorized, public, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	config := filepath.Join(dir, "sshd_config")
	text := fmt.Sprintf("ListenAddress 127.0.0.1\nPort %s\nHostKey %s\nAuthorizedKeysFile %s\nPasswordAuthentication no\nUsePAM no\nPidFile none\n",
		port, hostKey, authorized)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// sshd runs itself again for each connection, so it wants its full path.
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd = "/usr/sbin/sshd"
	}
	var log bytes.Buffer
	daemon := exec.Command(sshd, "-D", "-e", "-f", config)
	daemon.Stderr = &log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(syscall.SIGTERM)
		_ = daemon.Wait()
		if t.Failed() {
			t.Logf("sshd said:\n%s", log.Bytes())
		}
		run(t, nil, "userdel", account)
	})
	await(t, 10*time.Second, "sshd listens", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
	known := filepath.Join(dir, "known_hosts")
	hostPublic, err := os.ReadFile(hostKey + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	entry := fmt.Sprintf("[127.0.0.1]:%s %s", port, strings.TrimSpace(string(hostPublic)))
	if err := os.WriteFile(known, []byte(entry+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		"ssh", "-F", "none", "-T", "-o", "BatchMode=yes", "-o", "UserKnownHostsFile=" + known, "-i", clientKey, "-p", port,
		account + "@127.0.0.1", "sudo", "-n", installed,
	}
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, mode); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}
