package mcpserve

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
)

// fakeDispatcher has the tools echo (answers its arguments), hang (until it is
// cancelled), probe (the same, and sends packets), fail, panic and progress.
type fakeDispatcher struct {
	started chan string // gets the "tag" argument of each call that hangs, if not nil

	mu    sync.Mutex
	calls []dispatch.Call
}

func fakeTool(name string, deadline time.Duration) dispatch.Tool {
	return dispatch.Tool{
		Spec: dispatch.Spec{
			Name: name, Title: "The tool " + name, Description: "Does " + name + ".",
			Toolset: dispatch.Inspect, Deadline: deadline,
		},
		InputSchema:  json.RawMessage(`{"type":"object","properties":{"tag":{"type":"string"}},"additionalProperties":false}`),
		OutputSchema: json.RawMessage(`{"type":"object","properties":{"summary":{"type":"string"}},"required":["summary"]}`),
	}
}

func (d *fakeDispatcher) Tools() []dispatch.Tool {
	probe := fakeTool("probe", 10*time.Second)
	probe.SendsPackets = true
	return []dispatch.Tool{
		probe, fakeTool("echo", 10*time.Second), fakeTool("hang", 10*time.Second), fakeTool("fail", 10*time.Second),
		fakeTool("panic", 10*time.Second), fakeTool("progress", 10*time.Second),
	}
}

func (d *fakeDispatcher) Instructions() string { return "Call echo first." }

func (d *fakeDispatcher) Call(ctx context.Context, c dispatch.Call) *dispatch.Envelope {
	d.mu.Lock()
	d.calls = append(d.calls, c)
	d.mu.Unlock()
	var in struct {
		Tag       string `json:"tag"`
		TimeoutMS int    `json:"timeout_ms"`
	}
	_ = json.Unmarshal(c.Arguments, &in)
	timeout := 10 * time.Second
	if in.TimeoutMS > 0 {
		timeout = time.Duration(in.TimeoutMS) * time.Millisecond
	}
	if !c.Received.IsZero() && time.Since(c.Received) >= timeout {
		return fakeError(dispatch.CodeBusy, "waited too long", "")
	}
	switch c.Tool {
	case "echo":
		var arguments any
		_ = json.Unmarshal(c.Arguments, &arguments)
		return fakeAnswer("echo "+in.Tag, arguments)
	case "hang", "probe":
		if d.started != nil {
			d.started <- in.Tag
		}
		<-ctx.Done()
		return fakeError(dispatch.CodeCanceled, "canceled", "")
	case "fail":
		return fakeError("not_found", "no pod <web>", "list_pods shows what is here")
	case "panic":
		panic("a fault of the dispatcher")
	case "progress":
		for i := range 5 {
			if c.Progress != nil {
				c.Progress(dispatch.Progress{Done: float64(i)})
			}
		}
		return fakeAnswer("done", nil)
	default:
		e := fakeError(dispatch.CodeUnknownTool, fmt.Sprintf("unknown tool %q", c.Tool), "did you mean echo?")
		e.Error.Details.Valid = []string{"echo", "hang", "fail", "panic"}
		return e
	}
}

func (d *fakeDispatcher) recorded() []dispatch.Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]dispatch.Call{}, d.calls...)
}

func fakeAnswer(summary string, data any) *dispatch.Envelope {
	e := &dispatch.Envelope{Summary: summary, Data: data, Notes: []dispatch.Note{}, Next: []dispatch.Next{}}
	makeEmpty(&e.Findings)
	return e
}

// makeEmpty fills in a slice whose element type this package does not name.
func makeEmpty[T any](s *[]T) { *s = []T{} }

func fakeError(code, message, hint string) *dispatch.Envelope {
	e := fakeAnswer(message, nil)
	e.Error = &dispatch.Error{Code: code, Stage: "probe", Message: message, Hint: hint}
	return e
}

func newFakeServer(t testing.TB, d *fakeDispatcher) *Server {
	t.Helper()
	return newServer(t, d)
}

func newServer(t testing.TB, d Dispatcher) *Server {
	t.Helper()
	s := New(Config{Dispatcher: d, Version: "1.2.3", Logger: slog.New(slog.DiscardHandler)})
	return s
}

// testTimeout is how long a test waits for what must happen.
const testTimeout = 20 * time.Second

// peer is the client at the other end of ServeStdio's streams.
type peer struct {
	t      testing.TB
	in     *io.PipeWriter
	lines  chan string
	cancel context.CancelFunc // what SIGTERM does
	ended  chan error         // what ServeStdio returned
}

func serve(t testing.TB, d *fakeDispatcher, change func(*limits)) *peer {
	t.Helper()
	l := stdioLimits
	if change != nil {
		change(&l)
	}
	inRead, inWrite := io.Pipe()
	outRead, outWrite := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	p := &peer{t: t, in: inWrite, lines: make(chan string, 1<<14), cancel: cancel, ended: make(chan error, 1)}
	s := newFakeServer(t, d)
	go func() {
		p.ended <- s.serveStdio(ctx, inRead, outWrite, l)
		_ = outWrite.Close()
	}()
	go func() {
		defer close(p.lines)
		for r := bufio.NewReader(outRead); ; {
			line, err := r.ReadString('\n')
			if line != "" {
				p.lines <- line
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		_ = inWrite.Close()
		_ = outRead.Close()
	})
	return p
}

func (p *peer) write(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.in, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *peer) call(id, tool, arguments string) {
	p.t.Helper()
	p.write(callLine(id, tool, arguments))
}

func callLine(id, tool, arguments string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":%q,"arguments":%s}}`+"\n", id, tool, arguments)
}

// reply is a line that the server wrote.
type reply struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Result struct {
		IsError           bool            `json:"isError"`
		StructuredContent json.RawMessage `json:"structuredContent"`
		Content           []struct{ Type, Text string }
		ProtocolVersion   string
	} `json:"result"`
	Error *struct {
		Code    int
		Message string
		Data    json.RawMessage
	} `json:"error"`
}

// isFailure reports whether a call was answered by an error of a tool with that code.
func (r reply) isFailure(code string) bool {
	return r.Error == nil && r.Result.IsError && strings.Contains(string(r.Result.StructuredContent), `"code":"`+code+`"`)
}

// receive is what c yields, which must come in time.
func receive[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(testTimeout):
		t.Fatalf("waited in vain for %s", what)
	}
	panic("unreachable")
}

// next is the next line of the server, which must not have ended its output.
func (p *peer) next() reply {
	p.t.Helper()
	return parseReply(p.t, receive(p.t, "a reply", p.lines))
}

func parseReply(t testing.TB, line string) reply {
	t.Helper()
	var r reply
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if strings.Count(line, "\n") != 1 {
		t.Fatalf("not one line: %q", line)
	}
	return r
}

// end waits for ServeStdio to return.
func (p *peer) end() error {
	p.t.Helper()
	return receive(p.t, "the end of ServeStdio", p.ended)
}

// rest collects what the server wrote until it closed its output.
func (p *peer) rest() []reply {
	p.t.Helper()
	var all []reply
	for {
		line := receive(p.t, "the end of the output", p.lines)
		if line == "" { // closed
			return all
		}
		all = append(all, parseReply(p.t, line))
	}
}
