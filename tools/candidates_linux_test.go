package tools

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"nsenter-mcp/internal/lab"
	"nsenter-mcp/resolve"
)

// TestAmbiguousNamesCanBeSentAgain: each proposal is the same call for one of
// them, ready to be sent, and holds no credentials.
func TestAmbiguousNamesCanBeSentAgain(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, nil)
	app := []lab.ContainerSpec{{Name: "app"}}
	b.lab.Pods(t,
		lab.PodSpec{Name: "web-0", Namespace: "shop", Containers: app},
		lab.PodSpec{Name: "web-0", Namespace: "jobs", Containers: app},
		lab.PodSpec{Name: "web-1", Namespace: "jobs", Containers: app},
	)
	for _, args := range []map[string]any{
		{"pod": "web-0", "family": "inet"},
		{"container": "app", "family": "inet"},
		{"pod": "web", "family": "inet"},
	} {
		answer := b.call(t, ipAddrTool, args)
		if answer.Error == nil || answer.Error.Code != string(resolve.KindAmbiguous) {
			t.Fatalf("%v: %+v", args, answer)
		}
		if len(answer.Error.Details.Steps) != 0 {
			t.Errorf("%v: steps that say nothing: %+v", args, answer.Error.Details.Steps)
		}
		if len(answer.Next) != min(3, len(answer.Error.Details.Candidates)) {
			t.Errorf("%v: %d candidates, next %+v", args, len(answer.Error.Details.Candidates), answer.Next)
		}
		var seen []uint64
		for _, n := range answer.Next {
			if n.Tool != ipAddrTool || n.Arguments["family"] != "inet" {
				t.Errorf("%v: next %+v", args, n)
			}
			one, _ := succeed[NetnsIPAddrOut](t, b, n.Tool, n.Arguments)
			if slices.Contains(seen, one.Target.NetnsCookie) {
				t.Errorf("%v: two proposals lead to the same network: %+v", args, answer.Next)
			}
			seen = append(seen, one.Target.NetnsCookie)
		}
	}
	for _, args := range []map[string]any{
		{"pod": "web-0", "url": "http://user:swordfish@10.0.0.1/"},
		{"pod": "web-0", "url": "http://10.0.0.1/", "headers": map[string]any{"X-Session": "swordfish"}},
	} {
		answer := b.call(t, "netns_curl", args)
		text, err := json.Marshal(answer)
		if err != nil || strings.Contains(string(text), "swordfish") {
			t.Errorf("%s, %v", text, err)
		}
		if len(answer.Next) != 2 || answer.Next[0].Tool != "resolve_pod_pid" {
			t.Errorf("%+v", answer.Next)
		}
	}
}
