package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/nsexec"
)

// entry opens the network of one workload. It tries, in this order: where the
// runtime has pinned it, the sandbox's process, a running container of it, and a
// search of the cgroups. What it has opened belongs to target.
type entry struct {
	*Resolver
	ctx       context.Context
	workload  *Workload
	container int // index of the one asked for, or whole
	noFiles   bool
	target    *Target
	failures  []error
	// proven are processes that a search of the cgroups has found to be of it.
	proven []claim
}

// enter opens the workload that was chosen. steps are those taken so far.
func (r *Resolver) enter(ctx context.Context, q Query, c choice, steps []Step) (*Target, *Error) {
	t := &Target{Workload: *c.workload, Node: r.Node(), Steps: steps}
	e := &entry{Resolver: r, ctx: ctx, workload: &t.Workload, container: c.container, noFiles: q.NoFiles, target: t}
	if c.container != whole {
		t.Container = c.workload.Containers[c.container].label()
	}
	if err := e.run(); err != nil {
		err.Steps = t.Steps
		if closeErr := t.Close(); closeErr != nil {
			err.Err = errors.Join(err.Err, closeErr)
		}
		return nil, err
	}
	if t.Node == "" {
		t.Node = t.Workload.Node // of what has been entered here
	}
	for _, old := range c.older {
		if old.remote {
			t.note("another_pod", "the Kubernetes API has another pod of that name, UID %s on node %s: that pod replaces this one, or the API is another cluster's",
				old.UID, cmp.Or(old.Node, "none"))
			continue
		}
		t.note("older_pod", "an older pod of that name, UID %s, is left aside", old.UID)
	}
	return t, nil
}

// label is the name that finds the container again.
func (c *Container) label() string {
	return words.Printable(cmp.Or(c.Name, c.ID))
}

func (e *entry) run() *Error {
	if err := e.impossible(); err != nil {
		return err
	}
	e.byPath()
	e.byProcess()
	if e.target.Net == nil || e.target.Process == nil && e.promisesProcess() {
		e.byCgroup()
	}
	if e.target.Net == nil {
		e.byHost()
	}
	if e.target.Net == nil {
		return e.explain()
	}
	if err := e.twoNetworks(); err != nil {
		return err
	}
	if err := e.checkHost(e.target); err != nil {
		return err
	}
	e.chooseFiles()
	e.notes()
	return nil
}

// byPath opens the namespace where the runtime has pinned it. That stays right
// when the processes come and go.
func (e *entry) byPath() {
	path, via := "", ViaContainer
	switch w := e.workload; {
	case w.Sandbox != nil && (w.Sandbox.State == "" || w.Sandbox.State.Alive()):
		path, via = w.Sandbox.NetnsPath, e.sandboxVia()
	case w.Sandbox != nil: // what is left of its path names nothing, or another one
	case e.container != whole:
		path = w.Containers[e.container].NetnsPath
	case len(w.Containers) == 1:
		path = w.Containers[0].NetnsPath
	}
	if path == "" {
		return
	}
	e.step("open "+path, func() error {
		if e.workload.elsewhere {
			return errors.New("the path may be one of another machine")
		}
		e.target.Via = via
		return e.adoptPath(e.ctx, e.target, path)
	})
}

// byHost takes the host's own network, for a pod that was started in it and has
// no process now: its runtime has no pause process, and its containers crash.
func (e *entry) byHost() {
	if w := e.workload; !w.HostNetwork || w.elsewhere || w.Sandbox == nil || !w.Sandbox.State.Alive() {
		return
	}
	e.step("take the host's network, in which the sandbox was made", func() error {
		e.target.Net, e.target.Via = e.cfg.Host, e.sandboxVia() // the Resolver's, which the target does not close
		return nil
	})
}

// sandboxVia: a container without a pod that has joined another one's network
// is entered through that container.
func (e *entry) sandboxVia() Via {
	if e.workload.Pod == "" && e.workload.UID == "" {
		return ViaContainer
	}
	return ViaSandbox
}

