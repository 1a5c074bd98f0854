package resolve

import (
	"slices"
	"testing"

	"nsenter-mcp/internal/lab"
)

func TestDiscover(t *testing.T) {
	t.Parallel()
	w := newWorld(t, NewCgroups(t.TempDir()))
	p := w.Pod(t, lab.PodSpec{Name: "a-web", Containers: []lab.ContainerSpec{{Name: "app"}}})
	w.Pod(t, lab.PodSpec{Name: "z-crash", Containers: []lab.ContainerSpec{{Name: "app", State: lab.Exited, ExitCode: 1, Restarts: 3}}})
	w.Container(t, lab.ContainerSpec{Name: "done", State: lab.Exited})
	got, err := w.resolver.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range got.Workloads {
		names = append(names, l.describe())
	}
	if want := []string{"pod default/z-crash", "pod default/a-web", "container done"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	if !slices.ContainsFunc(got.Netns, func(n NamedNetns) bool { return n.Path == p.Path }) {
		t.Errorf("named namespaces %+v lack %s", got.Netns, p.Path)
	}
	if len(got.Sources) != 2 || got.Sources[0].State != "ok" || got.Sources[1].State != "absent" || got.Sources[0].Workloads != 3 {
		t.Errorf("sources are %+v", got.Sources)
	}
}
