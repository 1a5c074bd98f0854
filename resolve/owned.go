package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"nsenter-mcp/internal/words"
)

// errNoOwner is what [ClusterSource.Owned] returns where the resource itself does
// not exist.
var errNoOwner = errors.New("no such resource")

// ownedPod is the pod that stands for its owner, and how it was found.
type ownedPod struct {
	query Query
	steps []Step
	notes []Note
}

// podOf finds the pod that q, which names its owner, means: the only one, or the
// only one on this node.
func (r *Resolver) podOf(ctx context.Context, q Query) (ownedPod, *Error) {
	var p ownedPod
	pods, said, err := r.owned(ctx, q, &p)
	if err != nil {
		return p, err
	}
	if said != nil { // nobody who knows owners
		if q.kind != ownerService {
			pods = r.namedAfter(ctx, q, &p)
		}
		if len(pods) == 0 {
			return p, noPodsNamed(q, said)
		}
		p.note("by_name", "the pods of %s were told by their names alone, as no Kubernetes API could be asked (%s)", q.owner(), strings.Join(said, "; "))
	}
	w, err := r.oneOf(ctx, q, pods, &p)
	if err != nil {
		return p, err
	}
	if q.kind == ownerService {
		p.note("service_pod", "a service has no network of its own: pod %s, which %s selects, stands for it", w.podName(), q.owner())
	}
	p.query = q
	p.query.Pod, p.query.Namespace, p.query.kind = w.Pod, w.Namespace, ""
	return p, nil
}

func (p *ownedPod) note(code, format string, args ...any) {
	p.notes = append(p.notes, Note{Code: code, Message: fmt.Sprintf(format, args...)})
}

// owner names back what was asked for: "Deployment shop/web".
func (q *Query) owner() string {
	if q.Namespace == "" {
		return string(q.kind) + " " + q.Pod
	}
	return string(q.kind) + " " + q.Namespace + "/" + q.Pod
}

// owned asks the cluster. Where nobody could answer, said tells why.
func (r *Resolver) owned(ctx context.Context, q Query, p *ownedPod) (pods []Workload, said []string, _ *Error) {
	g, source := r.clusterSource()
	if g == nil {
		return nil, []string{}, nil
	}
	began := time.Now()
	ws, err := r.call(ctx, g, lookUp, func(ctx context.Context) ([]Workload, error) { return source.Owned(ctx, q) })
	step := stepOf(g, event{what: lookUp, workloads: ws, err: err, took: time.Since(began)})
	step.Action = "find the pods of " + q.owner()
	p.steps = append(p.steps, step)
	e := &Error{Kind: KindNotFound, Steps: p.steps}
	switch {
	case ctx.Err() != nil:
		return nil, nil, ended(ctx, p.steps)
	case errors.Is(err, errNoOwner):
		e.Message = "there is no " + q.owner()
		e.Hint = "Give the namespace, or name the pod itself; resolve_pod_pid without arguments lists what is here."
		return nil, nil, e
	case err != nil:
		return nil, []string{g.source.Name() + ": " + err.Error()}, nil
	case len(ws) == 0:
		e.Message = q.owner() + " has no pods"
		e.Hint = "The owner is scaled to zero, or the controller could make no pod (quota, admission): kubectl describe tells."
		if q.kind == ownerService {
			e.Hint = "The service's selector fits the labels of no pod, or the service has endpoints made by hand: kubectl describe service tells."
		}
		return nil, nil, e
	}
	for i := range ws {
		ws[i].remote = true
	}
	return ws, nil, nil
}

// namedAfter lists the pods of this node that are called as those of the owner.
func (r *Resolver) namedAfter(ctx context.Context, q Query, p *ownedPod) []Workload {
	lists, states, err := r.lists(ctx, r.local, r.limits.source)
	if err != nil {
		return nil
	}
	for _, s := range states {
		step := Step{Source: s.Name, Action: list.String(), Outcome: s.State, Reason: s.Error, MS: s.MS}
		if s.State == outcomeOK {
			step.Reason = words.Plural(s.Workloads, "workload")
		}
		p.steps = append(p.steps, step)
	}
	pattern := podsNamed(q.kind, q.Pod)
	return slices.DeleteFunc(merge(lists...), func(w Workload) bool {
		return !pattern.MatchString(w.Pod) || q.Namespace != "" && w.Namespace != q.Namespace
	})
}

func noPodsNamed(q Query, said []string) *Error {
	why := "none is configured"
	if len(said) > 0 {
		why = strings.Join(said, "; ")
	}
	return &Error{
		Kind:    KindSource,
		Message: fmt.Sprintf("the pods of %s are not known: only the Kubernetes API knows them (%s), and no pod's name on this node tells", q.owner(), why),
		Hint: "Name the pod itself, or give a kubeconfig (--kubeconfig); nsenter-mcp doctor says whether the API answers. " +
			"If the first word is a Kubernetes namespace, give that in namespace.",
	}
}

// oneOf chooses the pod that stands for all.
func (r *Resolver) oneOf(ctx context.Context, q Query, pods []Workload, p *ownedPod) (*Workload, *Error) {
	total := len(pods)
	ended := func(w Workload) bool { return w.Status != nil && w.Status.ended() }
	if left := slices.DeleteFunc(slices.Clone(pods), ended); len(left) > 0 {
		pods = left
	} else {
		// All have ended, as those of a Job: the last one tells most.
		slices.SortStableFunc(pods, func(a, b Workload) int { return -a.created().Compare(b.created()) })
		pods = pods[:1]
	}
	if here := r.onThisNode(ctx, pods); len(pods) > 1 && len(here) > 0 {
		pods = here
	}
	if len(pods) == 1 {
		w := &pods[0]
		if total > 1 {
			p.note("one_of_several", "%s has %s; %s is taken as the only one that runs on this node, or at all", q.owner(), words.Plural(total, "pod"), w.podName())
		}
		return w, nil
	}
	slices.SortStableFunc(pods, troubleFirst)
	e := &Error{
		Kind: KindAmbiguous, Steps: p.steps,
		Message: fmt.Sprintf("%s has %s", q.owner(), words.Plural(len(pods), "pod")),
		Hint:    "Give pod as one of the candidates, trouble first.",
	}
	if q.kind == ownerService {
		e.Message = fmt.Sprintf("a service has no network of its own; %s selects %s", q.owner(), words.Plural(len(pods), "pod"))
	}
	if len(pods) > maxCandidates {
		e.Message += fmt.Sprintf(", of which %d are shown", maxCandidates)
	}
	for i := range pods[:min(len(pods), maxCandidates)] {
		c := selection{workload: &pods[i], container: whole}.candidate()
		if worst := pods[i].Worst(); c.State == "" && worst != nil {
			c.State = worst.State
		}
		e.Candidates = append(e.Candidates, c)
	}
	return nil, e
}

// onThisNode keeps the pods that run here, as far as that can be told.
func (r *Resolver) onThisNode(ctx context.Context, pods []Workload) []Workload {
	if len(pods) < 2 || !pods[0].remote {
		return pods
	}
	node, err := r.FindNode(ctx)
	if err != nil || node == "" {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(pods), func(w Workload) bool { return w.Node != node })
}
