package tools

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/resolve"
)

func TestResolvePodPID(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, nil)
	healthy := b.lab.Pod(t, lab.PodSpec{
		Name: "web-0", Namespace: "shop", Containers: []lab.ContainerSpec{{Name: "app"}, {Name: "proxy"}},
		// An address is looked for in all namespaces of the machine, those of
		// tests that run beside this one among them.
		IP: netip.MustParseAddr("10.244.1.77"),
	})
	crashing := b.lab.Pod(t, lab.PodSpec{Name: "crash-0", Namespace: "shop", Containers: []lab.ContainerSpec{
		{Name: "app", State: lab.Exited, ExitCode: 3, Restarts: 7}}})

	t.Run("a healthy pod", func(t *testing.T) {
		t.Parallel()
		answer, out := succeed[ResolvePodPIDOut](t, b, "resolve_pod_pid", map[string]any{"pod": "web-0", "namespace": "shop"})
		if out.PID != healthy.PID || answer.Target.PID != healthy.PID {
			t.Errorf("pid %d, the pause process has %d", out.PID, healthy.PID)
		}
		if out.Shell != fmt.Sprintf("nsenter -t %d -n", healthy.PID) {
			t.Errorf("shell = %q", out.Shell)
		}
		if len(out.Containers) != 2 || out.Sandbox == nil || out.Sandbox.PID != healthy.PID || out.Pod != "shop/web-0" {
			t.Errorf("got %+v", out)
		}
		net := out.Namespaces["net"]
		if net.Inode != healthy.Handle.Identity().Inode || net.Host == nil || *net.Host {
			t.Errorf("net = %+v", net)
		}
		if out.PIDStart == "" || len(out.Steps) == 0 {
			t.Errorf("no start or steps: %+v", out)
		}
		if want := "pod shop/web-0: all 2 containers run"; !strings.HasPrefix(answer.Summary, want) {
			t.Errorf("summary is %q", answer.Summary)
		}
		if len(answer.Findings) != 0 {
			t.Errorf("findings %v", answer.Findings)
		}
	})

	t.Run("a pod that crashes is entered by pause", func(t *testing.T) {
		t.Parallel()
		answer, out := succeed[ResolvePodPIDOut](t, b, "resolve_pod_pid", map[string]any{"pod": "crash-0"})
		if out.PID != crashing.PID || answer.Target.Via != "sandbox" {
			t.Errorf("pid %d via %s, the pause process has %d", out.PID, answer.Target.Via, crashing.PID)
		}
		for _, want := range []string{"exit code 3", "7 restarts", "sandbox (pause)", "keeps the network"} {
			if !strings.Contains(answer.Summary, want) {
				t.Errorf("summary %q lacks %q", answer.Summary, want)
			}
		}
	})

	t.Run("next can be sent as it is", func(t *testing.T) {
		t.Parallel()
		answer, _ := succeed[ResolvePodPIDOut](t, b, "resolve_pod_pid", map[string]any{"pod": "web-0"})
		for _, next := range answer.Next {
			follow := b.call(t, next.Tool, next.Arguments)
			if follow.Error != nil || follow.Target.NetnsCookie != answer.Target.NetnsCookie {
				t.Errorf("%s %v: %+v", next.Tool, next.Arguments, follow.Error)
			}
		}
		if len(answer.Next) == 0 {
			t.Error("nothing comes next")
		}
	})

	t.Run("by pid and by ip it is the same network", func(t *testing.T) {
		t.Parallel()
		for _, arguments := range []map[string]any{{"pid": healthy.PID}, {"ip": healthy.IP.String()}} {
			answer, out := succeed[ResolvePodPIDOut](t, b, "resolve_pod_pid", arguments)
			if got, want := answer.Target.NetnsCookie, healthy.Handle.Identity().Cookie; got != want || out.PID == 0 {
				t.Errorf("%v: cookie %d with pid %d, want cookie %d", arguments, got, out.PID, want)
			}
		}
	})

	t.Run("what was found by an address and has no process is named by its network", func(t *testing.T) {
		t.Parallel()
		found := resolve.Target{Net: b.lab.Node.Handle, Query: resolve.Query{IP: "192.0.2.1"}}
		if got := dispatch.ArgumentsOf(&found).Netns; got != found.Net.Identity().String() {
			t.Errorf("netns is %v", got)
		}
		found.NetnsPath = "/run/netns/blue"
		if got := dispatch.ArgumentsOf(&found).Netns; got != found.NetnsPath {
			t.Errorf("netns is %v", got)
		}
		found.HostNetwork = true
		if got := dispatch.ArgumentsOf(&found).Netns; got != "host" {
			t.Errorf("netns is %v", got)
		}
	})

	t.Run("without arguments it lists what is here", func(t *testing.T) {
		t.Parallel()
		answer, out := succeed[ResolvePodPIDOut](t, b, "resolve_pod_pid", nil)
		if out.Here == nil || out.Here.Total != 2 || out.Here.Workloads[0].Pod != "shop/crash-0" {
			t.Fatalf("got %+v", out.Here)
		}
		if !strings.Contains(answer.Summary, "2 pods and containers") || !strings.Contains(answer.Summary, "1 in trouble") {
			t.Errorf("summary is %q", answer.Summary)
		}
		if !slices.ContainsFunc(answer.Next, func(n dispatch.Next) bool { return n.Arguments["pod"] == "crash-0" }) {
			t.Errorf("next is %v", answer.Next)
		}
		_, out = succeed[ResolvePodPIDOut](t, b, "resolve_pod_pid", map[string]any{"limit": 1})
		if out.Here.Returned != 1 || len(out.Here.Workloads) != 1 || out.Here.Total != 2 {
			t.Errorf("limit 1 gives %+v", out.Here)
		}
	})
}

func TestInventoryNamesWhoDidNotAnswer(t *testing.T) {
	t.Parallel()
	found := &resolve.Inventory{Sources: []resolve.SourceState{
		{Name: "docker", State: "hung"}, {Name: "cgroup", State: "ok"}, {Name: "cri", State: "absent"},
	}}
	for _, total := range []int{0, 2} {
		found.Total = total
		if got := summarizeInventory(found); !strings.HasSuffix(got, "; docker could not be asked, so pods and containers may be missing.") {
			t.Errorf("%d workloads: %q", total, got)
		}
	}
	found.Sources = found.Sources[1:]
	if got := summarizeInventory(found); strings.Contains(got, "could not be asked") {
		t.Errorf("all answered: %q", got)
	}
}
