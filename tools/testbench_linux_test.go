package tools

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/resolve"
)

// testbench is a dispatcher on a lab's node, put together as the program does
// it.
type testbench struct {
	*dispatch.Dispatcher
	lab    *lab.Lab
	engine *lab.Engine

	mu      sync.Mutex
	records []dispatch.Record
}

// unknownTools fails a test where a handler proposes a tool that there is not.
type unknownTools struct {
	slog.Handler
	tb testing.TB
}

func (unknownTools) Enabled(context.Context, slog.Level) bool { return true }

func (h unknownTools) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "unknown tool") {
		h.tb.Errorf("%s", r.Message)
		r.Attrs(func(a slog.Attr) bool { h.tb.Log(a); return true })
	}
	return nil
}

// newTestbench makes a lab and a dispatcher on its first node. change may alter
// the configuration.
func newTestbench(tb testing.TB, change func(*dispatch.Config)) *testbench {
	tb.Helper()
	l := lab.Start(tb)
	engine, err := l.Node.Engine()
	if err != nil {
		tb.Fatal(err)
	}
	docker := resolve.NewDocker(resolve.DockerOptions{Host: engine.Host()})
	resolver := resolve.New(resolve.Config{
		Home: l.Home, Host: l.Node.Handle, Sources: []resolve.Source{docker}, AllowHostNetwork: true,
	})
	tb.Cleanup(func() {
		resolver.Close()
		if err := docker.Close(); err != nil {
			tb.Error(err)
		}
	})
	b := &testbench{lab: l, engine: engine}
	c := dispatch.Config{
		Tools:  All(),
		Env:    dispatch.Env{Resolver: resolver, Home: l.Home, Host: l.Node.Handle, Root: "/"},
		Policy: dispatch.DefaultPolicy(),
		Audit: func(_ context.Context, r dispatch.Record) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.records = append(b.records, r)
		},
		Log: slog.New(unknownTools{slog.DiscardHandler, tb}),
	}
	if change != nil {
		change(&c)
	}
	if b.Dispatcher, err = dispatch.NewDispatcher(c); err != nil {
		tb.Fatal(err)
	}
	return b
}

// askOnly makes the testbench ask these sources alone, of the host below root, and
// none of them about the cluster.
func (b *testbench) askOnly(tb testing.TB, root string, sources ...resolve.Source) {
	tb.Helper()
	b.use(tb, resolve.Config{Root: root, Sources: sources})
}

// use makes the testbench resolve as c says, which needs no handles.
func (b *testbench) use(tb testing.TB, c resolve.Config) {
	tb.Helper()
	c.Home, c.Host, c.Node, c.AllowHostNetwork = b.lab.Home, b.lab.Node.Handle, "node-1", true
	b.Env.Resolver = resolve.New(c)
	tb.Cleanup(b.Env.Resolver.Close)
}

// audited returns the records so far.
func (b *testbench) audited() []dispatch.Record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]dispatch.Record(nil), b.records...)
}

// call makes a call and holds the answer against the tool's published schema,
// as clients do with successes and failures alike.
func (b *testbench) call(tb testing.TB, tool string, arguments map[string]any) *dispatch.Envelope {
	tb.Helper()
	answer, _ := b.answer(tb, tool, arguments)
	return answer
}

// answer is call, and reports whether the needle of the sweep is in the answer.
func (b *testbench) answer(tb testing.TB, tool string, arguments map[string]any) (answer *dispatch.Envelope, mentioned bool) {
	tb.Helper()
	raw, err := json.Marshal(arguments)
	if err != nil {
		tb.Fatal(err)
	}
	answer = b.Call(tb.Context(), dispatch.Call{Tool: tool, Arguments: raw, Caller: "test"})
	if t := b.tool(tool); t != nil {
		checkAgainstSchema(tb, t, answer)
	}
	b.checkNext(tb, answer)
	return answer, checkForeign(tb, answer)
}

// checkNext holds the proposals of an answer against the tools that there are.
func (b *testbench) checkNext(tb testing.TB, answer *dispatch.Envelope) {
	tb.Helper()
	for _, next := range answer.Next {
		tool := b.tool(next.Tool)
		if tool == nil {
			tb.Errorf("next proposes %s, which is no tool", next.Tool)
			continue
		}
		arguments, err := json.Marshal(next.Arguments)
		if err == nil {
			err = tool.Accepts(arguments)
		}
		if err != nil || next.Why == "" {
			tb.Errorf("next proposes %s with %s (%s): %v", next.Tool, arguments, next.Why, err)
		}
	}
}

// tool is the enabled tool of that name; nil where there is none.
func (b *testbench) tool(name string) *dispatch.Tool {
	for _, t := range b.Tools() {
		if t.Name == name {
			return &t
		}
	}
	return nil
}

// succeed makes a call that must be no error and decodes its data.
func succeed[T any](tb testing.TB, b *testbench, tool string, arguments map[string]any) (*dispatch.Envelope, T) {
	tb.Helper()
	answer := b.call(tb, tool, arguments)
	if answer.Error != nil {
		tb.Fatalf("%s %v: %+v", tool, arguments, *answer.Error)
	}
	var data T
	if err := json.Unmarshal(answer.Data.(json.RawMessage), &data); err != nil {
		tb.Fatalf("%s %v: %v in %s", tool, arguments, err, answer.Data)
	}
	return answer, data
}

// fail makes a call that must be this error.
func fail(tb testing.TB, b *testbench, code, tool string, arguments map[string]any) *dispatch.Error {
	tb.Helper()
	answer := b.call(tb, tool, arguments)
	if answer.Error == nil {
		tb.Fatalf("%s %v succeeded: %s", tool, arguments, answer.Summary)
	}
	if answer.Error.Code != code {
		tb.Fatalf("%s %v: code %s (%s), want %s", tool, arguments, answer.Error.Code, answer.Error.Message, code)
	}
	if answer.Error.Hint == "" {
		tb.Errorf("%s %v: %s comes without a hint", tool, arguments, code)
	}
	return answer.Error
}
