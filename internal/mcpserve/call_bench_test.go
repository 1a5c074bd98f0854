package mcpserve

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
)

type answering struct{ answer *dispatch.Envelope }

func (answering) Tools() []dispatch.Tool                                   { return nil }
func (answering) Instructions() string                                     { return "" }
func (a answering) Call(context.Context, dispatch.Call) *dispatch.Envelope { return a.answer }

// BenchmarkReply: from a call to the line that answers it, but for what the tool does.
func BenchmarkReply(b *testing.B) {
	list := []map[string]any{}
	for range 4 {
		list = append(list, map[string]any{"ifname": "eth0", "flags": []string{"UP", "BROADCAST", "MULTICAST"}, "mtu": 1500, "address": "02:42:ac:11:00:02", "addr_info": []map[string]any{{"local": "10.0.0.1", "prefixlen": 24, "scope": "global"}}})
	}
	data, _ := json.Marshal(map[string]any{"interfaces": list})
	answer := fakeAnswer("eth0 10.0.0.1/24 up, mtu 1500", json.RawMessage(data))
	s := newFakeServer(b, &fakeDispatcher{})
	s.dispatcher = answering{answer}
	line := []byte(callLine("1", "echo", `{"pid":7}`))
	c := s.newClient("me", newSlots(1, 1), &inflight{})
	b.ReportAllocs()
	for b.Loop() {
		encodeReply(c.begin(b.Context(), parse(line, "", time.Now()))())
	}
}
