package resolve

import (
	"slices"

	"nsenter-mcp/internal/words"
)

// printableWorkloads replaces what a source calls by no name with words.Hidden, wherever a
// message may repeat it: labels of an image may make any text the name of a pod. IDs
// stay, for they tell one from another. What is not changed is not written to.
func printableWorkloads(ws []Workload) {
	for i := range ws {
		w := &ws[i]
		hide(&w.Pod, &w.Namespace, &w.Node, &w.DefaultContainer)
		drop(&w.UID) // two that are hidden would be one
		for s := range sandboxes(w) {
			hide(&s.Name, &s.Runtime)
			drop(&s.NetnsPath)
			s.State.clear()
		}
		for k := range w.Containers {
			c := &w.Containers[k]
			hide(&c.Name, &c.RuntimeName, &c.Reason, &c.Waiting, &c.Runtime)
			drop(&c.NetnsPath)
			c.State.clear()
		}
		if w.Status != nil {
			w.Status.printable()
		}
	}
}

func sandboxes(w *Workload) func(func(*Sandbox) bool) {
	return func(yield func(*Sandbox) bool) {
		if w.Sandbox != nil && !yield(w.Sandbox) {
			return
		}
		for i := range w.Attempts {
			if !yield(&w.Attempts[i]) {
				return
			}
		}
	}
}

func (s *PodStatus) printable() {
	hide(&s.Phase, &s.Reason)
	for i := range s.Conditions {
		s.Conditions[i].printable()
	}
	if s.Node != nil {
		s.Node.printable()
	}
	for i := range s.Owner {
		hide(&s.Owner[i].Kind, &s.Owner[i].Name)
	}
	for _, list := range [...][]string{s.Services, s.PodIPs, s.HostIPs} {
		for i := range list {
			hide(&list[i])
		}
	}
}

// clear takes away what is none of the states that there are.
func (s *State) clear() {
	if *s != "" && !slices.Contains(states[:], *s) {
		*s = ""
	}
}

func (c *Condition) printable() { hide(&c.Type, &c.Status, &c.Reason) }

// drop leaves what is no name as if it were not known.
func drop(name *string) {
	if *name != "" && !words.IsToken(*name) {
		*name = ""
	}
}

func hide(names ...*string) {
	for _, name := range names {
		if shown := words.Printable(*name); shown != *name {
			*name = shown
		}
	}
}
