package resolve

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// rank is how well a workload fits a query; the lowest one found counts alone.
type rank int

const (
	byName   rank = iota // the name asked for
	byID                 // a full ID, or a UID
	byInner              // a container's name within its pod
	byPrefix             // the start of a name or of an ID
	noMatch
)

// minIDPrefix is how many hexadecimal digits name something. Docker accepts
// one; fewer than four are more likely a name.
const minIDPrefix = 4

// selection is a workload that fits a query, and which of its containers is
// meant: an index, or whole.
type selection struct {
	workload  *Workload
	container int
	rank      rank
}

// whole means the workload as such.
const whole = -1

// older are workloads of the same name that the selected one has replaced.
type choice struct {
	selection
	older []*Workload
}

// exactly reports whether any of ws is what q names, not only by a prefix.
func exactly(q Query, ws []Workload) bool {
	return slices.ContainsFunc(selectAll(q, ws), func(s selection) bool { return s.rank < byPrefix })
}

// choose finds the one workload that q means. Where several fit equally well,
// or none, it says so by an [*Error].
func choose(q Query, ws []Workload) (choice, *Error) {
	fitting := best(selectAll(q, ws))
	if len(fitting) == 0 {
		return choice{}, notFound(q, ws)
	}
	groups := groupByName(fitting)
	if len(groups) > 1 {
		return choice{}, ambiguous(q, groups)
	}
	c := choice{selection: groups[0][0]}
	for _, s := range groups[0][1:] {
		if s.workload != c.workload {
			c.older = append(c.older, s.workload)
		}
	}
	if q.Pod != "" && q.Container != "" {
		return withContainer(q, c)
	}
	return c, nil
}

func selectAll(q Query, ws []Workload) []selection {
	var found []selection
	for i := range ws {
		w := &ws[i]
		if q.Pod != "" {
			if r := rankPod(q, w); r < noMatch {
				found = append(found, selection{w, whole, r})
			}
			continue
		}
		found = append(found, selectContainers(q.Container, w)...)
	}
	return found
}

func rankPod(q Query, w *Workload) rank {
	if w.Pod == "" && w.UID == "" || q.Namespace != "" && w.Namespace != q.Namespace && w.Namespace != "" {
		return noMatch
	}
	ids := []string{w.UID}
	if w.Sandbox != nil {
		ids = append(ids, w.Sandbox.ID)
	}
	if q.Namespace != "" && w.Namespace == "" {
		return rankID(q.Pod, ids...) // a pod of podman's, which has no namespace, is another one
	}
	if w.Pod == q.Pod && w.Pod != "" {
		return byName
	}
	return min(rankID(q.Pod, ids...), rankPrefix(q.Pod, w.Pod))
}

// selectContainers returns at most one selection for the sandbox and each
// container of w.
func selectContainers(name string, w *Workload) []selection {
	var found []selection
	add := func(index int, r rank) {
		if r < noMatch {
			found = append(found, selection{w, index, r})
		}
	}
	if s := w.Sandbox; s != nil && w.Pod != "" {
		r := rankID(name, s.ID)
		if s.Name == name {
			r = byName
		}
		add(whole, r)
	}
	for i := range w.Containers {
		c := &w.Containers[i]
		r := min(rankID(name, c.ID), rankPrefix(name, c.RuntimeName))
		switch {
		case c.RuntimeName == name, w.Pod == "" && c.Name == name:
			r = byName
		case c.Name == name:
			r = min(r, byInner)
		case w.Pod == "":
			r = min(r, rankPrefix(name, c.Name))
		}
		add(i, r)
	}
	return found
}

func rankID(want string, ids ...string) rank {
	for _, id := range ids {
		switch {
		case id == "":
		case id == want:
			return byID
		case len(want) >= minIDPrefix && isHex(want) && strings.HasPrefix(id, want):
			return byPrefix
		}
	}
	return noMatch
}

// rankPrefix accepts the start of a name up to one of its dashes, as people
// name the pods of a deployment: web of web-7d4b9-x2x1z, but web-1 not of web-10.
func rankPrefix(want, name string) rank {
	rest, found := strings.CutPrefix(name, want)
	if found && rest != "" && (rest[0] == '-' || strings.HasSuffix(want, "-")) {
		return byPrefix
	}
	return noMatch
}

func isHex(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'f')
	})
}

// best keeps the selections of the lowest rank.
func best(all []selection) []selection {
	lowest := noMatch
	for _, s := range all {
		lowest = min(lowest, s.rank)
	}
	return slices.DeleteFunc(all, func(s selection) bool { return s.rank != lowest })
}

