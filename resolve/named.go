package resolve

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// resolveNamed finds and opens a pod or a container.
func (r *Resolver) resolveNamed(ctx context.Context, q Query) (*Target, error) {
	var before ownedPod
	if q.kind != "" {
		owned, err := r.podOf(ctx, q)
		if err != nil {
			err.Steps = owned.steps
			return nil, err
		}
		before, q = owned, owned.query
	}
	var failed *Error
	// Twice: between being found and being entered a container may have been
	// restarted, and then has another process, which the second look finds. It
	// waits for every source, as the first may have had an old view; or, where it
	// had only files to tell it, too little of one to say that there is no network.
	for try := range 2 {
		reply := r.ask(ctx, question{query: q, patient: try > 0, lists: true})
		if ctx.Err() != nil {
			return nil, ended(ctx, slices.Concat(before.steps, reply.steps))
		}
		c, err := r.pick(ctx, q, &reply)
		if err != nil {
			err.Steps = slices.Concat(before.steps, reply.steps)
			return nil, err
		}
		t, err := r.enter(ctx, q, c, slices.Concat(before.steps, reply.steps))
		if err == nil {
			t.Query = q
			t.Notes = append(before.notes, t.Notes...)
			t.sayHow(q, c, r.hasCluster.Load() && !reply.clusterListed)
			if r.hasCluster.Load() && !reply.clusterAnswered && c.rank == byName && q.namesakes() && !q.wantsCluster() {
				t.note("this_node_only", "pod %s was looked for on this node only. If a pod of another Kubernetes namespace on another node may be meant, give namespace", q.Pod)
			}
			t.sayFailed(reply.failed)
			if q.Describe && reply.clusterAnswered && t.Workload.Status == nil {
				t.note("unknown_to_api", "the Kubernetes API does not know this pod: the API describes another cluster, or the pod has just been deleted")
			}
			return t, nil
		}
		if failed = err; err.Kind != KindGone && (reply.localAnswered || !c.workload.inferred) {
			break
		}
	}
	return nil, failed
}

// pick decides which workload is meant: what q names exactly, else the one that
// its name is the beginning of.
func (r *Resolver) pick(ctx context.Context, q Query, reply *reply) (choice, *Error) {
	if exactly(q, reply.exact) {
		return choose(q, reply.exact)
	}
	c, err := choose(q, merge(reply.exact, reply.listed))
	if err != nil {
		return choice{}, r.unknown(q, err, reply)
	}
	if len(reply.listed) == 0 {
		return c, nil // found by a source itself, in full detail
	}
	// A list says little of each; now that it is known which one is meant, it is
	// asked for by its full name.
	full := c.fullQuery()
	full.Describe = q.Describe
	detail := r.ask(ctx, question{query: full})
	reply.steps = append(reply.steps, detail.steps...)
	reply.clusterAnswered = detail.clusterAnswered
	if !exactly(full, detail.exact) {
		// It has ended meanwhile, or its source only lists: then the list counts.
		return c, nil
	}
	d, err := choose(full, detail.exact)
	if err != nil {
		return choice{}, err
	}
	d.rank = c.rank
	return d, nil
}

// fullQuery names what was chosen without any doubt.
func (c choice) fullQuery() Query {
	w := c.workload
	q := Query{Pod: w.Pod, Namespace: w.Namespace}
	if q.Pod == "" {
		q.Pod = w.UID
	}
	if c.container != whole {
		q.Container = w.Containers[c.container].ID
	}
	return q
}

// HintNoRuntime says what to do where no container runtime was found.
const HintNoRuntime = "If a runtime runs, give the runtime's socket (--runtime-endpoint or CONTAINER_RUNTIME_ENDPOINT, --docker-host or DOCKER_HOST) and run as root. Otherwise name the target by pid or netns."

// unknown turns "not found" into the truth where somebody who might know has
// not answered.
func (r *Resolver) unknown(q Query, err *Error, reply *reply) *Error {
	if err.Kind != KindNotFound {
		return err
	}
	what := "container " + quote(q.Container)
	if q.Pod != "" {
		err.NoCluster = reply.noCluster
		what = "pod " + quote(q.Pod)
	}
	err.Said = reply.said
	switch {
	case len(reply.failed) > 0 && reply.localAnswered && q.Pod != "":
		err.Kind = KindSource
		err.Message = fmt.Sprintf("%s is not on this node as far as can be seen, and others could not be asked: %s", what, strings.Join(reply.failed, "; "))
		err.Hint = "If the target runs on this node, check the name: resolve_pod_pid without arguments lists what is here. nsenter-mcp doctor says why the other sources do not answer."
	case len(reply.failed) > 0:
		err.Kind = KindSource
		err.Message = fmt.Sprintf("%s could not be looked up: %s", what, strings.Join(reply.failed, "; "))
		err.Hint = "Check that the container runtime runs and that this user may use its socket (nsenter-mcp doctor). " +
			"Until then name the target by pid or netns, which ask no runtime."
	case reply.knowing == 0:
		err.Kind = KindSource
		err.Message = what + " could not be looked up: no container runtime was found on this node"
		err.Hint = HintNoRuntime
	case len(reply.unlisted) > 0:
		err.Message += " by its full name; what else there is could not be listed (" + strings.Join(reply.unlisted, "; ") + ")"
		err.Hint = "Give the full name or ID, or name the target by pid or netns."
	}
	return err
}

// sayHow notes a match that was not by the full name. onlyHere: there is a cluster,
// of which only this node was looked at.
func (t *Target) sayHow(q Query, c choice, onlyHere bool) {
	if c.rank != byPrefix {
		return
	}
	asked, meant := q.Pod, "pod "+t.Workload.podName()
	switch {
	case q.Pod == "" && c.container == whole:
		asked = q.Container
	case q.Pod == "":
		asked, meant = q.Container, "container "+t.Container
	case q.Container != "":
		asked, meant = q.Pod+" with container "+q.Container, fmt.Sprintf("container %s of pod %s", t.Container, t.Workload.podName())
	}
	where := ""
	if onlyHere && q.Pod != "" {
		where = " on this node"
	}
	t.note("prefix_match", "%q is only the beginning of a name or ID; the only one that fits%s is %s", asked, where, meant)
}

// sayFailed notes the sources that could not add what they know.
func (t *Target) sayFailed(failed []string) {
	for _, f := range failed {
		t.note("source_failed", "%s", f)
	}
}
