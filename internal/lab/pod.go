package lab

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
)

// Pod is a sandbox (its pause process) with the containers that share its
// network.
type Pod struct {
	Name, Namespace, UID string
	Labels, Annotations  map[string]string
	Attempt              int

	PID  int    // of the pause process
	Root string // root directory of the pause process, as this process sees it
	*Netns

	Sandbox    *Container
	Containers []*Container

	replaced []*Container // by Restart
}

// Pod is [Lab.AddPod] for a test.
func (l *Lab) Pod(tb TB, spec PodSpec) *Pod {
	tb.Helper()
	p, err := l.AddPod(spec)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return p
}

// Pods is [Lab.AddPods] for a test.
func (l *Lab) Pods(tb TB, specs ...PodSpec) []*Pod {
	tb.Helper()
	pods, err := l.AddPods(specs...)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return pods
}

// AddPods makes pods side by side and returns them in the order of specs.
func (l *Lab) AddPods(specs ...PodSpec) ([]*Pod, error) {
	pods, errs := make([]*Pod, len(specs)), make([]error, len(specs))
	// Most of the time goes into starting processes.
	slots := make(chan struct{}, 2*runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, spec := range specs {
		plan := l.plan(spec) // here, so that names and addresses come in order
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			pods[i], errs[i] = l.addPod(plan)
		})
	}
	wg.Wait()
	return pods, errors.Join(errs...)
}

// AddPod makes a pod and returns it when its network works and its containers
// are in the state asked for.
func (l *Lab) AddPod(spec PodSpec) (*Pod, error) {
	return l.addPod(l.plan(spec))
}

// podPlan is a spec without gaps.
type podPlan struct {
	PodSpec
	place place
}

func (l *Lab) plan(spec PodSpec) podPlan {
	if spec.Name == "" {
		spec.Name = l.nextName("pod")
	}
	if spec.Namespace == "" {
		spec.Namespace = "default"
	}
	if spec.UID == "" {
		spec.UID = randomUUID()
	}
	if spec.Node == nil {
		spec.Node = l.Node
	}
	return podPlan{spec, spec.Node.reserve(spec.Style, spec.IP, spec.IPv6, spec.MTU)}
}

func (l *Lab) addPod(plan podPlan) (*Pod, error) {
	p := &Pod{
		Name: plan.Name, Namespace: plan.Namespace, UID: plan.UID, Attempt: plan.Attempt,
		Labels: plan.Labels, Annotations: plan.Annotations,
	}
	if err := l.build(p, plan); err != nil {
		return nil, fmt.Errorf("pod %s/%s: %w", p.Namespace, p.Name, err)
	}
	return p, nil
}

func (l *Lab) build(p *Pod, plan podPlan) (err error) {
	if p.Netns, err = plan.Node.join(plan.place); err != nil {
		return err
	}
	if p.Sandbox, err = l.addSandbox(p, plan.Files); err != nil {
		return err
	}
	p.PID, p.Root = p.Sandbox.PID(), p.Sandbox.Root
	for _, spec := range plan.Containers {
		c, err := l.addToPod(p, spec)
		if err != nil {
			return err
		}
		p.Containers = append(p.Containers, c)
	}
	return nil
}

// Delete ends the pod and forgets it, as the runtime does: processes, veth,
// namespace, files.
func (p *Pod) Delete() error {
	all := slices.Concat([]*Container{p.Sandbox}, p.Containers, p.replaced)
	for _, c := range all {
		c.end()
	}
	var errs []error
	for _, c := range all {
		c.awaitEnd()
		errs = append(errs, p.lab.forget(c))
	}
	return errors.Join(append(errs, p.Node.leave(p.Netns))...)
}
