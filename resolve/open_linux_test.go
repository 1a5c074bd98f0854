package resolve

import (
	"errors"
	"os"
	"testing"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/nsexec"
)

// What a runtime has put into a container's cgroup and not into its namespaces yet
// is in the node's network; one that was taken for the container would show that.
func TestProcessThatBecomesTheContainer(t *testing.T) {
	t.Parallel()
	home, err := nsexec.NewHome()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = home.Close() })
	pod := lab.Start(t).Pod(t, lab.PodSpec{})
	for name, test := range map[string]struct {
		pid  int
		root string
		w    Workload
		want error
	}{
		"in the node's network and root directory": {os.Getpid(), "/", Workload{}, errNotYet},
		"in a root directory of its own":           {os.Getpid(), t.TempDir(), Workload{}, nil},
		"of a pod in the node's network":           {os.Getpid(), "/", Workload{HostNetwork: true}, nil},
		"in its own network already":               {pod.PID, "/", Workload{}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := home.OpenProcess("/proc", test.pid)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Close() })
			net, err := p.Net()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = net.Close() })
			r := &Resolver{cfg: Config{Home: home, Host: home.Self(), Root: test.root}}
			if err := r.notInside(&test.w, p, net); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			// A list looks for another process.
			if _, ok := r.networkOf(t.Context(), &test.w, p); ok != (test.want == nil) {
				t.Errorf("taken for the pod's in a list: %v", ok)
			}
		})
	}
}
