package mcpserve

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/mark3labs/mcp-go/server"
)

// A call that does not pass through mcp-go is carried out and answered as one that
// does. (mcp-go gets no tools for it, so it must not have passed through.)
func TestPlainCallIsAnsweredAsTheLibraryDoes(t *testing.T) {
	t.Parallel()
	call := func(rest string) string { return `{"jsonrpc":"2.0","id":7,"method":"tools/call",` + rest + `}` }
	for name, c := range map[string]struct {
		line  string
		plain bool
	}{
		"arguments":           {call(`"params":{"name":"echo","arguments":{"tag":"a","n":9007199254740993}}`), true},
		"no arguments":        {call(`"params":{"name":"echo"}`), true},
		"arguments null":      {call(`"params":{"name":"echo","arguments":null}`), true},
		"arguments no object": {call(`"params":{"name":"echo","arguments":[1]}`), true},
		"a failure":           {call(`"params":{"name":"fail","arguments":{}}`), true},
		"a panic":             {call(`"params":{"name":"panic","arguments":{}}`), true},
		"no tool":             {call(`"params":{"name":"echoo","arguments":{}}`), true},
		"no name":             {call(`"params":{"arguments":{}}`), true},
		"escaped names":       {`{"jsonr\u0070c":"2.0","id":"\u0041","method":"tools\/call","params":{"n\u0061me":"ech\u006f"}}`, true},
		"a long number as id": {strings.Replace(call(`"params":{"name":"echo"}`), ":7,", ":18446744073709551615,", 1), true},
		"a member twice":      {call(`"params":{"name":"fail","arguments":{}},"params":{"name":"echo","arguments":{"tag":"b"}}`), true},
		"with _meta":          {call(`"params":{"name":"echo","_meta":{}}`), false},
		"with a task":         {call(`"params":{"name":"echo","task":{}}`), false},
		"with an input":       {call(`"params":{"name":"echo","inputResponses":{}}`), false},
		"with an unknown":     {call(`"params":{"name":"echo","new":1}`), false},
		"params no object":    {call(`"params":[]`), false},
		"params missing":      {call(`"x":1`), false},
		"name no string":      {call(`"params":{"name":1}`), false},
		"another version":     {`{"jsonrpc":"1.0","id":7,"method":"tools/call","params":{"name":"echo"}}`, false},
		"no version":          {`{"id":7,"method":"tools/call","params":{"name":"echo"}}`, false},
		"a result beside":     {call(`"result":{},"params":{"name":"echo"}`), false},
		"a notification":      {`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo"}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := parseMessage([]byte(c.line), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			if m.call.plain != c.plain {
				t.Errorf("plain is %t", m.call.plain)
			}
			var texts, calls []string
			for _, options := range [][]server.ServerOption{nil, {server.WithRoots()}} {
				d := &fakeDispatcher{}
				s, err := New(Config{Dispatcher: d, Logger: slog.New(slog.DiscardHandler), Options: options})
				if err != nil {
					t.Fatal(err)
				}
				if c.plain && options == nil {
					s.publish = func() {}
				}
				reply := s.respond(t.Context(), m)
				if reply == nil {
					texts = append(texts, "")
				} else {
					texts = append(texts, string(encodeReply(reply)))
				}
				for _, made := range d.recorded() {
					calls = append(calls, fmt.Sprintf("%s %s %q %t %v %t", made.Tool, made.Arguments, made.Caller, made.Forwarded, made.Narrowing, made.Progress != nil))
				}
			}
			if texts[0] != texts[1] {
				t.Errorf("answered\n%s\nand by mcp-go\n%s", texts[0], texts[1])
			}
			if half := len(calls) / 2; len(calls)%2 != 0 || strings.Join(calls[:half], ",") != strings.Join(calls[half:], ",") {
				t.Errorf("calls: %s", calls)
			}
		})
	}
}
