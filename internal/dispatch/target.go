package dispatch

import (
	"reflect"
	"strings"

	"nsenter-mcp/resolve"
)

// TargetArgs are the arguments that every tool takes; input structs embed it.
type TargetArgs struct {
	Pod       string `json:"pod,omitempty" jsonschema:"name, namespace/name or deploy/name"`
	Namespace string `json:"namespace,omitempty" jsonschema:"of pod; default: all"`
	Container string `json:"container,omitempty" jsonschema:"name or ID; with pod, one of its"`
	PID       *int   `json:"pid,omitempty" jsonschema:"on the host"`
	Netns     string `json:"netns,omitempty" jsonschema:"name, path, inode or host"`
	Node      string `json:"node,omitempty" jsonschema:"if not this one; a pod's is found"`
	Expect    uint64 `json:"expect,omitempty" jsonschema:"netns_cookie of an earlier answer"`
	TimeoutMS int    `json:"timeout_ms,omitempty" jsonschema:"for the whole call; default 10000" min:"1" max:"50000"`
}

// argument is an argument and what it means.
type argument struct{ name, meaning string }

// commonArguments are those of [TargetArgs], as their tags describe them.
func commonArguments() []argument {
	var all []argument
	for _, f := range reflect.VisibleFields(reflect.TypeFor[TargetArgs]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		all = append(all, argument{name, f.Tag.Get("jsonschema")})
	}
	return all
}

// Common returns the arguments that every tool takes.
func (a *TargetArgs) Common() *TargetArgs { return a }

// Query is what the arguments say of the target.
func (a *TargetArgs) Query() resolve.Query {
	return resolve.Query{Pod: a.Pod, Namespace: a.Namespace, Container: a.Container, PID: a.PID, Netns: a.Netns}
}

// targetInfo states what was entered, for the envelope.
func targetInfo(t *resolve.Target) *TargetInfo {
	id := t.Net.Identity()
	return &TargetInfo{
		Pod:         t.Workload.Pod,
		Namespace:   t.Workload.Namespace,
		Container:   t.Container,
		PID:         t.PID(),
		NetnsInode:  id.Inode,
		NetnsCookie: id.Cookie,
		Via:         string(t.Via),
		HostNetwork: t.HostNetwork,
		Node:        t.Node,
	}
}
