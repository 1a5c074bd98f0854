package tools

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/tools/diagnose"
	"nsenter-mcp/tools/fact"
)

// TestCurlShowsTheJourney: of a packet that the node drops the answer says where and
// why, in a few lines, or in whole steps.
func TestCurlShowsTheJourney(t *testing.T) {
	t.Parallel()
	b, args := droppedByNode(t, func(*dispatch.Config) {})
	lab.Kernel(t, noJourney())
	answer, data := succeed[fact.Fetch](t, b, "netns_curl", args)
	j := data.Journey
	if j == nil || j.Status != fact.JourneyRecorded || len(j.Trail) < 3 || j.Steps != nil {
		t.Fatalf("journey %+v", j)
	}
	if text := strings.Join(j.Trail, "\n"); len(text) > 1000 || !strings.Contains(text, "target eth0 queued SYN") || !strings.Contains(text, "dropped (NETFILTER_DROP") {
		t.Errorf("trail of %d bytes:\n%s", len(text), text)
	}
	if len(answer.Findings) != 1 || answer.Findings[0].Code != diagnose.FirewallHostDrop || !strings.Contains(answer.Summary, "dropped by a packet filter of the node") {
		t.Errorf("%q %v", answer.Summary, answer.Findings)
	}
	args["details"] = true
	if _, data = succeed[fact.Fetch](t, b, "netns_curl", args); data.Journey == nil || len(data.Journey.Steps) < 3 || data.Journey.Trail != nil {
		t.Errorf("with details %+v", data.Journey)
	}
}

// TestTrailNamesPlaces: a network is called by its pod, where it is a pod's own, and a
// device by what it is there for.
func TestTrailNamesPlaces(t *testing.T) {
	t.Parallel()
	lab.Kernel(t, noJourney())
	drop := func(n *lab.Netns) error { return n.Firewall(lab.FirewallRule{Hook: lab.Incoming, Port: 8080}) }
	for _, c := range []struct {
		title string
		style lab.Style
		to    func(t *testing.T, b *testbench) (ip string, err error) // that loses what it gets
		want  []string                                                // in order: the beginnings of lines, VETH any device of the node
		fact  string                                                  // of the finding
	}{
		{"bridge", lab.Bridge, func(t *testing.T, b *testbench) (string, error) {
			pod := b.lab.Pod(t, lab.PodSpec{Name: "web", Namespace: "shop"})
			return pod.IP.String(), errors.Join(showCgroup(pod.Sandbox), drop(pod.Netns))
		}, []string{"target eth0 queued", "node VETH (to target) received", "node VETH (to shop/web) queued", "pod shop/web eth0 received", "pod shop/web eth0 dropped"}, "in pod shop/web, at eth0"},
		{"routed", lab.Calico, func(t *testing.T, b *testbench) (string, error) {
			pod := b.lab.Pod(t, lab.PodSpec{Name: "web", Namespace: "shop", Style: lab.Calico})
			return pod.IP.String(), errors.Join(showCgroup(pod.Sandbox), drop(pod.Netns))
		}, []string{"target eth0 queued", "node VETH (to target) received", "node VETH (to shop/web) queued", "pod shop/web eth0 received", "pod shop/web eth0 dropped"}, "in pod shop/web, at eth0"},
		{"no pod", lab.Bridge, func(t *testing.T, b *testbench) (string, error) {
			c := b.lab.Container(t, lab.ContainerSpec{Name: "legacy"})
			return c.Netns().IP.String(), errors.Join(showCgroup(c), drop(c.Netns()))
		}, []string{"node VETH (to target) received", "other eth0 received", "other eth0 dropped"}, "in another network on this node, at eth0"},
		{"out of the node", lab.Bridge, func(*testing.T, *testbench) (string, error) { return "203.0.113.1", nil },
			[]string{"target eth0 queued", "node cni0 (bridge) received", "node VETH (uplink) queued"}, ""},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			b := newTestbench(t, nil)
			b.lab.Pod(t, lab.PodSpec{Name: "client", Namespace: "shop", Style: c.style})
			ip, err := c.to(t, b)
			if err != nil {
				t.Fatal(err)
			}
			answer, data := succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://"+ip+":8080/", "timeout_ms", 8000))
			if data.Journey == nil {
				t.Fatalf("no journey: %q", answer.Summary)
			}
			trail := data.Journey.Trail
			for _, want := range c.want {
				pattern := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(want), "VETH", `\S+`))
				i := slices.IndexFunc(trail, pattern.MatchString)
				if i < 0 {
					t.Fatalf("no %q in\n%s", want, strings.Join(data.Journey.Trail, "\n"))
				}
				trail = trail[i+1:]
			}
			if len(answer.Findings) != 1 || !strings.Contains(answer.Findings[0].Fact, c.fact) {
				t.Errorf("%v, want %q", answer.Findings, c.fact)
			}
		})
	}
}

// showCgroup makes a container's process lie in the cgroup in which an engine puts it
// (docker run --cgroup-parent).
func showCgroup(c *lab.Container) error {
	return lab.Cover(fmt.Sprintf("/proc/%d/cgroup", c.PID()), "0::/docker/"+c.ID+"\n")
}

