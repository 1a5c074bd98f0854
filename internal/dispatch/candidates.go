package dispatch

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"nsenter-mcp/internal/redact"
	"nsenter-mcp/internal/words"
	"nsenter-mcp/resolve"
)

// afterAmbiguous proposes the call again for each of the targets that its name
// fits. What may hold credentials is not repeated: then the proposal is to look
// at the target.
func (d *Dispatcher) afterAmbiguous(err error, c Call) []Next {
	var ambiguous *resolve.Error
	if !errors.As(err, &ambiguous) || len(ambiguous.Candidates) == 0 {
		return []Next{}
	}
	rest, next := withoutTarget(c.Arguments), []Next{}
	for _, candidate := range ambiguous.Candidates {
		target, ok := candidateArguments(candidate, ambiguous.Candidates)
		n := Propose(resolveTarget, target, "the one "+describeCandidate(candidate, ambiguous.Candidates))
		if rest != nil {
			n.Tool = c.Tool
			maps.Copy(n.Arguments, rest)
		}
		if ok && d.mayCall(n) && len(next) < maxNext {
			next = append(next, n)
		}
	}
	return next
}

// withoutTarget are the arguments of a call but for those that name the target;
// nil where they may hold credentials.
func withoutTarget(raw json.RawMessage) map[string]any {
	args := map[string]any{}
	if _, hidden := redact.JSON(raw); hidden || len(raw) > maxAuditBytes || json.Unmarshal(raw, &args) != nil {
		return nil
	}
	for _, name := range []string{"pod", "namespace", "container", "pid", "netns", "ip", "expect"} {
		delete(args, name)
	}
	for name, value := range args {
		if _, object := value.(map[string]any); object || name == "body" {
			return nil // headers
		}
	}
	return args
}

// candidateArguments name one of the candidates and no other; false where nothing does.
func candidateArguments(c resolve.Candidate, all []resolve.Candidate) (TargetArgs, bool) {
	same := func(o resolve.Candidate) bool {
		return o.Pod == c.Pod && o.UID == c.UID && o.Namespace == c.Namespace && o.Container == c.Container
	}
	alone := !slices.ContainsFunc(all, func(o resolve.Candidate) bool { return o != c && same(o) })
	switch {
	case (c.Pod != "" || c.UID != "") && alone:
		return TargetArgs{Pod: cmp.Or(c.Pod, c.UID), Namespace: c.Namespace, Container: c.Container}, true
	case c.Container != "" && c.ID != "":
		return TargetArgs{Container: ShortID(c.ID, false)}, true
	case c.PID != 0:
		return TargetArgs{PID: &c.PID}, true
	}
	return TargetArgs{Netns: c.Netns}, c.Netns != ""
}

// describeCandidate says by what one differs from the others: nobody may know the
// owners of an address by a name.
func describeCandidate(c resolve.Candidate, all []resolve.Candidate) string {
	neighbour := func(o resolve.Candidate) bool { return o != c && o.Namespace == c.Namespace }
	switch {
	case c.Namespace != "" && c.Pod != "" && slices.ContainsFunc(all, neighbour):
		text := "of pod " + words.Printable(c.Namespace+"/"+c.Pod)
		if c.Container != "" {
			text += ", container " + words.Printable(c.Container)
		}
		return text
	case c.Namespace != "":
		return "in namespace " + words.Printable(c.Namespace)
	case c.Container != "":
		return "that is container " + words.Printable(c.Container)
	case c.PID != 0:
		return fmt.Sprintf("of process %d", c.PID)
	case c.Netns != "":
		return "that is " + words.Printable(c.Netns)
	}
	return "known to " + words.Printable(c.Source)
}

// telling are the steps of an error that say more than that somebody was asked.
func telling(steps []resolve.Step) []resolve.Step {
	return slices.DeleteFunc(slices.Clone(steps), func(s resolve.Step) bool { return s.Outcome == "ok" || s.Outcome == "none" })
}

// ShortID is as much of a container ID as docker ps prints; it is unique on a
// node for all practical purposes, and every tool takes it.
func ShortID(id string, full bool) string {
	const shown = 12
	if full || len(id) <= shown {
		return id
	}
	return id[:shown]
}