// byProcess finds a process in the network: to enter by, or where a path was
// opened, to name.
func (e *entry) byProcess() {
	w := e.workload
	if s := w.Sandbox; s != nil && s.PID > 0 {
		what := "sandbox"
		if e.sandboxVia() == ViaContainer {
			what = "container " + sandboxLabel(s)
		}
		e.tryProcess(what, e.sandboxVia(), w.claim(s.PID, s.ID, s.started))
	}
	for _, i := range e.containerOrder() {
		if e.target.Process != nil {
			return
		}
		if c := &w.Containers[i]; c.PID > 0 && c.State.Alive() {
			e.tryProcess("container "+c.label(), ViaContainer, w.claim(c.PID, c.ID, c.StartedAt))
		}
	}
}

// promisesProcess reports whether the source says that something of the workload
// runs, so that a search for it may find more than what is open already.
func (e *entry) promisesProcess() bool {
	w := e.workload
	return w.Sandbox != nil && w.Sandbox.PID > 0 ||
		slices.ContainsFunc(w.Containers, func(c Container) bool { return c.State.Alive() })
}

func (w *Workload) claim(pid int, id string, started time.Time) claim {
	return claim{pid: pid, id: id, started: started, asOf: w.asOf, elsewhere: w.elsewhere}
}

// containerOrder is the order in which containers stand for the workload: the
// one asked for, the default one, then as they come, the application's first.
func (e *entry) containerOrder() []int {
	var order []int
	if e.container != whole {
		order = append(order, e.container)
	}
	for i := range e.workload.Containers {
		if e.workload.Containers[i].Name == e.workload.DefaultContainer && e.workload.DefaultContainer != "" {
			order = append(order, i)
		}
	}
	for _, helpers := range []bool{false, true} {
		for i := range e.workload.Containers {
			if (e.workload.Containers[i].Kind != "") == helpers && !slices.Contains(order, i) {
				order = append(order, i)
			}
		}
	}
	return order
}

// tryProcess opens the process of a claim, and its network if none is open yet.
func (e *entry) tryProcess(what string, via Via, c claim) {
	e.step(fmt.Sprintf("open pid %d of %s", c.pid, what), func() error {
		p, err := e.openClaimed(e.ctx, c)
		if err != nil {
			return err
		}
		handle, err := p.Net()
		if err != nil {
			return errors.Join(err, p.Close())
		}
		if why := e.notInside(e.workload, p, handle); why != nil {
			return errors.Join(fmt.Errorf("pid %d: %w", c.pid, why), handle.Close(), p.Close())
		}
		if e.target.Net == nil {
			e.target.own(handle)
			e.target.own(p)
			e.target.Net, e.target.Via, e.target.Process = handle, via, p
			return nil
		}
		defer func() { _ = handle.Close() }() // was opened only to be compared
		if !handle.Identity().Same(e.target.Net.Identity()) {
			return errors.Join(fmt.Errorf("pid %d is in %s, not in %s: %w", c.pid, handle.Identity(), e.target.Net.Identity(), errElsewhere), p.Close())
		}
		e.target.own(p)
		e.target.Process = p
		return nil
	})
}

// notInside says why a process of w that is in the host's network stands for no
// container, nil where it does.
func (r *Resolver) notInside(w *Workload, p *nsexec.Process, net *nsexec.Handle) error {
	switch {
	case w.HostNetwork || !net.Identity().Same(r.cfg.Host.Identity()):
		return nil
	case isVM(w.runtime()):
		return errShim
	// The runtime puts what will be the container into its cgroup first, and into
	// its namespaces and root directory then (runc, libcontainer/process_linux.go).
	// A container in the host's network has a root directory of its own.
	case p.RootIs(r.cfg.Root):
		return errNotYet
	}
	return nil
}

var (
	// errNotYet: the container is being made.
	errNotYet = errors.New("it is still the runtime's, and about to become the container")
	// errElsewhere: a process of the workload has moved to another network.
	errElsewhere = errors.New("process is in another network namespace")
	// errShim: the runtime has named what serves the virtual machine, and not what
	// is in its network.
	errShim = errors.New("it serves the virtual machine from the node's own network")
)

// step runs one attempt and writes down how it went.
func (e *entry) step(action string, try func() error) {
	began := time.Now()
	err := try()
	s := Step{Action: action, Outcome: outcomeOK}
	if err != nil {
		s.Outcome, s.Reason = outcomeFailed, words.OneLine(err.Error())
		e.failures = append(e.failures, err)
	}
	s.MS = milliseconds(time.Since(began))
	e.target.Steps = append(e.target.Steps, s)
}
