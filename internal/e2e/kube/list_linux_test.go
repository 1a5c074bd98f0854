//go:build e2e

package kube

import (
	"fmt"
	"slices"
	"testing"
)

// TestListPods holds list_pods of a whole namespace against the API's word on
// each pod, trouble first.
func TestListPods(t *testing.T) {
	t.Parallel()
	n := newNamespace(t, "list")
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: fine}, spec: {containers: [`+sleeper+`, {name: second, image: "busybox:1", command: [sleep, "1000000"]}]}}`)
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: homeless}, spec: {nodeSelector: {no: such-node}, containers: [`+sleeper+`]}}`)
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: mute}, spec: {containers: [{name: main, image: "no-such-image:1", imagePullPolicy: Never}]}}`)
	n.apply(t, `{apiVersion: v1, kind: Pod, metadata: {name: once}, spec: {restartPolicy: Never, containers: [{name: main, image: "busybox:1", command: ["true"]}]}}`)
	want := map[string]listed{}
	for name, done := range map[string]func(*pod) bool{
		"fine":     (*pod).ready,
		"homeless": func(p *pod) bool { return len(p.Status.Conditions) > 0 },
		"mute":     func(p *pod) bool { return p.waiting("ErrImageNeverPull") && p.Status.PodIP != "" },
		"once":     phase("Succeeded"),
	} {
		p := n.until(t, name, "as it will stay", done)
		ready := 0
		for _, c := range p.Status.ContainerStatuses {
			if c.Ready {
				ready++
			}
		}
		w := listed{Node: p.Spec.NodeName, Here: p.Spec.NodeName != ""}
		switch {
		case p.Status.Phase == "Succeeded":
			w.Ready = "0/0" // of those that should be
		case w.Here:
			w.Ready = fmt.Sprintf("%d/%d", ready, len(p.Status.ContainerStatuses))
		}
		want[string(n)+"/"+name] = w
	}

	c := serve(t)
	a := c.succeed(t, "list_pods", args{"namespace": string(n), "all_nodes": true})
	list := decode[struct {
		Pods  []listed
		Total int
	}](t, a)
	var order []string
	for _, p := range list.Pods {
		order = append(order, p.Pod)
		if w := want[p.Pod]; p.Node != w.Node || p.Ready != w.Ready || p.Here != w.Here {
			t.Errorf("%s is on %q (here: %t), ready %q; the API says %q, %q", p.Pod, p.Node, p.Here, p.Ready, w.Node, w.Ready)
		}
	}
	if list.Total != len(want) || len(order) != len(want) {
		t.Fatalf("listed are %v of %d; the API has %d", order, list.Total, len(want))
	}
	if trouble := order[:2]; slices.Contains(trouble, "list/fine") || slices.Contains(trouble, "list/once") {
		t.Errorf("trouble is not first in %v", order)
	}
	// This node alone.
	a = c.succeed(t, "list_pods", args{"namespace": string(n)})
	for _, name := range []string{"fine", "mute"} {
		if !slices.ContainsFunc(decode[struct{ Pods []listed }](t, a).Pods, func(p listed) bool { return p.Pod == string(n)+"/"+name && p.Here }) {
			t.Errorf("%s is not in %s", name, a.Data)
		}
	}
}

// listed is one pod of list_pods.
type listed struct {
	Pod, Node, Ready string
	Here             bool
}
