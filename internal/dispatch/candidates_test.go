package dispatch

import (
	"testing"

	"nsenter-mcp/resolve"
)

func TestDescribeCandidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		all  []resolve.Candidate
		want []string
	}{
		"two namespaces": {[]resolve.Candidate{{Pod: "api-0", Namespace: "shop"}, {Pod: "api-0", Namespace: "test"}},
			[]string{"in namespace shop", "in namespace test"}},
		"two pods of a namespace": {[]resolve.Candidate{{Pod: "a", Namespace: "shop"}, {Pod: "b", Namespace: "shop"}},
			[]string{"of pod shop/a", "of pod shop/b"}},
		"two containers of a pod": {[]resolve.Candidate{{Pod: "a", Namespace: "shop", Container: "x"}, {Pod: "a", Namespace: "shop", Container: "y"}},
			[]string{"of pod shop/a, container x", "of pod shop/a, container y"}},
		"two containers": {[]resolve.Candidate{{Container: "redis-1"}, {Container: "redis-2"}},
			[]string{"that is container redis-1", "that is container redis-2"}},
		"owners of an address that nobody knows by a name": {[]resolve.Candidate{{PID: 7, Netns: "net:[1]"}, {PID: 8, Netns: "net:[2]"}},
			[]string{"of process 7", "of process 8"}},
		"namespaces without a process": {[]resolve.Candidate{{Netns: "/run/netns/a"}, {Netns: "/run/netns/b"}},
			[]string{"that is /run/netns/a", "that is /run/netns/b"}},
		"only a source": {[]resolve.Candidate{{Source: "docker", ID: "cafe"}}, []string{"known to docker"}},
	} {
		for i, candidate := range c.all {
			if got := describeCandidate(candidate, c.all); got != c.want[i] {
				t.Errorf("%s: %q, want %q", name, got, c.want[i])
			}
		}
	}
}

func TestCandidatesThatLookAlike(t *testing.T) {
	t.Parallel()
	all := []resolve.Candidate{
		{Pod: "web", Namespace: "shop", Container: "app", ID: "0123456789abcdef", PID: 7},
		{Pod: "web", Namespace: "shop", Container: "app", ID: "fedcba9876543210", PID: 8},
		{Pod: "web", Namespace: "shop", PID: 9},
		{Netns: "net:[5]"},
		{},
	}
	for i, want := range []TargetArgs{
		{Container: "0123456789ab"}, {Container: "fedcba987654"}, {Pod: "web", Namespace: "shop"}, {Netns: "net:[5]"}, {},
	} {
		if got, ok := candidateArguments(all[i], all); got != want || ok != (want != TargetArgs{}) {
			t.Errorf("%+v: %+v, want %+v", all[i], got, want)
		}
	}
}
