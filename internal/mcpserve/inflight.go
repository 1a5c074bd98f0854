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
	byID sync.Map // of context.CancelCauseFunc, by idKey
}

// remember makes the request cancellable until the returned function is called.
func (f *inflight) remember(id json.RawMessage, cancel context.CancelCauseFunc) (forget func()) {
	key := idKey(id)
	if _, taken := f.byID.LoadOrStore(key, cancel); taken {
		return func() {} // the protocol forbids it; the first keeps the name
	}
	return func() { f.byID.Delete(key) }
}

// cancel cancels the request that the parameters of notifications/cancelled
// name, where there is one.
func (f *inflight) cancel(params json.RawMessage) {
	var which struct {
		RequestID json.RawMessage `json:"requestId"`
	}
	if json.Unmarshal(params, &which) != nil {
		return
	}
	if cancel, found := f.byID.Load(idKey(which.RequestID)); found {
		cancel.(context.CancelCauseFunc)(errCancelled)
	}
}

// cancelAll cancels every request, because of cause.
func (f *inflight) cancelAll(cause error) {
	for _, cancel := range f.byID.Range {
		cancel.(context.CancelCauseFunc)(cause)
	}
}

// isEmpty reports whether no request is being answered.
func (f *inflight) isEmpty() bool {
	for range f.byID.Range {
		return false
	}
	return true
}
