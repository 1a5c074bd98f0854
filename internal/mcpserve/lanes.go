package mcpserve

import (
	"context"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// lanes bound how many requests run at once. Calls of tools that send packets hang
// until their deadline where nothing answers, and where that is so there are many of
// them; they take no place of those that look at a node, nor of what is no call at
// all. How many requests may be unanswered altogether is bounded elsewhere, for all
// kinds alike.
type lanes struct{ probes, looks, others chan struct{} } // counting semaphores

// newLanes gives the calls of both kinds as many places each.
func newLanes(calls, others int) lanes {
	return lanes{make(chan struct{}, calls), make(chan struct{}, calls), make(chan struct{}, others)}
}

// enter waits until the request m to s may run; the returned function lets the
// next one in. A request that ends while it waits runs too, and fails at once:
// a cancelled one for its context, a late call because the dispatcher refuses
// calls whose time is up.
func (l lanes) enter(ctx context.Context, s *Server, m message) (leave func()) {
	isCall := m.method == string(mcp.MethodToolsCall)
	lane, late := l.others, (<-chan time.Time)(nil)
	switch {
	case isCall && s.served[m.call.Name].SendsPackets:
		lane = l.probes
	case isCall:
		lane = l.looks
	}
	leave = func() { <-lane }
	select {
	case lane <- struct{}{}:
		return leave
	default:
	}
	if isCall {
		timer := time.NewTimer(time.Until(s.deadline(m)))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case lane <- struct{}{}:
		return leave
	case <-ctx.Done():
	case <-late:
	}
	return func() {}
}
