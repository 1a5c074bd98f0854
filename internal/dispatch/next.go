package dispatch

import (
	"reflect"

	"nsenter-mcp/resolve"
)

// Name is the name of a tool whose arguments are In.
type Name[In any] string

// resolveTarget is the tool that says what a name stands for; the errors of a name
// propose it.
const resolveTarget Name[TargetArgs] = "resolve_pod_pid"

// Propose is a call of tool with the arguments in. Arguments that are zero are left
// out.
func Propose[In any](tool Name[In], in In, why string) Next {
	value, arguments := reflect.ValueOf(in), map[string]any{}
	for _, f := range shapeOf(value.Type()) {
		if at := value.FieldByIndex(f.index); !at.IsZero() {
			arguments[f.name] = reflect.Indirect(at).Interface()
		}
	}
	return Next{Tool: string(tool), Arguments: arguments, Why: why}
}

// ArgumentsOf name t again, exactly and completely, for [Propose]. The cookie goes
// along so that the next step looks at the same network.
func ArgumentsOf(t *resolve.Target) TargetArgs {
	args := TargetArgs{Expect: t.Net.Identity().Cookie}
	switch pid := t.PID(); {
	case t.Workload.Pod != "":
		args.Pod, args.Namespace, args.Container = t.Workload.Pod, t.Workload.Namespace, t.Container
	case t.Container != "":
		args.Container = t.Container
	case t.Query.Netns != "":
		args.Netns = t.Query.Netns
	case pid != 0:
		args.PID = &pid
	case t.HostNetwork: // found by an address of the node
		args.Netns = "host"
	case t.NetnsPath != "":
		args.Netns = t.NetnsPath
	default:
		args.Netns = t.Net.Identity().String()
	}
	return args
}
