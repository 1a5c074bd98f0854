package resolve

import (
	"cmp"
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
	uid, inferred := e.workload.UID, e.workload.fromFiles()
	rankOf := func(ref cgroupRef) int {
		id := ref.ContainerID
		if ref.Inner != "" && !inferred {
			id = ref.Inner // the runtime that knows it may be in a container of its own
		}
		if i := slices.Index(ids, id); i >= 0 && (ref.Inner == "" || id == ref.Inner) {
			return i
		}
		if uid != "" && ref.PodUID == uid && ref.Inner == "" {
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
	for i, f := range candidates {
		// The cgroup itself is the proof.
		e.proven = append(e.proven, claim{pid: f.pid, id: f.id(), elsewhere: true})
		if e.target.Process != nil {
			continue
		}
		via := ViaContainer
		if f.rank == 0 && e.workload.Sandbox != nil {
			via = e.sandboxVia()
		}
		e.tryProcess("cgroup "+shortID(f.id()), via, e.proven[i])
	}
}

// found is a process that a search of the cgroups has come up with.
type found struct {
	ref  cgroupRef
	pid  int
	rank int
}

// id is the container that it is in.
func (f *found) id() string { return cmp.Or(f.ref.Inner, f.ref.ContainerID) }

// correct replaces what the source said of PIDs by what the cgroups show.
func (w *Workload) correct(candidates []found) {
	w.asOf = bootTime()
	w.Containers = slices.Clone(w.Containers)
	for _, f := range candidates {
		if s := w.Sandbox; s != nil && s.ID == f.id() {
			corrected := *s
			corrected.PID = f.pid
			w.Sandbox = &corrected
		}
		for i := range w.Containers {
			if c := &w.Containers[i]; c.ID == f.id() {
				c.PID, c.State = f.pid, StateRunning
			}
		}
	}
}
