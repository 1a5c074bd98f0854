package lookup

import (
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
)

func TestMuslVersion(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"\x7fELF\x00x\x001.2.3\x00y":   "1.2.3",
		"\x001.2.5-git-12-gabcdef\x00": "1.2.5",
		"\x001.2.3\x00\x001.2.5\x00":   "", // not one alone
		"\x001.2\x00":                  "",
		"":                             "",
		strings.Repeat("\x001.", 1000) + "\x001.2.4\x00": "1.2.4",
	} {
		if got := muslVersion([]byte(text)); got != want {
			t.Errorf("%.40q: %q, want %q", text, got, want)
		}
	}
	for version, old := range map[string]bool{"1.1.24": true, "1.2.3": true, "1.2.4": false, "1.2.5": false, "1.3.0": false} {
		if isOldMusl(version) != old {
			t.Errorf("%s: old %v", version, !old)
		}
	}
}

// TestMuslVersionOfTheInstalled holds what is read against what the loader prints.
func TestMuslVersionOfTheInstalled(t *testing.T) {
	t.Parallel()
	loader := lab.Program(t, architectures[runtime.GOARCH].muslLoader)
	data, err := os.ReadFile(loader)
	if err != nil {
		t.Fatal(err)
	}
	out, _ := exec.CommandContext(t.Context(), loader).CombinedOutput() // fails without a program
	if version := muslVersion(data); version == "" || !strings.Contains(string(out), "Version "+version+"\n") {
		t.Errorf("%q, and it says %s", version, out)
	}
}

func TestGlibcMinor(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"x\x00GNU C Library (Debian GLIBC 2.36-9+deb12u4) stable release version 2.36.\n": 36,
		"GNU C Library (GNU libc) stable release version 2.28.":                           28,
		"GLIBC_2.36": 0,
	} {
		if got := glibcMinor([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

// TestOptionsOfNewerVersions: glibc ignores options that it does not know.
func TestOptionsOfNewerVersions(t *testing.T) {
	t.Parallel()
	for version, want := range map[int]string{
		0:  "ndots:1 no-aaaa trust-ad strict-error",
		28: "ndots:1 edns0",
		31: "ndots:1 edns0 trust-ad",
		36: "ndots:1 edns0 no-aaaa trust-ad",
		42: "ndots:1 no-aaaa trust-ad strict-error",
	} {
		c := glibcConf(&Sources{ResolvConf: []byte("options edns0 trust-ad no-aaaa strict-error -edns0\n"), GlibcMinor: version})
		if got := strings.Join(c.Options(), " "); got != want {
			t.Errorf("2.%d: %s, want %s", version, got, want)
		}
	}
}

// TestGaiConf: gai.conf(5) puts a table in the place of glibc's own.
func TestGaiConf(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	s := &sources{from: map[netip.Addr]netip.Addr{v4: netip.MustParseAddr("198.51.100.1"), v6: netip.MustParseAddr("2001:db8::9")}}
	for text, want := range map[string][]netip.Addr{
		"":                                  {v6, v4},
		"# precedence ::ffff:0:0/96  100\n": {v6, v4},
		"precedence ::ffff:0:0/96  100\n":   {v4, v6},
		"precedence x 100\nlabel\n":         {v6, v4},
	} {
		s.gaiConf = []byte(text)
		if got := s.sorted(Glibc, []netip.Addr{v4, v6}); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
