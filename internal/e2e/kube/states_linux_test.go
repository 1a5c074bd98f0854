//go:build e2e

package kube

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shape is a pod in one of the states that a kubelet can produce.
type shape struct {
	name string
	// spec is the pod's, without a name, in YAML that ends up below "spec: ".
	spec string
	// make brings the pod into its state, where applying the spec does not.
	make func(t *testing.T, n namespace)
	// state says when it is there.
	state string
	done  func(*pod) bool

	// code is the error that every tool gives; "" for a pod that is entered.
	code string
	// removed is the code where no API is asked and the kubelet has already removed
	// the containers, of which only the API can tell; "" where it keeps them.
	removed string
	// says are parts of the summary, or of the error's message and hint.
	says []string
	// flickers: it leaves the state for a moment, again and again.
	flickers bool
	// check looks further.
	check func(t *testing.T, c *client, n namespace, p *pod)
}

const (
	sleeper = `{name: main, image: "busybox:1", command: [sleep, "1000000"]}`
	crasher = `{name: main, image: "busybox:1", command: [sh, -c, "exit 3"]}`
)

func phase(name string) func(*pod) bool { return func(p *pod) bool { return p.Status.Phase == name } }

func shapes() []shape {
	return []shape{
		{
			name: "running", spec: `{containers: [` + sleeper + `]}`,
			state: "ready", done: (*pod).ready, says: []string{"sandbox"},
		},
		{
			name: "unscheduled", spec: `{nodeSelector: {no: such-node}, containers: [` + sleeper + `]}`,
			state: "refused by the scheduler",
			done: func(p *pod) bool {
				return slices.ContainsFunc(p.Status.Conditions, func(c struct{ Type, Status, Reason string }) bool {
					return c.Type == "PodScheduled" && c.Reason == "Unschedulable"
				})
			},
			code: "no_sandbox", says: []string{"schedul"},
		},
		{
			name: "no-volume",
			spec: `{containers: [{name: main, image: "busybox:1", command: [sleep, "1000000"], volumeMounts: [{name: x, mountPath: /x}]}], volumes: [{name: x, configMap: {name: no-such-map}}]}`,
			make: func(t *testing.T, n namespace) {
				await(t, "the kubelet misses the volume", func() bool {
					return strings.Contains(n.kubectl(t, "get", "events", "-o", "jsonpath={.items[*].reason}"), "FailedMount")
				})
			},
			state: "waiting for its volume", done: func(p *pod) bool { return p.waiting("ContainerCreating") },
			code: "no_sandbox", says: []string{"volumes", "FailedMount"},
		},
		{
			name:  "never-pull",
			spec:  `{containers: [{name: main, image: "no-such-image:1", imagePullPolicy: Never}]}`,
			state: "waiting for its image", done: func(p *pod) bool { return p.waiting("ErrImageNeverPull") },
			says: []string{"ErrImageNeverPull"},
		},
		{
			name:  "no-image",
			spec:  `{containers: [{name: main, image: "registry.invalid/no-such-image:1"}]}`,
			state: "waiting for its image", done: func(p *pod) bool { return p.waiting("ErrImagePull", "ImagePullBackOff") },
			says: []string{"Image"},
		},
		{
			name:  "init-running",
			spec:  `{initContainers: [{name: first, image: "busybox:1", command: [sleep, "1000000"]}], containers: [` + sleeper + `]}`,
			state: "in its init container",
			done: func(p *pod) bool {
				return len(p.Status.InitContainerStatuses) == 1 && p.Status.InitContainerStatuses[0].State.Running != nil
			},
		},
		{
			name:  "init-failing",
			spec:  `{initContainers: [{name: first, image: "busybox:1", command: [sh, -c, "exit 4"]}], containers: [` + sleeper + `]}`,
			state: "in a crash loop of its init container", done: func(p *pod) bool { return p.waiting("CrashLoopBackOff") },
			says: []string{"first", "4"}, flickers: true,
		},
		{
			name: "crash-loop", spec: `{containers: [` + crasher + `]}`,
			state: "in CrashLoopBackOff", done: func(p *pod) bool { return p.waiting("CrashLoopBackOff") },
			says: []string{"main", "3"}, flickers: true,
			check: func(t *testing.T, c *client, n namespace, p *pod) {
				a := c.succeed(t, "resolve_pod_pid", args{"pod": p.Metadata.Name, "namespace": string(n)})
				if line, err := os.ReadFile(filepath.Join("/proc", decode[struct{ PID json.Number }](t, a).PID.String(), "cmdline")); err != nil || string(line) != "/pause\x00" {
					t.Errorf("entered by %q, %v; want the pause process", line, err)
				}
			},
		},
		{
			name: "failed", spec: `{restartPolicy: Never, containers: [` + crasher + `]}`,
			state: "Failed", done: phase("Failed"),
			code: "not_running", says: []string{"exit code 3"},
		},
		{
			name:  "completed",
			spec:  `{restartPolicy: Never, containers: [{name: main, image: "busybox:1", command: ["true"]}]}`,
			state: "Succeeded", done: phase("Succeeded"),
			code: "not_running", says: []string{"Completed"},
		},
		{
			name: "too-slow", spec: `{activeDeadlineSeconds: 1, terminationGracePeriodSeconds: 1, containers: [` + sleeper + `]}`,
			state: "DeadlineExceeded", done: phase("Failed"),
			code: "not_running",
		},
		{
			name:  "evicted",
			spec:  `{containers: [{name: main, image: "busybox:1", command: [sh, -c, "head -c 3000000 /dev/zero >/x/big; sleep 1000000"], volumeMounts: [{name: x, mountPath: /x}]}], volumes: [{name: x, emptyDir: {sizeLimit: 1Mi}}]}`,
			state: "evicted", done: func(p *pod) bool { return p.Status.Reason == "Evicted" },
			code: "not_running", removed: "no_sandbox", says: []string{"vict"},
		},
		{
			name: "terminating",
			spec: `{terminationGracePeriodSeconds: 600, containers: [{name: main, image: "busybox:1", command: [sh, -c, "trap : TERM; touch /ready; while :; do sleep 1; done"], readinessProbe: {exec: {command: [cat, /ready]}, periodSeconds: 1}}]}`,
			make: func(t *testing.T, n namespace) {
				n.until(t, "terminating", "ready", (*pod).ready)
				n.kubectl(t, "delete", "pod", "terminating", "--wait=false")
			},
			state: "Terminating", done: func(p *pod) bool { return p.Metadata.DeletionTimestamp != "" },
			says: []string{"erminating"},
		},
		{
			name: "host-network", spec: `{hostNetwork: true, containers: [` + sleeper + `]}`,
			state: "ready", done: (*pod).ready,
			check: func(t *testing.T, c *client, n namespace, p *pod) {
				a := c.succeed(t, "netns_ip_addr", args{"pod": p.Metadata.Name, "namespace": string(n)})
				if !a.Target.HostNetwork || !strings.Contains(strings.Join(interfaces(t, a), "\n"), " "+p.Status.HostIP+"/24") {
					t.Errorf("host_network is %v, and %v have not %s", a.Target.HostNetwork, interfaces(t, a), p.Status.HostIP)
				}
			},
		},
		{
			name: "shared-pids", spec: `{shareProcessNamespace: true, containers: [` + sleeper + `]}`,
			state: "ready", done: (*pod).ready, says: []string{"sandbox"},
		},
		{
			name:  "two",
			spec:  `{containers: [` + sleeper + `, {name: second, image: "busybox:1", command: [sh, -c, "exec nc -ll -p 9000 -e cat"]}]}`,
			state: "ready", done: (*pod).ready,
			check: func(t *testing.T, c *client, n namespace, p *pod) {
				for _, name := range []string{"main", "second"} {
					a := c.succeed(t, "netns_curl", args{"pod": p.Metadata.Name, "namespace": string(n), "container": name, "url": "http://127.0.0.1:9000/"})
					// It echoes the request, which is no HTTP: but somebody listens.
					if data := decode[struct{ Outcome string }](t, a); data.Outcome != "not_http" && data.Outcome != "http_error" {
						t.Errorf("from %s: %s", name, a.Summary)
					}
				}
			},
		},
		{
			name:  "sidecar",
			spec:  `{initContainers: [{name: side, image: "busybox:1", restartPolicy: Always, command: [sleep, "1000000"]}], containers: [` + sleeper + `]}`,
			state: "ready", done: (*pod).ready,
			check: func(t *testing.T, c *client, n namespace, p *pod) {
				hasContainers(t, c, n, p, "main", "side")
			},
		},
		{
			name: "debugged", spec: `{containers: [` + sleeper + `]}`,
			make: func(t *testing.T, n namespace) {
				n.until(t, "debugged", "ready", (*pod).ready)
				n.kubectl(t, "debug", "debugged", "--image=busybox:1", "--profile=general", "--container=probe", "--", "sleep", "1000000")
			},
			state: "debugged",
			done: func(p *pod) bool {
				return len(p.Status.EphemeralContainerStatuses) == 1 && p.Status.EphemeralContainerStatuses[0].State.Running != nil
			},
			check: func(t *testing.T, c *client, n namespace, p *pod) {
				hasContainers(t, c, n, p, "main", "probe")
			},
		},
	}
}

