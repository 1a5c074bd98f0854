package resolve

import (
	"fmt"
	"maps"
	"slices"

	"nsenter-mcp/internal/words"
)

// workload puts together what the logs say of a pod's containers and which of
// them have processes. first is the first process in each container, by its ID.
func (s *NodeFiles) workload(p podLog, containers []containerLog, first map[string][]int) Workload {
	w := p.workload()
	unnamed := maps.Clone(first)
	for _, c := range containers {
		delete(unnamed, c.id)
	}
	nameless := 0 // containers whose processes cannot be told from others
	w.Containers = make([]Container, 0, len(containers))
	for _, c := range containers {
		k := Container{ID: c.id, Name: c.name, Restarts: max(c.restarts, 0)}
		switch pids := first[c.id]; {
		case c.restarts == neverStarted:
			k.State = StateCreated
		case len(pids) > 0:
			k.State, k.PID = StateRunning, pids[0]
			for _, pid := range pids[1:] {
				w.Containers = append(w.Containers, Container{ID: c.id, State: StateRunning, PID: pid})
			}
		case c.id == "" && len(unnamed) > 0:
			nameless++ // it may be one of these
		default:
			k.State = StateExited
		}
		w.Containers = append(w.Containers, k)
	}
	byPID := map[int]string{}
	for id, pids := range unnamed {
		for _, pid := range pids {
			byPID[pid] = id
		}
	}
	candidates := byAge(s.home, s.procRoot, slices.Collect(maps.Keys(byPID)))
	if len(candidates) == 0 {
		return w
	}
	oldest := candidates[0]
	id := byPID[oldest.pid]
	w.Sandbox = &Sandbox{
		ID: id, PID: oldest.pid, State: StateRunning, Created: oldest.started,
		guess: guessed(id, oldest.pid, len(candidates), nameless),
	}
	for _, c := range candidates[1:] {
		w.Containers = append(w.Containers, Container{ID: byPID[c.pid], State: StateRunning, PID: c.pid})
	}
	return w
}

// guessed says why a container is taken for the sandbox.
func guessed(id string, pid, of, nameless int) string {
	why := "it is the only one of the pod that no log names"
	if of > 1 {
		why = fmt.Sprintf("it is the oldest of %d of the pod that no log names", of)
	}
	text := fmt.Sprintf("container %s, pid %d, is taken for the sandbox: %s", shortID(id), pid, why)
	if nameless > 0 {
		text += fmt.Sprintf("; it may be one of %s whose IDs no log tells", words.Plural(nameless, "container"))
	}
	return text + ". All containers of a pod share its network, so this is the right one in any case"
}
