package mcpserve

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/mcp"
)

// cutWriter takes half of the first line and says so, and counts what comes after.
type cutWriter struct {
	mu    sync.Mutex
	lines int
}

func (w *cutWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines++
	if w.lines == 1 {
		return len(p) / 2, errors.New("cut")
	}
	return len(p), nil
}

// Nothing is written after a line that was cut: it would become a part of it.
func TestNothingFollowsABrokenLine(t *testing.T) {
	t.Parallel()
	w := &cutWriter{}
	o := newOutput(w, make(chan mcp.JSONRPCNotification))
	go o.run(make(chan struct{}))
	reply := mcp.JSONRPCResponse{JSONRPC: "2.0", ID: mcp.NewRequestId(1), Result: 1}
	var senders sync.WaitGroup
	for range 64 {
		senders.Go(func() { o.send(reply, nil) })
	}
	senders.Wait()
	<-o.done
	for range 100 {
		o.send(reply, nil)
		o.sendLast(reply)
	}
	if w.lines != 1 || o.err == nil || !strings.Contains(o.err.Error(), "cut") {
		t.Errorf("%d lines were written, and the output ended with %v", w.lines, o.err)
	}
}

func TestWantsProgress(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]bool{
		`{"name":"x","_meta":{"progressToken":"a"}}`:      true,
		`{"name":"x","_meta":{"progress\u0054oken":"a"}}`: true,
		`{"name":"x","arguments":{"pod":"a"},"_meta":{}}`: false,
		`{"name":"x","arguments":{"text":"\u0041"}}`:      true, // not sure
	} {
		m, err := parseMessage([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":`+params+`}`), time.Now())
		if err != nil || m.wantsProgress() != want {
			t.Errorf("%s: %v, %v", params, m.wantsProgress(), err)
		}
	}
}
