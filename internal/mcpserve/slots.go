package mcpserve

import (
	"context"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// slots bound how many requests run at once. Calls of tools that send packets hang
// until their deadline where nothing answers, and where that is so there are many of
// them. Such calls take no slot of calls that only look at a node, nor of requests
// that are no call. The number of unanswered requests is bounded elsewhere, for all
// kinds alike.
type slots struct{ probes, looks, others chan struct{} } // counting semaphores

// newSlots gives the calls of both kinds as many slots each.
func newSlots(calls, others int) slots {
	return slots{make(chan struct{}, calls), make(chan struct{}, calls), make(chan struct{}, others)}
}

// enter waits until the request m to s may run; the returned function lets the
// next one in. A request that ends while it waits runs too, and fails at once:
// a cancelled one for its context, a late call because the dispatcher refuses
// calls whose time is up.
func (l slots) enter(ctx context.Context, s *Server, m message) (leave func()) {
	isCall := m.method == string(mcp.MethodToolsCall)
	slot, late := l.others, (<-chan time.Time)(nil)
	switch {
	case isCall && s.served[m.call.Name].SendsPackets:
		slot = l.probes
	case isCall:
		slot = l.looks
	}
	leave = func() { <-slot }
	select {
	case slot <- struct{}{}:
		return leave
	default:
	}
	if isCall {
		timer := time.NewTimer(time.Until(s.deadline(m)))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case slot <- struct{}{}:
		return leave
	case <-ctx.Done():
	case <-late:
	}
	return func() {}
}
