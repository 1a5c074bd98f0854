package resolve

import (
	"fmt"
	"slices"
)

// fromFiles reports whether no runtime and no API has told of w: then cgroups and
// files are all that there is.
func (w *Workload) fromFiles() bool { return w.inferred || w.Source == cgroupSource }

// twoNetworks reports that what bears the workload's names is in several networks. Where
// a runtime has told which process is meant, nothing else is looked at. Cgroups can be
// called alike, so that which one is meant is nobody's to choose.
func (e *entry) twoNetworks() *Error {
	claims := e.proven
	if len(claims) == 0 && e.workload.fromFiles() {
		claims = e.workload.processes()
	}
	if len(claims) < 2 {
		return nil
	}
	err := &Error{
		Kind:    KindAmbiguous,
		Message: fmt.Sprintf("%s is the name of containers in several networks, and no container runtime tells which one is meant", e.workload.describe()),
		Hint:    "Call again with the pid of one candidate. A container that is root on its cgroups can call them as it likes: see which runtime has made each.",
	}
	seen := map[string]bool{}
	for _, c := range claims[:min(len(claims), maxInspects)] {
		p, failed := e.openClaimed(e.ctx, c)
		if failed != nil {
			continue // has ended, or is another's by now
		}
		if net, failed := p.Net(); failed == nil {
			if name := net.Identity().String(); !seen[name] && e.notInside(e.workload, p, net) == nil {
				seen[name] = true
				err.Candidates = append(err.Candidates, Candidate{
					Source: e.workload.Source, Pod: e.workload.Pod, Namespace: e.workload.Namespace, UID: e.workload.UID,
					ID: c.id, PID: c.pid, State: StateRunning, Netns: name,
				})
			}
			_ = net.Close() // was only looked at
		}
		_ = p.Close() // likewise
	}
	if len(err.Candidates) < 2 {
		return nil
	}
	slices.SortFunc(err.Candidates, func(a, b Candidate) int { return a.PID - b.PID })
	err.Candidates = err.Candidates[:min(len(err.Candidates), maxCandidates)]
	return err
}
