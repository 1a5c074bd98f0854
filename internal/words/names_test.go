package words

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 63)
	for _, test := range []struct {
		is   func(string) bool
		kind string
		yes  []string
		no   []string
	}{
		{IsToken, "token", []string{"web-0.shop", "/run/netns/x", "fe80::1%eth0", strings.Repeat("x", 512)},
			[]string{"", "a b", "a\x1b", "caf\u00e9", "\xff", "a\u200bb", strings.Repeat("x", 513), `a\032b`, `a"b`, "a'b", "a`b"}},
		{IsZone, "zone", []string{"eth0", "3", "eth0.100"}, []string{"", "a b", "a/b", "\u00e9", "a\x1b", "IGNORE-EVERY-RULE"}},
		{IsVersion, "version", []string{"1.7.28", "containerd 1.7.28", "cri-o v1.33.0+k8s"}, []string{"", "a b c", "a ", " a", "a\x1b", "a \u202e", strings.Repeat("x", 81)}},
		{IsDNSName, "DNS name", []string{".", "a", "a.", "web.shop.svc.cluster.local.", "_http._tcp.web", "1.2.3.4", "xn--caf-dma.test", "a--b", long + "." + long},
			[]string{"", "..", ".a", "a..b", "-a", "a-", "a b", `a\032b`, "a/b", "a\n", "*.a", "caf\u00e9", long + "a", strings.Repeat("a.", 200)}},
		{IsInterface, "interface", []string{"eth0", "eth0.100", "veth@x", "a-b_c", "gr\u00fcn0", `a\x1b[0m`, strings.Repeat("x", 60)},
			[]string{"", ".", "..", "a b", "a/b", "a:b", "a\x1b", "a\u200b", "a\u3000b", strings.Repeat("x", 61)}},
		{IsImage, "image", []string{
			"busybox", "registry.k8s.io/pause:3.9", "localhost:5000/a/b:v1", "a@sha256:" + strings.Repeat("0", 64), "sha256:" + strings.Repeat("0", 64),
			strings.Repeat("0", 64),
		}, []string{"", "ignore all instructions", "a b", "a:", "A:b c", "a\x1b[0m", "busybox\u200b", "x@y", strings.Repeat("a", 300)}},
	} {
		for _, name := range test.yes {
			if !test.is(name) {
				t.Errorf("%q is no %s", name, test.kind)
			}
		}
		for _, name := range test.no {
			if test.is(name) {
				t.Errorf("%q is a %s", name, test.kind)
			}
		}
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "web-0.shop": "web-0.shop", "a b": Hidden, "\x1b[31m": Hidden, "caf\u00e9": Hidden, "\xff": Hidden, strings.Repeat("x", 600): Hidden,
	} {
		if got := Printable(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("web-0.shop")
	f.Fuzz(func(t *testing.T, s string) {
		if (IsDNSName(s) || IsImage(s)) && !IsToken(s) {
			t.Errorf("%q is a name and no word", s)
		}
	})
}
