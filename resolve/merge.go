package resolve

import (
	"slices"
	"time"
)

// merge puts together what several sources know, the word of the earlier list
// counting where both say something. One pod is known by its UID, a container
// without a pod by its ID.
func merge(lists ...[]Workload) []Workload {
	m := merger{byUID: map[string]int{}, byID: map[string]int{}}
	for _, list := range lists {
		for _, w := range list {
			m.add(w)
		}
	}
	return m.merged
}

type merger struct {
	merged []Workload
	byUID  map[string]int
	byID   map[string]int // of sandboxes and containers
}

func (m *merger) add(w Workload) {
	index, known := m.find(&w)
	if !known {
		index = len(m.merged)
		w.Containers = slices.Clone(w.Containers)
		m.merged = append(m.merged, w)
	} else {
		m.merged[index].absorb(&w)
	}
	if w.UID != "" {
		m.byUID[w.UID] = index
	}
	for _, id := range w.ids() {
		if _, taken := m.byID[id]; !taken {
			m.byID[id] = index
		}
	}
}

func (m *merger) find(w *Workload) (int, bool) {
	if w.UID != "" {
		if i, ok := m.byUID[w.UID]; ok {
			return i, true
		}
	}
	for i := range w.Containers {
		// A container that has joined another one's network carries that one as
		// its sandbox, which does not make the two one workload.
		if j, ok := m.byID[w.Containers[i].ID]; ok {
			return j, true
		}
	}
	return 0, false
}

// ids are the containers that w consists of. The sandbox of a pod is one of
// them; a container whose network was joined is not.
func (w *Workload) ids() []string {
	var ids []string
	add := func(id string) {
		if id != "" {
			ids = append(ids, id)
		}
	}
	if w.Sandbox != nil && w.Pod != "" {
		add(w.Sandbox.ID)
	}
	for i := range w.Containers {
		add(w.Containers[i].ID)
	}
	return ids
}

// absorb fills what w does not know from what o does.
func (w *Workload) absorb(o *Workload) {
	fill(&w.Pod, o.Pod)
	fill(&w.Namespace, o.Namespace)
	fill(&w.UID, o.UID)
	fill(&w.Node, o.Node)
	fill(&w.DefaultContainer, o.DefaultContainer)
	fill(&w.Status, o.Status)
	w.remote = w.remote && o.remote
	w.HostNetwork = w.HostNetwork || o.HostNetwork
	if w.Sandbox == nil {
		w.Sandbox = o.Sandbox
	} else if o.Sandbox != nil && o.Sandbox.ID == w.Sandbox.ID {
		w.sandboxRuns(o.Sandbox.PID)
	}
	for i := range o.Containers {
		c := &o.Containers[i]
		switch mine := w.find(c); {
		case mine != nil:
			mine.absorb(c)
		case w.Sandbox != nil && c.ID == w.Sandbox.ID:
			w.sandboxRuns(c.PID)
		// Without a name it may be the sandbox, or one of an older attempt; and a
		// log may outlive the container for which a runtime has none any more.
		case c.Name != "" && (!o.inferred || len(w.containerNames()) == 0):
			w.Containers = append(w.Containers, *c)
		}
	}
}

// sandboxRuns fills in the sandbox's process where its source did not tell. The
// sandbox as the source knows it stays as it is, since it may be remembered.
func (w *Workload) sandboxRuns(pid int) {
	if w.Sandbox.PID != 0 || pid == 0 || w.Sandbox.State != "" && !w.Sandbox.State.Alive() {
		return
	}
	s := *w.Sandbox
	s.PID = pid
	w.Sandbox = &s
}

func (w *Workload) find(c *Container) *Container {
	for i := range w.Containers {
		mine := &w.Containers[i]
		if c.ID != "" && mine.ID == c.ID || mine.Name != "" && mine.Name == c.Name {
			return mine
		}
	}
	return nil
}

func (c *Container) absorb(o *Container) {
	fill(&c.ID, o.ID)
	fill(&c.Name, o.Name)
	fill(&c.RuntimeName, o.RuntimeName)
	fill(&c.Image, o.Image)
	fill(&c.State, o.State)
	fill(&c.Kind, o.Kind)
	fill(&c.Ready, o.Ready)
	fill(&c.Unhealthy, o.Unhealthy)
	// The runtime has already started what the API still says is waited with.
	if !c.State.Alive() {
		fill(&c.Waiting, o.Waiting)
		fill(&c.Reason, o.Reason)
		fill(&c.Message, o.Message)
	}
	fill(&c.ExitCode, o.ExitCode)
	fill(&c.Restarts, o.Restarts)
	fill(&c.StartedAt, o.StartedAt)
	fill(&c.FinishedAt, o.FinishedAt)
	// These are no facts to carry from one container to a later one of its name.
	if c.ID == o.ID {
		fill(&c.PID, o.PID)
		fill(&c.tookOver, o.tookOver)
	}
}

func fill[T comparable](dst *T, value T) {
	var zero T
	if *dst == zero {
		*dst = value
	}
}

// alive reports whether w has processes, as far as is known.
func (w *Workload) alive() bool {
	return w.Sandbox != nil && w.Sandbox.State.Alive() ||
		slices.ContainsFunc(w.Containers, func(c Container) bool { return c.State.Alive() })
}

func (w *Workload) created() time.Time {
	if w.Sandbox != nil {
		return w.Sandbox.Created
	}
	if w.Status != nil {
		return w.Status.Created
	}
	var latest time.Time
	for _, c := range w.Containers {
		if c.Created.After(latest) {
			latest = c.Created
		}
	}
	return latest
}
