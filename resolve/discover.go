package resolve

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"nsenter-mcp/internal/words"
)

// Inventory is what can be named on this node.
type Inventory struct {
	Node string `json:"node,omitempty"`
	// Workloads are at most [MaxInventory], trouble first.
	Workloads []Workload `json:"workloads"`
	Total     int        `json:"total"` // workloads before the cut
	Troubled  int        `json:"troubled"`
	// Netns are at most MaxInventory.
	Netns      []NamedNetns `json:"netns"`
	NetnsTotal int          `json:"netns_total"`
	// NoRuntime: nobody who knows names is here, no runtime and no kubelet.
	NoRuntime bool `json:"no_runtime,omitempty"`
	// NoNames: nobody who knows names has answered.
	NoNames bool          `json:"no_names,omitempty"`
	Sources []SourceState `json:"sources"`
}

// MaxInventory bounds each list of an [Inventory].
const MaxInventory = 200

// NamedNetns is a network namespace that has a name in the file system.
type NamedNetns struct {
	Name string `json:"name"`
	Path string `json:"path"` // on the host
}

// Discover lists what is here: the workloads that the local sources know, the
// named network namespaces, and how each source did. It opens nothing, and fails
// only when ctx ends, by an [*Error].
func (r *Resolver) Discover(ctx context.Context) (Inventory, error) {
	lists, states, err := r.lists(ctx, r.local, r.limits.source)
	if err != nil {
		return Inventory{}, err
	}
	all := merge(lists...)
	slices.SortStableFunc(all, troubleFirst)
	named := r.namedNetns(ctx)
	troubled := 0
	for i := range all {
		troubled += boolInt(all[i].Troubled())
	}
	return Inventory{
		Node:       r.Node(),
		Workloads:  atMost(all, MaxInventory),
		Total:      len(all),
		Troubled:   troubled,
		Netns:      atMost(named, MaxInventory),
		NetnsTotal: len(named),
		NoRuntime:  !r.named(states, func(s *SourceState) bool { return s.State != stateAbsent }),
		NoNames:    !r.named(states, answered),
		Sources:    foldStates(states),
	}, nil
}

// foldStates speaks once of a family of sources none of which is here.
func foldStates(states []SourceState) []SourceState {
	return foldFamilies(states,
		func(s *SourceState) (membership, string) { return s.of, "" },
		func(s *SourceState, family string) { s.Name = family })
}

// named reports whether one of the local sources that know names is in a state that
// fits: states are theirs, in their order. Cgroups tell of what runs, not how it is
// called.
func (r *Resolver) named(states []SourceState, fits func(*SourceState) bool) bool {
	for i := range states {
		if _, nameless := r.local[i].source.(*Cgroups); !nameless && fits(&states[i]) {
			return true
		}
	}
	return false
}

func answered(s *SourceState) bool { return s.State == stateOK }

// lists asks sources side by side for everything, each within limit. It fails
// only when ctx is canceled, by an [*Error].
func (r *Resolver) lists(ctx context.Context, sources []*guard, limit time.Duration) ([][]Workload, []SourceState, error) {
	within, cancel := context.WithTimeout(ctx, limit+r.limits.grace)
	defer cancel()
	lists := make([][]Workload, len(sources))
	states := make([]SourceState, len(sources))
	var wg sync.WaitGroup
	for i, g := range sources {
		wg.Go(func() { lists[i], states[i] = r.list(within, g, limit) })
	}
	wg.Wait()
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, nil, ended(ctx, nil)
	}
	return lists, states, nil
}

// atMost cuts a list, which is never nil afterwards.
func atMost[T any](list []T, n int) []T {
	return append([]T{}, list[:min(len(list), n)]...)
}

// list asks one source for everything.
func (r *Resolver) list(ctx context.Context, g *guard, limit time.Duration) ([]Workload, SourceState) {
	began := time.Now()
	version := ""
	ws, err := g.call(ctx, list, limit, r.cfg.Now, r.limits.pause, func(ctx context.Context) ([]Workload, error) {
		ws, err := g.source.List(ctx)
		if v, ok := g.source.(versioned); ok && err == nil {
			version, _ = v.Version(ctx) // that it is not known is no failure
		}
		return ws, err
	})
	for i := range ws {
		ws[i].Source = cmp.Or(ws[i].Source, g.source.Name())
	}
	s := SourceState{Name: g.source.Name(), State: stateOK, MS: milliseconds(time.Since(began)), Workloads: len(ws), of: membershipOf(g.source, err)}
	if words.IsVersion(version) {
		s.Version = version
	} else {
		s.Untrusted = version
	}
	switch {
	case err == nil:
		return ws, s
	case isCut(err):
		s.Error = err.Error()
		return ws, s
	case errors.Is(err, ErrAbsent):
		s.State = stateAbsent
	case errors.Is(err, errPaused):
		s.State = "skipped"
	case errors.Is(err, errHung):
		s.State = "hung"
	default:
		s.State = "failed"
	}
	s.Error, s.Untrusted = words.OneLine(err.Error()), Said(err)
	return nil, s
}

