package mcpserve

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
)

// errCancelled is the cause of a request's end when its client no longer wants
// the answer.
var errCancelled = errors.New("cancelled by the client")

// inflight are the requests of one client that are being answered. Cancelling
// is done here and not by mcp-go, which knows only requests that already run,
// takes 1 and "1" for one id, and over HTTP those of different clients too.
type inflight struct {
	mu   sync.Mutex
	byID map[string]context.CancelCauseFunc // by idKey
}

// remember makes the request cancellable until the returned function is called.
func (f *inflight) remember(id json.RawMessage, cancel context.CancelCauseFunc) (forget func()) {
	key := idKey(id)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, taken := f.byID[key]; taken {
		return func() {} // the protocol forbids it; the first keeps the name
	}
	if f.byID == nil {
		f.byID = map[string]context.CancelCauseFunc{}
	}
	f.byID[key] = cancel
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.byID, key)
	}
}

// cancel carries out notifications/cancelled with these parameters. It reports
// whether there was such a request.
func (f *inflight) cancel(params json.RawMessage) bool {
	var which struct {
		RequestID json.RawMessage `json:"requestId"`
	}
	if json.Unmarshal(params, &which) != nil || which.RequestID == nil {
		return false
	}
	f.mu.Lock()
	cancel := f.byID[idKey(which.RequestID)]
	f.mu.Unlock()
	if cancel == nil {
		return false
	}
	cancel(errCancelled)
	return true
}

// cancelAll cancels every request, because of cause.
func (f *inflight) cancelAll(cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, cancel := range f.byID {
		cancel(cause)
	}
}

// count returns how many requests are being answered.
func (f *inflight) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.byID)
}
