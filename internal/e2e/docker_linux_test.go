//go:build e2e

package e2e

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestDocker walks through what is found on a Docker node. The subtests share
// one engine and run one after another.
func TestDocker(t *testing.T) {
	e := startEngine(t)
	client := connect(t, program(), "--docker-host", "unix://"+e.socket)

	t.Run("a container without any tool", func(t *testing.T) {
		id := e.run(t, "--name", "plain", image)
		want := e.inspect(t, id, "{{.NetworkSettings.IPAddress}}")
		for _, name := range []string{"plain", id, id[:12], id[:4]} {
			answer := succeed(t, client, "netns_ip_addr", map[string]any{"container": name})
			if got := addresses(t, answer, "eth0"); !slices.Equal(got, []string{want}) {
				t.Errorf("container %s: eth0 has %v, docker inspect says %s", name, got, want)
			}
			if len(answer.Findings) != 0 {
				t.Errorf("container %s: a healthy network has findings %v", name, answer.Findings)
			}
		}
	})

	t.Run("pause and app share a network", func(t *testing.T) {
		p := e.startPod(t, "shop", "web-7df7d5fff7-5f666")
		e.startContainer(t, p, "app", image)
		pausePID := e.inspect(t, p.pause, "{{.State.Pid}}")
		want := e.inspect(t, p.pause, "{{.NetworkSettings.IPAddress}}")
		for _, arguments := range []map[string]any{
			{"pod": "web-7df7d5fff7-5f666", "namespace": "shop"},
			{"pod": "shop/web-7df7d5fff7-5f666"},
			{"pod": "web-7df7d5fff7-5f666", "container": "app"},
			{"pod": "web"}, // the name of its deployment
		} {
			answer := succeed(t, client, "netns_ip_addr", arguments)
			if got := addresses(t, answer, "eth0"); !slices.Equal(got, []string{want}) {
				t.Errorf("%v: eth0 has %v, want %s", arguments, got, want)
			}
			if answer.Target.Via != "sandbox" || strconv.Itoa(answer.Target.PID) != pausePID {
				t.Errorf("%v: entered via %s, pid %d; the pause container has pid %s", arguments, answer.Target.Via, answer.Target.PID, pausePID)
			}
		}
		app := e.inspect(t, "k8s_app_"+p.name+"_"+p.namespace+"_"+p.uid+"_0", "{{.Id}}")
		answer := succeed(t, client, "netns_ip_addr", map[string]any{"container": app})
		if got := addresses(t, answer, "eth0"); !slices.Equal(got, []string{want}) {
			t.Errorf("the app's container by ID: eth0 has %v, want %s", got, want)
		}
	})

	t.Run("whose is this pid, whose is this address", func(t *testing.T) {
		p := e.startPod(t, "shop", "owner-0")
		app := e.startContainer(t, p, "app", image)
		pid, err := strconv.Atoi(e.inspect(t, app, "{{.State.Pid}}"))
		if err != nil {
			t.Fatal(err)
		}
		ip := e.inspect(t, p.pause, "{{.NetworkSettings.IPAddress}}")
		for _, arguments := range []map[string]any{{"pid": pid}, {"ip": ip}} {
			answer := succeed(t, client, "resolve_pod_pid", arguments)
			if answer.Target.Pod != p.name || answer.Target.Namespace != p.namespace {
				t.Errorf("%v belongs to %s/%s, want %s/%s", arguments, answer.Target.Namespace, answer.Target.Pod, p.namespace, p.name)
			}
		}
	})

	t.Run("an app that crashes for ever", func(t *testing.T) {
		p := e.startPod(t, "shop", "crash-77cdf947-thk57")
		app := e.startContainer(t, p, "app", "--restart", "always", image, "exit", "3")
		await(t, 30*time.Second, "the app has crashed twice", func() bool {
			return e.inspect(t, app, "{{ge .RestartCount 2}}") == "true"
		})
		answer := succeed(t, client, "resolve_pod_pid", map[string]any{"pod": p.name, "namespace": p.namespace})
		if got, want := strconv.Itoa(answer.Target.PID), e.inspect(t, p.pause, "{{.State.Pid}}"); got != want {
			t.Errorf("entered pid %s, want the pause process %s", got, want)
		}
		if !strings.Contains(answer.Summary, "pause") {
			t.Errorf("the summary does not say that pause keeps the network: %s", answer.Summary)
		}
		answer = succeed(t, client, "netns_ip_addr", map[string]any{"pod": p.name})
		if got := addresses(t, answer, "eth0"); len(got) != 1 {
			t.Errorf("the crashing pod's eth0 has %v", got)
		}
	})

	t.Run("a stopped container", func(t *testing.T) {
		id := e.run(t, "--name", "stopped", image, "exit", "7")
		e.docker(t, "wait", id)
		answer := fail(t, client, "not_running", "netns_ip_addr", map[string]any{"container": "stopped"})
		if answer.Error.Details.ExitCode == nil || *answer.Error.Details.ExitCode != 7 {
			t.Errorf("the exit code is not told: %+v", answer.Error)
		}
	})

	t.Run("the host's network", func(t *testing.T) {
		e.run(t, "--name", "hosted", "--network", "host", image)
		answer := succeed(t, client, "netns_ip_addr", map[string]any{"container": "hosted"})
		if !answer.Target.HostNetwork || len(addresses(t, answer, "docker0")) != 1 {
			t.Errorf("host_network is %v, docker0 has %v", answer.Target.HostNetwork, addresses(t, answer, "docker0"))
		}
	})

	t.Run("a network of the user's", func(t *testing.T) {
		e.docker(t, "network", "create", "--subnet", "172.31.201.0/24", "backend")
		id := e.run(t, "--name", "joined", "--network", "backend", image)
		want := e.inspect(t, id, "{{.NetworkSettings.Networks.backend.IPAddress}}")
		answer := succeed(t, client, "netns_ip_addr", map[string]any{"container": "joined"})
		if got := addresses(t, answer, "eth0"); !slices.Equal(got, []string{want}) {
			t.Errorf("eth0 has %v, want %s", got, want)
		}
	})

	t.Run("names and servers of the user's network", func(t *testing.T) {
		e.docker(t, "network", "create", "--subnet", "172.31.202.0/24", "frontend")
		web := e.run(t, "--name", "web", "--network", "frontend", image, "serve", ":80")
		e.run(t, "--name", "visitor", "--network", "frontend", image)
		want := e.inspect(t, web, "{{.NetworkSettings.Networks.frontend.IPAddress}}")

		answer := succeed(t, client, "netns_dns_lookup", map[string]any{"container": "visitor", "name": "web"})
		var found struct {
			Outcome   string
			Addresses []string
		}
		if err := json.Unmarshal(answer.Data, &found); err != nil {
			t.Fatal(err)
		}
		// Docker's own server answers on 127.0.0.11 inside the container.
		if found.Outcome != "answered" || !slices.Equal(found.Addresses, []string{want}) || !strings.Contains(string(answer.Data), "127.0.0.11") {
			t.Errorf("web is %s %v, want %s from 127.0.0.11: %s", found.Outcome, found.Addresses, want, answer.Data)
		}

		answer = succeed(t, client, "netns_curl", map[string]any{"container": "visitor", "url": "http://web/"})
		if !strings.Contains(string(answer.Data), "hello from the guest") || len(answer.Findings) != 0 {
			t.Errorf("%s %v %s", answer.Summary, answer.Findings, answer.Data)
		}
		answer = succeed(t, client, "netns_curl", map[string]any{"container": "visitor", "url": "http://web:81/"})
		if len(answer.Findings) == 0 || answer.Findings[0].Code != "tcp.refused" {
			t.Errorf("a port that nobody listens on: %s %v", answer.Summary, answer.Findings)
		}
		answer = succeed(t, client, "netns_dns_lookup", map[string]any{"container": "visitor", "name": "wbe"})
		if err := json.Unmarshal(answer.Data, &found); err != nil || found.Outcome == "answered" {
			t.Errorf("wbe is %s, %v", found.Outcome, err)
		}
	})

	t.Run("restarted between two calls", func(t *testing.T) {
		id := e.run(t, "--name", "restarted", image)
		before := succeed(t, client, "resolve_pod_pid", map[string]any{"container": "restarted"})
		e.docker(t, "restart", "--time", "0", id)
		answer := fail(t, client, "target_changed", "netns_ip_addr",
			map[string]any{"container": "restarted", "expect": before.Target.NetnsCookie})
		if d := answer.Error.Details; d.Was != before.Target.NetnsCookie || d.Is == 0 || d.Is == d.Was {
			t.Errorf("was %d, is %d; the first call saw %d", d.Was, d.Is, before.Target.NetnsCookie)
		}
		after := succeed(t, client, "netns_ip_addr", map[string]any{"container": "restarted"})
		if got, want := strconv.Itoa(after.Target.PID), e.inspect(t, id, "{{.State.Pid}}"); got != want {
			t.Errorf("entered pid %s, the container has %s", got, want)
		}
	})

	t.Run("frozen by docker pause", func(t *testing.T) {
		id := e.run(t, "--name", "frozen", image)
		e.docker(t, "pause", id)
		succeed(t, client, "netns_ip_addr", map[string]any{"container": "frozen"})
		e.docker(t, "unpause", id)
	})

	t.Run("a name that does not exist", func(t *testing.T) {
		start := time.Now()
		answer := fail(t, client, "not_found", "netns_ip_addr", map[string]any{"container": "plian"})
		if !slices.Contains(answer.Error.Details.NearMisses, "plain") {
			t.Errorf("near misses are %v, want plain among them", answer.Error.Details.NearMisses)
		}
		if took := time.Since(start); took > 10*time.Second { // 5 times the limit
			t.Errorf("it took %s", took)
		}
	})

	t.Run("which are there", func(t *testing.T) {
		pod := e.startPod(t, "shop", "listed-0")
		e.startContainer(t, pod, "app", image)
		id := e.run(t, "--name", "listed", image)
		want := map[string]string{
			"shop/listed-0": e.inspect(t, pod.pause, "{{.NetworkSettings.IPAddress}}"),
			"listed":        e.inspect(t, id, "{{.NetworkSettings.IPAddress}}"),
		}
		answer := succeed(t, client, "list_pods", map[string]any{"name": "listed"})
		var found struct {
			Pods []struct {
				Pod, Container, Running string
				IP                      []string
			}
		}
		if err := json.Unmarshal(answer.Data, &found); err != nil || len(found.Pods) != 2 {
			t.Fatalf("%v in %s", err, answer.Data)
		}
		for _, row := range found.Pods {
			name := row.Pod + row.Container
			if row.Running != "1/1" || !slices.Equal(row.IP, []string{want[name]}) {
				t.Errorf("%s: %+v, want address %s", name, row, want[name])
			}
		}
		answer = succeed(t, client, "list_pods", map[string]any{"problems": true, "name": "stopped"})
		if !strings.Contains(string(answer.Data), "stopped") {
			t.Errorf("what has failed is missing in %s", answer.Data)
		}
	})

	t.Run("what is here", func(t *testing.T) {
		answer := succeed(t, client, "resolve_pod_pid", nil)
		for _, name := range []string{"crash-77cdf947-thk57", "stopped"} {
			if !strings.Contains(string(answer.Data), name) {
				t.Errorf("%s is missing in %s", name, answer.Data)
			}
		}
	})
}
