package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// workload puts together what the logs say of a pod's containers and which of
// them have processes. first is the first process in each container, by its ID.
func (s *NodeFiles) workload(p podLog, containers []containerLog, first map[string]int) Workload {
	w := p.workload()
	unnamed := maps.Clone(first)
	for _, c := range containers {
		delete(unnamed, c.id)
	}
	nameless := 0 // containers whose processes cannot be told from others
	w.Containers = make([]Container, 0, len(containers))
	for _, c := range containers {
		k := Container{ID: c.id, Name: c.name, Restarts: max(c.restarts, 0)}
		switch pid := first[c.id]; {
		case c.restarts == neverStarted:
			k.State = StateCreated
		case pid != 0:
			k.State, k.PID = StateRunning, pid
		case c.id == "" && len(unnamed) > 0:
			nameless++ // it may be one of these
		default:
			k.State = StateExited
		}
		w.Containers = append(w.Containers, k)
	}
	candidates := s.byAge(unnamed)
	if len(candidates) == 0 {
		return w
	}
	oldest := candidates[0]
	w.Sandbox = &Sandbox{
		ID: oldest.id, PID: oldest.pid, State: StateRunning, Created: oldest.started,
		guess: guessed(oldest, len(candidates), nameless),
	}
	for _, c := range candidates[1:] {
		w.Containers = append(w.Containers, Container{ID: c.id, State: StateRunning, PID: c.pid})
	}
	return w
}

// guessed says why a container is taken for the sandbox.
func guessed(c candidate, of, nameless int) string {
	why := "it is the only one of the pod that no log names"
	if of > 1 {
		why = fmt.Sprintf("it is the oldest of %d of the pod that no log names", of)
	}
	text := fmt.Sprintf("container %s, pid %d, is taken for the sandbox: %s", shortID(c.id), c.pid, why)
	if nameless > 0 {
		text += fmt.Sprintf("; it may be one of %s whose IDs no log tells", plural(nameless, "container"))
	}
	return text + ". All containers of a pod share its network, so this is the right one in any case"
}

// candidate is a container's first process that may be the sandbox's.
type candidate struct {
	id      string
	pid     int
	ticks   uint64
	started time.Time
}

// byAge sorts containers by the start of their first processes, the oldest first.
// One that has ended meanwhile is left out.
func (s *NodeFiles) byAge(first map[string]int) []candidate {
	candidates := make([]candidate, 0, len(first))
	for id, pid := range first {
		p, err := s.home.OpenProcess(s.procRoot, pid)
		if err != nil {
			continue
		}
		candidates = append(candidates, candidate{id: id, pid: pid, ticks: p.StartTicks(), started: p.Started()})
		_ = p.Close() // was only looked at
	}
	slices.SortFunc(candidates, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.ticks, b.ticks), cmp.Compare(a.pid, b.pid))
	})
	return candidates
}
