package resolve

import (
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
)

// kubelet makes a Docker container as the kubelet does.
func kubelet(name string, attempt int, labels map[string]string, state State, network string) dockerContainer {
	full := "k8s_" + name + "_web-0_shop_" + uidA + "_" + string(rune('0'+attempt))
	return dockerContainer{
		Container: Container{ID: fakeID(full), Name: full, State: state, Created: time.Unix(int64(1000+attempt), 0)},
		labels:    labels, network: network,
	}
}

func labelled(name string, more ...string) map[string]string {
	l := map[string]string{labelPod: "web-0", labelNamespace: "shop", labelUID: uidA, labelContainer: name}
	if name == sandboxContainer {
		l[labelType] = typeSandbox
	}
	for i := 0; i < len(more); i += 2 {
		l[more[i]] = more[i+1]
	}
	return l
}

// What a list says of how long a container runs (docker/go-units, HumanDuration).
func TestStartedLately(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]bool{
		"Up Less than a second": true, "Up 1 second": true, "Up 59 seconds (healthy)": true, "Up About a minute": true,
		"Up 4 minutes (health: starting)": true, "Up 5 minutes": true, "Up 6 minutes": false, "Up About an hour": false, "Up 3 hours": false,
		"Up 2 days": false, "Exited (1) 3 seconds ago": false, "Restarting (1) 2 seconds ago": false, "Up": false, "": false, "Up x minutes": false,
	} {
		if got := startedLately(status); got != want {
			t.Errorf("%q: got %v", status, got)
		}
	}
}

func TestGroupDocker(t *testing.T) {
	t.Parallel()
	sandboxOld := kubelet(sandboxContainer, 0, labelled(sandboxContainer), StateExited, "none")
	sandbox := kubelet(sandboxContainer, 1, labelled(sandboxContainer, labelDefault, "app"), StateRunning, "none")
	app1 := kubelet("app", 1, labelled("app"), StateExited, "container:"+sandbox.ID)
	app2 := kubelet("app", 2, labelled("app", labelRestarts, "5"), StateExited, "container:"+sandbox.ID)
	proxy := kubelet("proxy", 0, labelled("proxy"), StateRunning, "container:"+sandbox.ID)
	bare := dockerContainer{Container: Container{ID: idB, Name: "nginx", State: StateRunning}, network: "bridge"}
	onHost := dockerContainer{Container: Container{ID: idA, Name: "agent", State: StateRunning}, network: "host"}

	got := groupDocker([]dockerContainer{proxy, bare, app2, sandboxOld, app1, sandbox, onHost})
	if len(got) != 3 {
		t.Fatalf("got %d workloads, want a pod and two containers", len(got))
	}
	w := got[0]
	if w.Pod != "web-0" || w.Namespace != "shop" || w.UID != uidA || w.DefaultContainer != "app" {
		t.Errorf("pod is %+v", w)
	}
	if w.Sandbox == nil || w.Sandbox.ID != sandbox.ID || w.Sandbox.Attempt != 1 {
		t.Errorf("sandbox is %+v, want the one that runs", w.Sandbox)
	}
	if len(w.Attempts) != 1 || w.Attempts[0].ID != sandboxOld.ID {
		t.Errorf("attempts are %+v, want the old sandbox", w.Attempts)
	}
	if len(w.Containers) != 2 || w.Containers[0].Name != "proxy" || w.Containers[1].ID != app2.ID || w.Containers[1].Restarts != 5 {
		t.Errorf("containers are %+v, want proxy and the latest app", w.Containers)
	}
	if w.Containers[1].RuntimeName != app2.Name {
		t.Errorf("runtime name is %q, want %q", w.Containers[1].RuntimeName, app2.Name)
	}
	if got[1].Pod != "" || got[1].Containers[0].Name != "nginx" || got[1].HostNetwork {
		t.Errorf("container is %+v", got[1])
	}
	if !got[2].HostNetwork {
		t.Errorf("container on the host's network is %+v", got[2])
	}
}