// TestStates brings a pod into each state and asks for it by its name.
func TestStates(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, "states")
	var manifest strings.Builder
	for _, s := range shapes() {
		manifest.WriteString("---\napiVersion: v1\nkind: Pod\nmetadata: {name: " + s.name + "}\nspec: " + s.spec + "\n")
	}
	n.apply(t, manifest.String())
	c := serve(t)
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			if s.make != nil {
				s.make(t, n)
			}
			p := n.until(t, s.name, s.state, s.done)
			in := args{"pod": s.name, "namespace": string(n)}
			if s.code != "" {
				for _, tool := range []string{"resolve_pod_pid", "netns_ip_addr"} {
					code := s.code
					if tool != "resolve_pod_pid" && s.removed != "" {
						if e := c.ask(t, tool, in).Error; e != nil && e.Code == s.removed {
							code = s.removed // and stays so
						}
					}
					a := c.fail(t, code, tool, in)
					has(t, a.Error.Message+" "+a.Error.Hint, s.says)
				}
				return
			}
			a := c.succeed(t, "resolve_pod_pid", in)
			if s.flickers {
				await(t, fmt.Sprintf("the summary says %q", s.says), func() bool {
					a = c.succeed(t, "resolve_pod_pid", in)
					return !slices.ContainsFunc(s.says, func(part string) bool { return !strings.Contains(a.Summary, part) })
				})
			}
			has(t, a.Summary, s.says)
			if a.Target.Pod != s.name || a.Target.Namespace != string(n) {
				t.Errorf("it is %s/%s", a.Target.Namespace, a.Target.Pod)
			}
			if uid := decode[struct{ UID string }](t, a).UID; uid != p.Metadata.UID {
				t.Errorf("its UID is %q, the API says %s", uid, p.Metadata.UID)
			}
			network := c.succeed(t, "netns_ip_addr", args{"pod": s.name, "namespace": string(n), "expect": a.Target.NetnsCookie})
			if !p.Spec.HostNetwork {
				if network.Target.Via != "sandbox" {
					t.Errorf("entered via %s, want the sandbox", network.Target.Via)
				}
				if all := strings.Join(interfaces(t, network), "\n"); p.Status.PodIP != "" && !strings.Contains(all, " "+p.Status.PodIP+"/24") {
					t.Errorf("%s\nhas not the pod's %s", all, p.Status.PodIP)
				}
			}
			if s.check != nil {
				s.check(t, c, n, p)
			}
		})
	}
}

// has reports what text does not hold.
func has(t *testing.T, text string, parts []string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not say %q", text, part)
		}
	}
}

// hasContainers holds the names of the pod's containers against those that
// resolve_pod_pid knows, and asks for each.
func hasContainers(t *testing.T, c *client, n namespace, p *pod, want ...string) {
	t.Helper()
	a := c.succeed(t, "resolve_pod_pid", args{"pod": p.Metadata.Name, "namespace": string(n)})
	var got []string
	for _, one := range decode[struct{ Containers []struct{ Name string } }](t, a).Containers {
		got = append(got, one.Name)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("its containers are %v, want %v", got, want)
	}
	for _, name := range want {
		one := c.succeed(t, "netns_ip_addr", args{"pod": p.Metadata.Name, "namespace": string(n), "container": name})
		if one.Target.NetnsCookie != a.Target.NetnsCookie {
			t.Errorf("container %s is in another network", name)
		}
	}
}