// troubleFirst sorts what needs attention before what runs, and that before what
// has ended well; by name where equal.
func troubleFirst(a, b Workload) int {
	return cmp.Or(
		cmp.Compare(a.severity(), b.severity()),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Pod, b.Pod),
		cmp.Compare(a.firstName(), b.firstName()),
	)
}

// severity is 0 for what crashes, 1 for what failed, 2 for what waits, 3 for
// what runs, 4 for what has ended well.
func (w *Workload) severity() int {
	if s := w.Status; s != nil {
		switch {
		case s.Phase == phaseSucceeded:
			return 4
		case s.Phase == phaseFailed:
			return 1
		case s.Phase == phasePending && w.Node == "":
			return 2
		}
	}
	worst := 4
	kept := w.Pod != "" && w.Sandbox != nil && w.Sandbox.State.Alive()
	if kept {
		worst = 3
	}
	for i := range w.Containers {
		c := &w.Containers[i]
		worst = min(worst, c.severity())
		// Files tell no exit codes. What has been restarted and does not run while
		// its pod does, crashes.
		if w.inferred && kept && c.State == StateExited && c.ExitCode == nil && c.Restarts > 0 {
			worst = 0
		}
	}
	if s := w.Status; kept && w.idle() || s != nil && s.Phase == phaseRunning && (!s.Ready || s.Node != nil) {
		worst = min(worst, 2)
	}
	return worst
}

// idle reports whether no container runs, as far as is known. A sandbox that is kept
// for none waits for an image, or for the next start of what has ended.
func (w *Workload) idle() bool {
	return !slices.ContainsFunc(w.Containers, func(c Container) bool { return c.State == "" || c.State.Alive() })
}

// Worst is the container that is worst off, the first of several; nil where w has
// none.
func (w *Workload) Worst() *Container {
	var worst *Container
	for i := range w.Containers {
		if c := &w.Containers[i]; worst == nil || c.severity() < worst.severity() {
			worst = c
		}
	}
	return worst
}

// State is that of the worst container; of a pod that has none, what it waits for
// or how it ended.
func (w *Workload) State() State {
	c, s := w.Worst(), w.Status
	switch {
	case c != nil && c.State != "":
		return c.State
	case s != nil && s.ended():
		return StateExited
	case s != nil && s.Phase == phasePending, w.Sandbox != nil && w.Sandbox.State.Alive():
		return StateWaiting
	case w.Sandbox != nil:
		return w.Sandbox.State
	}
	return ""
}

// Why says in one word what is amiss with w, above all with its worst container; ""
// for nothing.
func (w *Workload) Why() string {
	word := ""
	if c := w.Worst(); c != nil {
		word = c.Why()
	}
	if s := w.Status; s != nil {
		fill(&word, s.Reason)
		if s.Phase == phaseRunning && s.Node != nil {
			fill(&word, "NodeNotReady")
		}
		if s.Phase == phaseRunning && !s.Ready {
			fill(&word, "NotReady")
		}
	}
	if len(w.Containers) == 0 && w.Sandbox != nil {
		fill(&word, "NoContainer")
	}
	return word
}

// Why says in one word why the container does not run, or for how long it may; ""
// for nothing.
func (c *Container) Why() string {
	switch {
	case !c.State.Alive():
		return cmp.Or(c.Waiting, c.Reason)
	case c.CrashedLately(time.Now()):
		return "RestartedLately"
	case c.Unhealthy:
		return "Unhealthy"
	}
	return ""
}

// Running reports whether something of w has processes, and with them a network.
func (w *Workload) Running() bool { return w.alive() }

// Troubled reports whether something of w needs attention: it crashes, has
// failed, or waits.
func (w *Workload) Troubled() bool { return w.severity() < 3 }

func (c *Container) severity() int {
	failed := c.ExitCode != nil && *c.ExitCode != 0 && !c.Done()
	starting := c.Waiting == "" || c.Waiting == reasonCreating || c.Waiting == reasonInitializing
	switch {
	case c.State == StateRestarting, failed && c.Restarts > 0 && !c.State.Alive():
		return 0
	case c.State == StateDead, failed && !c.State.Alive(), c.State == StateWaiting && !starting, c.CrashedLately(time.Now()), c.Unhealthy:
		return 1
	case c.State == StateCreated, c.State == StateWaiting, c.State == StatePaused, c.State == StateRemoving:
		return 2
	case c.State == StateExited:
		return 4
	}
	return 3
}

func (w *Workload) firstName() string {
	if len(w.Containers) == 0 {
		return ""
	}
	return w.Containers[0].label()
}
