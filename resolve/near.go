package resolve

import (
	"fmt"
	"slices"
	"strings"

	"nsenter-mcp/internal/words"
)

// notFound says that nothing fits q, and what looks like it.
func notFound(q Query, ws []Workload) *Error {
	e := &Error{Kind: KindNotFound, NearMisses: nearMisses(q, ws)}
	what, name, other := "pod", q.Pod, "container"
	if q.Pod == "" {
		what, name, other = "container", q.Container, "pod"
	}
	e.Message = fmt.Sprintf("no %s %s is known on this node", what, quote(name))
	if q.Namespace != "" {
		e.Message = fmt.Sprintf("no pod %s of namespace %s is known on this node", quote(name), quote(q.Namespace))
	}
	swapped := Query{Pod: q.Container, Container: q.Pod}
	if q.Pod != "" && q.Container != "" {
		swapped = Query{Container: q.Pod}
	}
	switch {
	case exactly(swapped, ws):
		e.Hint = fmt.Sprintf("There is a %s of that name: call again with %s %q.", other, other, name)
	case q.Namespace != "" && exactly(Query{Pod: q.Pod}, ws):
		e.Hint = "There is a pod of that name in another namespace: see near_misses, and give its namespace."
	case len(e.NearMisses) > 0:
		e.Hint = "Did you mean " + strings.Join(e.NearMisses, ", ") + "? Call again with the full name."
	default:
		e.Hint = "Call resolve_pod_pid without arguments to see what is here."
	}
	return e
}

// nearMisses are names that look like the one asked for. Pods carry their
// namespace, so that each can be given back as it is.
func nearMisses(q Query, ws []Workload) []string {
	word, full := q.Pod, map[string][]string{} // plain name to names as shown
	if word == "" {
		word = q.Container
	}
	var plain []string
	add := func(name, shown string) {
		if name == "" || slices.Contains(full[name], shown) {
			return
		}
		if full[name] == nil {
			plain = append(plain, name)
		}
		full[name] = append(full[name], shown)
	}
	for i := range ws {
		w := &ws[i]
		if q.Pod != "" {
			add(w.Pod, w.podName())
			continue
		}
		for _, c := range w.Containers {
			if w.Pod == "" {
				add(c.Name, c.Name)
			} else if c.RuntimeName != "" {
				add(c.Name, c.RuntimeName)
			}
		}
	}
	slices.Sort(plain)
	var near []string
	for _, name := range words.Closest(word, plain, maxNear) {
		near = append(near, full[name]...)
	}
	return near[:min(len(near), maxNear)]
}