// groupByName puts together what bears one name: a pod that was created again
// under its name, above all. In each group the one to take comes first: that
// with a running sandbox, then the newest.
func groupByName(all []selection) [][]selection {
	var order []string
	groups := map[string][]selection{}
	for _, s := range all {
		key := s.key()
		if _, seen := groups[key]; !seen {
			order = append(order, key)
		}
		groups[key] = append(groups[key], s)
	}
	sorted := make([][]selection, 0, len(order))
	for _, key := range order {
		group := groups[key]
		slices.SortStableFunc(group, func(a, b selection) int { return newerFirst(a.workload, b.workload) })
		sorted = append(sorted, group)
	}
	return sorted
}

func (s selection) key() string {
	w := s.workload
	pod := w.Namespace + "/" + w.Pod
	if w.Pod == "" {
		pod = w.UID
	}
	if s.container == whole {
		return "pod " + pod
	}
	k := w.Containers[s.container]
	if w.Pod == "" || k.Name == "" {
		return "container " + k.ID
	}
	return "container " + pod + "/" + k.Name
}

func newerFirst(a, b *Workload) int {
	return cmp.Or(
		// What is alive here, before what the API says is alive somewhere.
		-cmp.Compare(boolInt(a.alive() && !a.remote), boolInt(b.alive() && !b.remote)),
		-cmp.Compare(boolInt(a.alive()), boolInt(b.alive())),
		-a.created().Compare(b.created()),
	)
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// withContainer finds the container of the chosen pod that q names.
func withContainer(q Query, c choice) (choice, *Error) {
	lowest, hits := noMatch, []int(nil)
	for i := range c.workload.Containers {
		k := &c.workload.Containers[i]
		r := min(rankID(q.Container, k.ID), rankPrefix(q.Container, k.Name))
		if k.Name == q.Container || k.RuntimeName == q.Container {
			r = byName
		}
		if r < lowest {
			lowest, hits = r, nil
		}
		if r == lowest && r < noMatch {
			hits = append(hits, i)
		}
	}
	if len(hits) == 1 {
		c.container, c.rank = hits[0], max(c.rank, lowest)
		return c, nil
	}
	if len(hits) > 1 {
		e := &Error{
			Kind:    KindAmbiguous,
			Message: fmt.Sprintf("%d containers of pod %s fit %s", len(hits), c.workload.podName(), quote(q.Container)),
			Hint:    "Give container as one of the candidates' names.",
		}
		for _, i := range hits {
			e.Candidates = append(e.Candidates, selection{workload: c.workload, container: i}.candidate())
		}
		return choice{}, e
	}
	names := c.workload.containerNames()
	e := &Error{
		Kind:       KindNotFound,
		Message:    fmt.Sprintf("pod %s has no container %s", c.workload.podName(), quote(q.Container)),
		Hint:       "Leave container out to take the pod's default container.",
		NearMisses: names,
	}
	if len(names) > 0 {
		e.Hint = "Its containers are " + strings.Join(names, ", ") + ". " + e.Hint
	}
	return choice{}, e
}

func (s selection) candidate() Candidate {
	w := s.workload
	c := Candidate{Source: w.Source, Pod: w.Pod, Namespace: w.Namespace, Node: w.Node}
	if w.Pod == "" {
		c.UID = w.UID
	}
	if s.container == whole {
		if w.Sandbox != nil {
			c.ID, c.State, c.PID = w.Sandbox.ID, w.Sandbox.State, w.Sandbox.PID
		}
		return c
	}
	k := w.Containers[s.container]
	c.Container, c.ID, c.State, c.PID = k.Name, k.ID, k.State, k.PID
	return c
}

// maxCandidates and maxNear bound what an [Error] carries.
const (
	maxCandidates = 10
	maxNear       = 5
)

func ambiguous(q Query, groups [][]selection) *Error {
	e := &Error{Kind: KindAmbiguous}
	what, how := q.Container, "Give container as the full name or ID of one candidate."
	switch {
	case q.Pod != "":
		what, how = q.Pod, "Give pod and namespace of one candidate."
	case groups[0][0].rank == byInner:
		how = "Give pod and namespace of one candidate together with container."
	}
	slices.SortStableFunc(groups, func(a, b []selection) int { return newerFirst(a[0].workload, b[0].workload) })
	for _, g := range groups[:min(len(groups), maxCandidates)] {
		e.Candidates = append(e.Candidates, g[0].candidate())
	}
	e.Message = fmt.Sprintf("%s fits %d targets", quote(what), len(groups))
	if len(groups) > maxCandidates {
		e.Message += fmt.Sprintf(", of which %d are shown", maxCandidates)
	}
	e.Hint = how
	return e
}

// podName is how the pod is named back to a caller.
func (w *Workload) podName() string {
	switch {
	case w.Pod == "":
		return w.UID
	case w.Namespace == "":
		return w.Pod
	}
	return w.Namespace + "/" + w.Pod
}

func (w *Workload) containerNames() []string {
	var names []string
	for _, c := range w.Containers {
		if c.Name != "" {
			names = append(names, c.Name)
		}
	}
	return names
}