// TestLookupShowsTheJourney: a question that nobody answers is followed like a
// connection, to the nameserver's own network and to the backend of a service.
func TestLookupShowsTheJourney(t *testing.T) {
	t.Parallel()
	lab.Kernel(t, noJourney())
	for _, c := range []struct {
		title, server string // SERVER is the nameserver's pod, SERVICE its service
		at            lab.FirewallHook
		answers       bool
		node          bool // drops, else the nameserver's pod
		code          fact.Code
		says          string
	}{
		{"in the nameserver's pod", "SERVER", lab.Incoming, false, false, diagnose.FirewallPeerDrop, "the question to SERVER is dropped by a packet filter in another network on this node, at eth0"},
		{"the answer, in the nameserver's pod", "SERVER", lab.Outgoing, true, false, diagnose.FirewallPeerDrop, "the answer of SERVER is dropped"},
		{"on the node, behind a service", "SERVICE", lab.Forwarded, false, true, diagnose.FirewallHostDrop, "the question to SERVICE, translated to SERVER:53, is dropped by a packet filter of the node"},
	} {
		t.Run(c.title, func(t *testing.T) {
			t.Parallel()
			b := newDNSBed(t, zoneHandler(t, "api. 30 IN A 192.0.2.1"))
			service, err := b.lab.AddService(lab.ServiceSpec{Port: 53, Protocol: "udp", Backends: []netip.Addr{b.server.IP}})
			if err != nil {
				t.Fatal(err)
			}
			fill := strings.NewReplacer("SERVER", b.at, "SERVICE", service.IP.String()).Replace
			web, third := b.web(t, nil, "nameserver "+fill(c.server)), b.lab.Pod(t, lab.PodSpec{})
			deceive(t, b.lab.Node, web, b.server, third)
			ns := b.server.Netns
			if c.node {
				ns = b.lab.Node.Netns
			}
			if err := ns.Firewall(lab.FirewallRule{Hook: c.at, Protocol: "udp", Port: 53, Answers: c.answers}); err != nil {
				t.Fatal(err)
			}
			answer, data := b.lookUp(t, map[string]any{"name": "api"})
			if got := codes(answer.Findings); data.Outcome != "timeout" || !slices.Equal(got, []string{string(c.code)}) || !strings.Contains(answer.Findings[0].Fact, fill(c.says)) {
				t.Errorf("%s %v", data.Outcome, answer.Findings)
			}
			if j := data.Journey; j == nil || len(j.Trail) < 3 || j.Steps != nil {
				t.Errorf("%+v", j)
			}
			checkSize(t, answer)
		})
	}
}

// TestCopiesDoNotMislead: what others send again of the packets of a probe, and where those
// copies are lost, is no finding.
func TestCopiesDoNotMislead(t *testing.T) {
	t.Parallel()
	lab.Kernel(t, noJourney())
	b := newTestbench(t, nil)
	pods := b.lab.Pods(t, lab.PodSpec{Name: "client", Namespace: "shop"}, lab.PodSpec{Name: "web", Namespace: "shop"}, lab.PodSpec{})
	deceive(t, b.lab.Node, pods[0], pods[1], pods[2])
	if err := pods[1].Firewall(lab.FirewallRule{Hook: lab.Incoming, Port: 8080}); err != nil {
		t.Fatal(err)
	}
	answer, _ := succeed[fact.Fetch](t, b, "netns_curl", curlArgs("http://"+pods[1].IP.String()+":8080/"))
	if got := codes(answer.Findings); !slices.Equal(got, []string{string(diagnose.FirewallPeerDrop)}) {
		t.Errorf("%q %v", answer.Summary, answer.Findings)
	}
}

// deceive has two pods send again what the first sends, to where the node drops it, too.
func deceive(t *testing.T, node *lab.Node, sender, peer, third *lab.Pod) {
	t.Helper()
	for _, protocol := range []string{"tcp", "udp"} {
		if err := node.Firewall(lab.FirewallRule{Hook: lab.Forwarded, Protocol: protocol, Port: 9999}); err != nil {
			t.Fatal(err)
		}
	}
	sender.Copied(t, netip.AddrPortFrom(third.IP, 9999), peer, third)
}

// TestJourneyCanBeSwitchedOff: then nothing is attached, and nothing said of it.
func TestJourneyCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	b, args := droppedByNode(t, func(c *dispatch.Config) { c.Policy.NoJourney = true })
	answer, data := succeed[fact.Fetch](t, b, "netns_curl", args)
	if data.Journey != nil || data.Outcome != fact.OutcomeTimeout || len(answer.Findings) != 1 || answer.Findings[0].Code != diagnose.TCPTimeout {
		t.Errorf("%q %+v %v", answer.Summary, data.Journey, answer.Findings)
	}
}

// droppedByNode is a request that a packet filter of the node drops.
func droppedByNode(t *testing.T, change func(*dispatch.Config)) (*testbench, map[string]any) {
	t.Helper()
	b := newTestbench(t, change)
	pods := b.lab.Pods(t, lab.PodSpec{Name: "client", Namespace: "shop"}, lab.PodSpec{Name: "web", Namespace: "shop"})
	if err := b.lab.Node.Firewall(lab.FirewallRule{Hook: lab.Forwarded, Port: 8080}); err != nil {
		t.Fatal(err)
	}
	return b, curlArgs("http://"+pods[1].IP.String()+":8080/", "timeout_ms", 10000)
}
