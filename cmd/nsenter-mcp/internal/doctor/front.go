package doctor

import (
	"context"
	"fmt"
	"time"

	"nsenter-mcp/internal/dispatch"
)

// Front is what leads to other nodes.
type Front struct {
	// Command is the program that is started for that, and Path where it lies; Err
	// is why it was not found.
	Command, Path string
	Err           error
	// Node is one to try; "" tries none.
	Node string
	// Reach goes there. It returns the version of the server and what that sees
	// on its node.
	Reach func(ctx context.Context, node string) (version, seen string, err *dispatch.Error)
}

// examine looks whether other nodes are reached. useful: the tools work on this
// machine whether or not.
func (f *Front) examine(ctx context.Context, r *Report, useful bool) {
	c := Check{ID: "via", Status: OK, Detail: f.Path + " leads to other nodes; doctor --node NAME tries one"}
	if f.Err != nil {
		c.Status, c.Detail = Fail, fmt.Sprintf("%s: %v", f.Command, f.Err)
		c.Cost, c.Fix = "no other node is reached", "install it, or give its full path in --via"
		if useful {
			c.Status, c.Essential, c.Cost = Warn, true, "no other node is reached; what is on this one is"
		}
	}
	r.add(c)
	if f.Node == "" || f.Err != nil {
		return
	}
	start := time.Now()
	version, seen, failure := f.Reach(ctx, f.Node)
	c = Check{ID: "node." + f.Node, Status: OK}
	if failure == nil {
		took := float64(time.Since(start).Microseconds()) / 1000
		c.Detail = fmt.Sprintf("version %q answers, in %s with the way there: %s", version, milliseconds(took), seen)
		r.add(c)
		return
	}
	c.Status, c.Detail, c.Fix = Fail, failure.Message, failure.Hint
	if said := failure.Details.Untrusted; said != nil {
		c.Detail += fmt.Sprintf("; it said: %q", said.Message)
	}
	c.Cost = "its pods are not reached"
	r.add(c)
}

// forgive: what this machine itself cannot do is not essential where calls go to
// other nodes.
func (r *Report) forgive() {
	for i := range r.Checks {
		if c := &r.Checks[i]; c.Status == Fail {
			c.Status = Warn
			c.Cost = "on this machine, not on other nodes: " + c.Cost
		}
	}
}