func TestGroupDockerSandbox(t *testing.T) {
	t.Parallel()
	t.Run("by names alone", func(t *testing.T) {
		t.Parallel()
		sandbox := kubelet(sandboxContainer, 0, nil, StateRunning, "host")
		got := groupDocker([]dockerContainer{kubelet("app", 0, nil, StateRunning, "container:"+sandbox.ID), sandbox})
		if len(got) != 1 || got[0].Sandbox == nil || got[0].Sandbox.ID != sandbox.ID || !got[0].HostNetwork || got[0].Containers[0].Name != "app" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("by who is joined", func(t *testing.T) {
		t.Parallel()
		labels := map[string]string{labelPod: "web-0", labelNamespace: "shop", labelUID: uidA}
		pause := dockerContainer{Container: Container{ID: idA, Name: "pause", State: StateRunning}, labels: labels, network: "bridge"}
		app := dockerContainer{Container: Container{ID: idB, Name: "app", State: StateExited}, labels: labels, network: "container:" + idA}
		got := groupDocker([]dockerContainer{app, pause})
		if len(got) != 1 || got[0].Sandbox == nil || got[0].Sandbox.ID != idA || got[0].Containers[0].Name != "app" {
			t.Errorf("got %+v", got)
		}
		app.network = "container:pause" // compose files name it
		if got := groupDocker([]dockerContainer{app, pause}); got[0].Sandbox == nil || got[0].Sandbox.ID != idA {
			t.Errorf("joined by name: got %+v", got)
		}
	})
	t.Run("without one", func(t *testing.T) {
		t.Parallel()
		labels := map[string]string{labelPod: "web-0"}
		got := groupDocker([]dockerContainer{{Container: Container{ID: idA, Name: "app", State: StateRunning}, labels: labels}})
		if len(got) != 1 || got[0].Sandbox != nil || got[0].podName() != "default/web-0" || got[0].Containers[0].Name != "app" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("labels that are no names", func(t *testing.T) {
		t.Parallel()
		for _, bad := range []string{"../../etc", "a b", "web\x1b[2J", strings.Repeat("a", 300)} {
			c := dockerContainer{Container: Container{ID: idA, Name: "x"}, labels: map[string]string{labelPod: bad}}
			if got := groupDocker([]dockerContainer{c}); got[0].Pod != "" {
				t.Errorf("%q was taken for a pod", bad)
			}
		}
	})
}

func TestDockerHealth(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]bool{
		"Up 3 minutes (unhealthy)": true, "Up 3 minutes (healthy)": false, "Up 3 minutes (health: starting)": false, "Up 3 minutes": false,
	} {
		c := fromSummary(&container.Summary{ID: idA, State: "running", Status: status})
		if c.Unhealthy != want || (c.severity() < 3) != want {
			t.Errorf("%s: %+v", status, c.Container)
		}
	}
	for status, want := range map[container.HealthStatus]bool{container.Unhealthy: true, container.Healthy: false, container.Starting: false} {
		c, ok := fromInspect(&container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{
			ID: idA, State: &container.State{Status: "running", Health: &container.Health{Status: status}},
		}})
		if !ok || c.Unhealthy != want {
			t.Errorf("%s: %+v", status, c.Container)
		}
	}
	if c := fromSummary(&container.Summary{ID: idA, State: "exited", Status: "Exited (1) 2 minutes ago (unhealthy)"}); c.Unhealthy {
		t.Error("what has ended is not unhealthy")
	}
}

func TestExitCodeIn(t *testing.T) {
	t.Parallel()
	code := func(n int) *int { return &n }
	tests := map[string]*int{
		"Exited (137) 2 minutes ago": code(137), "Exited (0) 3 days ago": code(0), "Restarting (1) 4 seconds ago": code(1),
		"Exited (-1) now": code(-1), "Up 3 hours": nil, "Up 3 hours (Paused)": nil, "Up 2 minutes (healthy)": nil,
		"Created": nil, "": nil, "Exited (x)": nil, "Exited (99999999999)": nil, "Exited (": nil,
	}
	for status, want := range tests {
		got := exitCodeIn(status)
		if (got == nil) != (want == nil) || got != nil && *got != *want {
			t.Errorf("%q: got %v, want %v", status, got, want)
		}
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"nginx:1.27":                   "nginx:1.27",
		"a\nb\x1b[2Jc":                 "a b [2Jc",
		"turned \u202earound":          "turned  around",
		"\xff\xfe":                     "",
		strings.Repeat("ü", 1000):      strings.Repeat("ü", 100),
		"x" + strings.Repeat("ü", 200): "x" + strings.Repeat("ü", 99),
	}
	for in, want := range tests {
		if got := text(in); got != want {
			t.Errorf("text(%.20q) = %q, want %q", in, got, want)
		}
	}
}
