package dispatch

import (
	"net/netip"
	"slices"
	"testing"
)

func TestLiterals(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		arguments map[string]any
		want      []string
	}{
		{map[string]any{"url": "http://web:80/"}, nil},
		{map[string]any{"url": "http://127.0.0.1:80/"}, []string{"127.0.0.1"}},
		{map[string]any{"url": "https://[::1]/"}, []string{"::1"}},
		{map[string]any{"url": "http://[::ffff:127.0.0.1]/"}, []string{"127.0.0.1"}},
		{map[string]any{"url": "http://[fe80::1%25eth0]/"}, []string{"fe80::1"}},
		{map[string]any{"url": "http://web/", "resolve": []string{"web:80:127.0.0.1", "[::1]:80:10.0.0.1,[fe80::1]"}}, []string{"127.0.0.1", "10.0.0.1", "fe80::1"}},
		{map[string]any{"url": "http://web/", "connect_to": []string{"::10.244.1.11:8080", "::[fd00::1]:80", "web:80:127.0.0.1:", "::db:1"}}, []string{"10.244.1.11", "fd00::1", "127.0.0.1"}},
		{map[string]any{"server": "169.254.20.10"}, []string{"169.254.20.10"}},
		{map[string]any{"server": "[::1]:53"}, []string{"::1"}},
		{map[string]any{"url": "http://web/", "proxy": "http://127.0.0.1:3128"}, []string{"127.0.0.1"}},
	} {
		var want []netip.Addr
		for _, text := range test.want {
			want = append(want, netip.MustParseAddr(text))
		}
		if got := literals(Next{Arguments: test.arguments}); !slices.Equal(got, want) {
			t.Errorf("%v: %v, want %v", test.arguments, got, want)
		}
	}
}
