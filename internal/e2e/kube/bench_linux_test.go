//go:build e2e

package kube

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// BenchmarkDebugPod: the addresses of a pod that has no tools, against what a
// cluster's user does without us: start a pod on the node that may enter
// others, run `ip addr` in it, and delete it.
func BenchmarkDebugPod(b *testing.B) {
	n := newNamespace(b, "bench")
	n.apply(b, `{apiVersion: v1, kind: Pod, metadata: {name: bare}, spec: {containers: [{name: bare, image: "registry.k8s.io/pause:3.10"}]}}`)
	n.until(b, "bare", "ready", (*pod).ready)
	c := serve(b)
	in := args{"pod": "bare", "namespace": string(n)}
	pid := c.succeed(b, "netns_ip_addr", in).Target.PID
	address := n.get(b, "bare").Status.PodIP
	debug := `{apiVersion: v1, kind: Pod, metadata: {name: debug}, spec: {hostPID: true, terminationGracePeriodSeconds: 0, containers: [
		{name: debug, image: "busybox:1", command: [sleep, "1000000"], securityContext: {privileged: true}}]}}`
	for b.Loop() {
		var ours, theirs []time.Duration
		for range 5 {
			theirs = append(theirs, timed(func() {
				n.apply(b, debug)
				n.kubectl(b, "wait", "--for=condition=Ready", "pod/debug", "--timeout=60s")
				out := n.exec(b, "debug", "", "nsenter", "-t", fmt.Sprint(pid), "-n", "ip", "addr")
				if !strings.Contains(out, address) {
					b.Fatalf("%s", out)
				}
			}))
			n.kubectl(b, "delete", "pod", "debug")
			for range 20 {
				ours = append(ours, timed(func() {
					if a := c.succeed(b, "netns_ip_addr", in); !strings.Contains(string(a.raw), address) {
						b.Fatalf("%s", a.raw)
					}
				}))
			}
		}
		slices.Sort(ours)
		slices.Sort(theirs)
		our, their := ours[len(ours)/2], theirs[len(theirs)/2]
		b.ReportMetric(float64(their)/float64(our), "x-faster")
		b.Logf("netns_ip_addr / a debug pod and ip addr in it: %s / %s: %.0f x faster (bar: 100 x)", our, their, float64(their)/float64(our))
	}
}

func timed(fn func()) time.Duration {
	start := time.Now()
	fn()
	return time.Since(start)
}
