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

func TestIsHere(t *testing.T) {
	t.Parallel()
	pid, other := 7, 8
	web := TargetArgs{Pod: "web", Namespace: "shop", Container: "app", Expect: 42}
	for _, test := range []struct {
		name   string
		next   TargetArgs
		here   TargetArgs
		shared bool
		want   bool
	}{
		{"the same", web, web, false, true},
		{"the cookie alone tells", TargetArgs{Pod: "web", Namespace: "shop", Expect: 42}, web, false, true},
		{"without the container", TargetArgs{Pod: "web", Namespace: "shop"}, web, true, true},
		{"another container of the pod", TargetArgs{Pod: "web", Namespace: "shop", Container: "side"}, web, true, true},
		{"whose network is its own", TargetArgs{Pod: "web", Namespace: "shop", Container: "side"}, web, false, false},
		{"another pod", TargetArgs{Pod: "db", Namespace: "shop"}, web, true, false},
		{"another namespace", TargetArgs{Pod: "web", Namespace: "test"}, web, true, false},
		{"any namespace", TargetArgs{Pod: "web"}, web, true, false},
		{"another cookie", TargetArgs{Pod: "db", Namespace: "shop", Expect: 41}, web, true, false},
		{"the node", TargetArgs{Netns: "host"}, web, true, false},
		{"no cookies", TargetArgs{Pod: "db"}, TargetArgs{Pod: "web"}, true, false},
		{"a container by itself", TargetArgs{Container: "plain"}, TargetArgs{Container: "plain"}, true, true},
		{"another one", TargetArgs{Container: "other"}, TargetArgs{Container: "plain"}, true, false},
		{"a process", TargetArgs{PID: &pid}, TargetArgs{PID: &pid}, false, true},
		{"another process", TargetArgs{PID: &other}, TargetArgs{PID: &pid}, false, false},
	} {
		if got := isHere(Propose("", test.next, "").Arguments, test.here, test.shared); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}
