package mcpserve

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTokenFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	link := filepath.Join(dir, "link.token")
	if err := os.Symlink(write("linked", testSecret, 0o400), link); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path string
		want string // in the error, or empty
		name string
	}{
		{write("agent.token", testSecret+"\n", 0o600), "", "agent"},
		{write("readonly", testSecret, 0o400), "", "readonly"},
		{write(".hidden.token", testSecret+"\r\n", 0o600), "", "hidden"},
		{link, "", "link"}, // as Kubernetes mounts secrets
		{write("group", testSecret, 0o640), "chmod 600", ""},
		{write("world", testSecret, 0o604), "chmod 600", ""},
		{write("writable", testSecret, 0o620), "chmod 600", ""},
		{write("empty", "", 0o600), "0 characters", ""},
		{write("newline", "\n", 0o600), "0 characters", ""},
		{write("short", testSecret[:31], 0o600), "31 characters, at least 32", ""},
		{write("long", strings.Repeat("x", 5000), 0o600), "more than 4096", ""},
		{write("lines", testSecret+"\n"+testSecret, 0o600), "line breaks", ""},
		{write("space", testSecret+" x", 0o600), "spaces", ""},
		{write("blank", testSecret+" ", 0o600), "spaces", ""},
		{write("binary", testSecret+"\x00", 0o600), "characters", ""},
		{write("na me", testSecret, 0o600), "name", ""},
		{filepath.Join(dir, "none"), "no such file", ""},
		{dir, "no regular file", ""},
		{"/dev/zero", "no regular file", ""},
	} {
		token, err := ReadToken(c.path)
		switch {
		case c.want == "" && (err != nil || token.Name() != c.name):
			t.Errorf("%s: %q, %v", c.path, token.Name(), err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.path)):
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		case err != nil && strings.Contains(err.Error(), testSecret[:8]):
			t.Errorf("%s: the error shows the secret: %v", c.path, err)
		}
	}
}

// The time that a wrong token takes does not tell how much of it is right. A
// comparison that stops at the first difference fails this by far.
func TestTokenComparisonTakesConstantTime(t *testing.T) {
	if raceEnabled {
		t.Skip("measures time")
	}
	tokens := []Token{newTestToken(t, "test", strings.Repeat("a", maxToken))}
	median := func(secret string) func() time.Duration {
		var took []time.Duration
		header := "Bearer " + secret
		return func() time.Duration {
			begin := time.Now()
			for range 20 {
				if _, ok := match(tokens, header); ok {
					t.Fatal("a wrong token matches")
				}
			}
			took = append(took, time.Since(begin))
			slices.Sort(took)
			return took[len(took)/2]
		}
	}
	first := median("b" + strings.Repeat("a", maxToken-1))
	last := median(strings.Repeat("a", maxToken-1) + "b")
	var a, b time.Duration
	for range 300 { // by turns, so that the machine's load hits both
		a, b = first(), last()
	}
	if ratio := float64(b) / float64(a); ratio > 1.2 || ratio < 1/1.2 {
		t.Errorf("first character wrong: %s, last character wrong: %s", a, b)
	}
}
