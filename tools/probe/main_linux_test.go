package probe

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/fact"
)

func TestMain(m *testing.M) { lab.TestMain(m) }

// batch runs ip(8) commands, one a line, inside ns.
func batch(t testing.TB, ns *lab.Netns, commands string) {
	t.Helper()
	var lines []string
	for line := range strings.SplitSeq(commands, "\n") {
		lines = append(lines, strings.TrimSpace(line))
	}
	file := filepath.Join(t.TempDir(), "batch")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ns.Output("ip", "-batch", file); err != nil {
		t.Fatal(err)
	}
}

// sysctl writes variables "name=value" inside ns. /proc/sys/net shows the
// namespace of the thread (net/sysctl_net.c).
func sysctl(t testing.TB, ns *lab.Netns, variables ...string) {
	t.Helper()
	err := ns.Handle.Do(func() error {
		for _, v := range variables {
			name, value, _ := strings.Cut(v, "=")
			if err := os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// readLinks is Links with everything, for tests.
func readLinks(t testing.TB, ns *lab.Netns) []fact.Link {
	t.Helper()
	list, err := Links(context.Background(), ns.Handle, LinkOptions{Details: true})
	if err != nil {
		t.Fatal(err)
	}
	if !list.Complete {
		t.Error("the list is not complete")
	}
	return list.Links
}

func findLink(t testing.TB, links []fact.Link, name string) *fact.Link {
	t.Helper()
	for i := range links {
		if links[i].Name == name {
			return &links[i]
		}
	}
	t.Fatalf("no link %s", name)
	return nil
}

// eventually waits until check, which is called again and again, is true.
func eventually(t testing.TB, what string, check func() bool) {
	t.Helper()
	const limit = 20 * time.Second
	for start := time.Now(); time.Since(start) < limit; time.Sleep(10 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("not within %s: %s", limit, what)
}
