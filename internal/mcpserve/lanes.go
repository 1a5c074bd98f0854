package mcpserve

import (
	"context"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// lanes bound how many requests run at once: tool calls, which may hang until
// their deadline, apart from all others, which are quick.
type lanes struct{ calls, others chan struct{} } // counting semaphores

func newLanes(calls, others int) lanes {
	return lanes{make(chan struct{}, calls), make(chan struct{}, others)}
}

// enter waits until the request m to s may run; the returned function lets the
// next one in. A request that ends while it waits runs too, and fails at once:
// a cancelled one for its context, a late call because the dispatcher refuses
// calls whose time is up.
func (l lanes) enter(ctx context.Context, s *Server, m message) (leave func()) {
	isCall := m.method == string(mcp.MethodToolsCall)
	lane, late := l.others, (<-chan time.Time)(nil)
	if isCall {
		lane = l.calls
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
