package resolve

import (
	"errors"
	"slices"
)

// byCgroup searches all processes for one in a container of the workload. It is
// the way in when the source knows no PID, or numbers processes differently (a
// runtime in a container of its own).
func (e *entry) byCgroup() {
	var ids []string // the better ones first
	if s := e.workload.Sandbox; s != nil {
		ids = append(ids, s.ID)
	}
	for _, i := range e.containerOrder() {
		ids = append(ids, e.workload.Containers[i].ID)
	}
	uid := e.workload.UID
	rankOf := func(ref cgroupRef) int {
		if i := slices.Index(ids, ref.ContainerID); i >= 0 {
			return i
		}
		if uid != "" && ref.PodUID == uid {
			return len(ids)
		}
		return -1
	}
	var candidates []found
	e.step("search the cgroups of all processes", func() error {
		first, err := firstProcesses(e.ctx, e.procRoot(), func(ref cgroupRef) bool { return rankOf(ref) >= 0 })
		for ref, pid := range first {
			candidates = append(candidates, found{ref, pid, rankOf(ref)})
		}
		if err == nil && len(candidates) == 0 {
			err = errors.New("no process is in a cgroup of it")
		}
		return err
	})
	slices.SortFunc(candidates, func(a, b found) int {
		if a.rank != b.rank {
			return a.rank - b.rank
		}
		return a.pid - b.pid
	})
	e.workload.correct(candidates)
	for _, f := range candidates {
		if e.target.Process != nil {
			return
		}
		via := ViaContainer
		if f.rank == 0 && e.workload.Sandbox != nil {
			via = e.sandboxVia()
		}
		// The cgroup itself is the proof.
		e.tryProcess("cgroup "+shortID(f.ref.ContainerID), via, claim{pid: f.pid, id: f.ref.ContainerID, elsewhere: true})
	}
}

// found is a process that a search of the cgroups has come up with.
type found struct {
	ref  cgroupRef
	pid  int
	rank int
}

// correct replaces what the source said of PIDs by what the cgroups show.
func (w *Workload) correct(candidates []found) {
	w.asOf = bootTime()
	w.Containers = slices.Clone(w.Containers)
	for _, f := range candidates {
		if s := w.Sandbox; s != nil && s.ID == f.ref.ContainerID {
			corrected := *s
			corrected.PID = f.pid
			w.Sandbox = &corrected
		}
		for i := range w.Containers {
			if c := &w.Containers[i]; c.ID == f.ref.ContainerID {
				c.PID, c.State = f.pid, StateRunning
			}
		}
	}
}
