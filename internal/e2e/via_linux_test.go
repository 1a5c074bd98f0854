//go:build e2e

package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
)

// viaSSH reaches the same server as a front does: the way is the command with the
// node's name in the place of the host's.
func viaSSH(t *testing.T, command []string) {
	at := slices.IndexFunc(command, func(word string) bool { return strings.HasSuffix(word, "@127.0.0.1") })
	if at < 0 {
		t.Fatalf("no host in %q", command)
	}
	account := strings.TrimSuffix(command[at], "@127.0.0.1")
	// What the ssh configuration is for: the node's name leads to an address.
	words := slices.Concat(command[:at], []string{"-o", "HostName=127.0.0.1", "-o", "HostKeyAlias=[127.0.0.1]:" + portOf(t, command), account + "@{node}"}, command[at+1:])
	via := make([]string, len(words))
	for i, word := range words {
		via[i] = "'" + word + "'"
	}
	client := connect(t, program(), "--via", strings.Join(via, " "))
	answer := succeed(t, client, "netns_ip_addr", map[string]any{"node": "node-7", "netns": "host"})
	if got := addresses(t, answer, "lo"); len(got) != 1 || got[0] != "127.0.0.1" || answer.Target.Node != "node-7" {
		t.Errorf("lo has %v, on node %q", got, answer.Target.Node)
	}
	again := succeed(t, client, "netns_ip_addr", map[string]any{"node": "node-7", "netns": "host", "expect": answer.Target.NetnsCookie})
	if again.Target.NetnsCookie != answer.Target.NetnsCookie {
		t.Errorf("%+v, then %+v", answer.Target, again.Target)
	}

	t.Run("another host key", func(t *testing.T) {
		wrong := strings.ReplaceAll(strings.Join(via, " "), "HostKeyAlias=[127.0.0.1]", "HostKeyAlias=[192.0.2.1]")
		client := connect(t, program(), "--via", wrong)
		failed := fail(t, client, "node_unreachable", "netns_ip_addr", map[string]any{"node": "node-7", "netns": "host"})
		if said := failed.Error.Details.Untrusted.Message; !strings.Contains(said, "Host key verification failed") ||
			!strings.Contains(failed.Error.Hint, "fingerprint") {
			t.Errorf("ssh said %q, hint %q", said, failed.Error.Hint)
		}
	})
	t.Run("a command that sudo does not allow", func(t *testing.T) {
		client := connect(t, program(), "--via", strings.Join(via, " ")+" --read-only")
		failed := fail(t, client, "node_unreachable", "netns_ip_addr", map[string]any{"node": "node-7", "netns": "host"})
		if !strings.Contains(failed.Error.Hint, "sudo") {
			t.Errorf("%+v", *failed.Error)
		}
	})
}

// portOf is the value of ssh's -p.
func portOf(t *testing.T, command []string) string {
	t.Helper()
	i := slices.Index(command, "-p")
	if i < 0 || i+1 >= len(command) {
		t.Fatalf("no port in %q", command)
	}
	return command[i+1]
}

// BenchmarkForward: a call that goes to another node's server, against the same
// call to that server itself; the way between them costs nothing here.
func BenchmarkForward(b *testing.B) {
	l := lab.Start(b)
	direct := serve(b, l.Node, nil)
	front := serve(b, l.Node, nil, "--node-name", "front", "--via", fmt.Sprintf("'%s' --log-level error --host-netns '%s' --docker-host unix:///nonexistent/{node}", program(), l.Node.Path))
	here, there := map[string]any{"netns": "host"}, map[string]any{"netns": "host", "node": "other"}
	for b.Loop() {
		far, near := paired(500,
			func() { front.ask(b, "netns_ip_addr", there) },
			func() { direct.ask(b, "netns_ip_addr", here) })
		ratio := float64(far) / float64(near)
		b.ReportMetric(ratio, "x-time")
		table.add("a call forwarded / made directly", "4 x the time", ratio <= 4, "%s / %s: %.2f x", far, near, ratio)
	}
}
