package mcpserve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
)

func TestAllCallsAnsweredAfterEndOfInput(t *testing.T) {
	t.Parallel()
	for _, last := range []string{"with newline", "without newline"} {
		t.Run(last, func(t *testing.T) {
			t.Parallel()
			var in strings.Builder
			for i := range 30 {
				in.WriteString(callLine(fmt.Sprint(i), "echo", `{"tag":"x"}`))
			}
			text := in.String()
			if last == "without newline" {
				text = strings.TrimSuffix(text, "\n")
			}
			var out bytes.Buffer
			s := newFakeServer(t, &fakeDispatcher{})
			if err := s.ServeStdio(context.Background(), strings.NewReader(text), &out); err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for line := range strings.Lines(out.String()) {
				r := parseReply(t, line)
				if r.Error != nil || r.Result.IsError {
					t.Errorf("%s", line)
				}
				seen[string(r.ID)] = true
			}
			if len(seen) != 30 {
				t.Errorf("%d of 30 calls answered", len(seen))
			}
		})
	}
}

func TestEndOfInputCancelsAfterGrace(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 1)}
	p := serve(t, d, func(l *limits) { l.grace = 50 * time.Millisecond })
	p.call("1", "hang", `{}`)
	awaitStart(t, d)
	_ = p.in.Close()
	if err := p.end(); err != nil {
		t.Error(err)
	}
	all := p.rest()
	if len(all) != 1 || !all[0].Result.IsError {
		t.Errorf("a call that outlives the grace is answered with an error, got %+v", all)
	}
}

func TestTerminationAnswersAndEndsClean(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 3)}
	p := serve(t, d, func(l *limits) { l.calls = 2 })
	for i := range 3 { // the third waits for a slot
		p.call(fmt.Sprint(i), "hang", `{}`)
	}
	p.write(`{"jsonrpc":"2.0","id":"last","method":"ping"}` + "\n")
	p.next() // so all three were accepted
	p.cancel()
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if all := p.rest(); len(all) != 3 {
		t.Errorf("%d of 3 calls answered", len(all))
	}
}

func TestPingWhileCallsHang(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 100)}
	p := serve(t, d, nil)
	for i := range 100 {
		p.call(fmt.Sprint(i), "hang", `{}`)
	}
	for range stdioLimits.calls {
		awaitStart(t, d)
	}
	p.write(`{"jsonrpc":"2.0","id":"ping","method":"ping"}` + "\n")
	if r := p.next(); string(r.ID) != `"ping"` || r.Error != nil {
		t.Errorf("got %+v", r)
	}
	select {
	case tag := <-d.started:
		t.Errorf("call %q ran beyond the limit", tag)
	default:
	}
}

// Probes that hang leave the places of those that only look at the node.
func TestLooksWhileProbesHang(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 3)}
	p := serve(t, d, func(l *limits) { l.calls = 2 })
	for i := range 3 {
		p.call(fmt.Sprint(i), "probe", `{}`)
	}
	awaitStart(t, d)
	awaitStart(t, d)
	for range 3 {
		p.call(`"look"`, "echo", `{}`)
		if r := p.next(); string(r.ID) != `"look"` || r.Error != nil || r.Result.IsError {
			t.Errorf("got %+v", r)
		}
	}
	select {
	case tag := <-d.started:
		t.Errorf("probe %q ran beyond the limit", tag)
	default:
	}
}

func TestCancelRunningCall(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 2)}
	p := serve(t, d, nil)
	// The number 1 and the string "1" are two requests.
	p.call(`1`, "hang", `{"tag":"number"}`)
	p.call(`"1"`, "hang", `{"tag":"string"}`)
	awaitStart(t, d)
	awaitStart(t, d)
	p.write(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"\u0031","reason":"test"}}` + "\n")
	p.write(`{"jsonrpc":"2.0","id":2,"method":"ping"}` + "\n")
	if r := p.next(); string(r.ID) != "2" {
		t.Errorf("a cancelled call was answered: %+v", r)
	}
	_ = p.in.Close()
	p.cancel()
	all := p.rest()
	if len(all) != 1 || string(all[0].ID) != "1" {
		t.Errorf("only the call with the number as id is left, got %+v", all)
	}
}

func TestCancelWaitingCall(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 2)}
	p := serve(t, d, func(l *limits) { l.calls = 1 })
	p.call("1", "hang", `{"tag":"first"}`)
	awaitStart(t, d)
	p.call("2", "echo", `{}`)
	p.write(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}` + "\n")
	p.write(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}` + "\n")
	_ = p.in.Close()
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if all := p.rest(); len(all) != 0 {
		t.Errorf("cancelled calls were answered: %+v", all)
	}
}

func TestCancelUnknownRequest(t *testing.T) {
	t.Parallel()
	p := serve(t, &fakeDispatcher{}, nil)
	for _, params := range []string{`{"requestId":7}`, `{}`, `[]`, `{"requestId":null}`} {
		p.write(`{"jsonrpc":"2.0","method":"notifications/cancelled","params":` + params + "}\n")
	}
	p.call("1", "echo", `{}`)
	if r := p.next(); string(r.ID) != "1" {
		t.Errorf("got %+v", r)
	}
}

func TestQueuedCallIsBusyAtItsDeadline(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 1)}
	p := serve(t, d, func(l *limits) { l.calls = 1 })
	p.call("1", "hang", `{}`)
	awaitStart(t, d)
	p.call("2", "echo", `{"timeout_ms":50}`)
	r := p.next()
	if string(r.ID) != "2" || !r.isFailure(dispatch.CodeBusy) {
		t.Errorf("got %+v", r)
	}
	for _, c := range d.recorded() {
		if c.Received.IsZero() || c.Caller != "stdio" {
			t.Errorf("call without its origin: %+v", c)
		}
	}
}

func TestUnknownToolIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 1)}
	p := serve(t, d, func(l *limits) { l.calls = 1 })
	p.call("1", "hang", `{}`)
	awaitStart(t, d)
	p.call("2", "ecko", `{}`)
	r := p.next()
	if r.Error == nil || r.Error.Code != -32602 {
		t.Fatalf("got %+v", r)
	}
	const want = `unknown tool "ecko": did you mean echo?`
	if r.Error.Message != want {
		t.Errorf("got  %s\nwant %s", r.Error.Message, want)
	}
	if !strings.Contains(string(r.Error.Data), dispatch.CodeUnknownTool) {
		t.Errorf("data: %s", r.Error.Data)
	}
}

func TestMalformedLinesAreAnsweredAndSurvived(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name, line string
		code       int
		id         string
	}{
		{"no JSON", `{"jsonrpc":`, -32700, "null"},
		{"binary", "\x00\xff\xfe", -32700, "null"},
		{"batch", `[{"jsonrpc":"2.0","id":1,"method":"ping"}]`, -32600, "null"},
		{"broken batch", `[{"jsonrpc":"2.0"`, -32700, "null"},
		{"a string", `"ping"`, -32600, "null"},
		{"id of a wrong type", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, -32600, "null"},
		{"no method", `{"jsonrpc":"2.0","id":3}`, -32600, "3"},
		{"method of a wrong type", `{"jsonrpc":"2.0","id":3,"method":7}`, -32600, "3"},
		{"wrong version", `{"jsonrpc":"1.0","id":4,"method":"tools/list"}`, -32600, "4"},
		{"unknown method", `{"jsonrpc":"2.0","id":5,"method":"no/such"}`, -32601, "5"},
		{"params of a wrong type", `{"jsonrpc":"2.0","id":6,"method":"tools/call","params":[1]}`, -32602, "6"},
		{"no params", `{"jsonrpc":"2.0","id":6,"method":"tools/call"}`, -32602, "6"},
		{"name of a wrong type", `{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":7}}`, -32602, "6"},
		{"_meta of a wrong type", `{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"echo","_meta":[]}}`, -32602, "6"},
		{"unknown policy of the caller", `{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"echo","_meta":{"nsenter-mcp/narrowing":{"no_exec":true}}}}`, -32602, "6"},
		{"list with params of a wrong type", `{"jsonrpc":"2.0","id":6,"method":"tools/list","params":[1]}`, -32602, "6"},
		{"cursor of a wrong type", `{"jsonrpc":"2.0","id":6,"method":"tools/list","params":{"cursor":7}}`, -32602, "6"},
		{"unknown cursor", `{"jsonrpc":"2.0","id":6,"method":"tools/list","params":{"cursor":"ZWNobw=="}}`, -32602, "6"},
		{"cursor that is no base64", `{"jsonrpc":"2.0","id":6,"method":"tools/list","params":{"cursor":"!"}}`, -32602, "6"},
		{"initialize with params of a wrong type", `{"jsonrpc":"2.0","id":6,"method":"initialize","params":[1]}`, -32602, "6"},
		{"method and result", `{"jsonrpc":"2.0","id":6,"method":"ping","result":{}}`, -32600, "6"},
		{"initialize and result", `{"jsonrpc":"2.0","id":6,"method":"initialize","result":{}}`, -32600, "6"},
		{"method and error", `{"jsonrpc":"2.0","id":6,"method":"tools/list","error":{"code":1,"message":"x"}}`, -32600, "6"},
		{"too long", `{"jsonrpc":"2.0","method":"tools/call","params":{"name":"echo","id":9,"arguments":{"tag":"` + long + `"}},"id":8}`, -32600, "8"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := serve(t, &fakeDispatcher{}, nil)
			p.write(" \r\n" + c.line + "\n")
			r := p.next()
			if r.Error == nil || r.Error.Code != c.code || string(r.ID) != c.id {
				t.Errorf("id %s, error %+v", r.ID, r.Error)
			} else if strings.Contains(r.Error.Message, "json: cannot") || strings.Contains(r.Error.Message, "base64") {
				t.Errorf("Go's own words: %s", r.Error.Message)
			}
			p.write(callLine("99", "echo", "{}"))
			if r := p.next(); string(r.ID) != "99" || r.Error != nil {
				t.Errorf("the next call: %+v", r)
			}
		})
	}
}

func TestResponsesAndNotificationsGetNoAnswer(t *testing.T) {
	t.Parallel()
	p := serve(t, &fakeDispatcher{}, nil)
	p.write(`{"jsonrpc":"2.0","id":1,"result":{}}` + "\n")
	p.write(`{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}` + "\n")
	p.write(`{"jsonrpc":"2.0","method":"notifications/initialized"}` + "\n")
	p.write(`{"jsonrpc":"2.0","method":"no/such"}` + "\n")
	p.write(`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"panic"}}` + "\n")
	p.write(`{"jsonrpc":"2.0","method":"tools/call","params":[1]}` + "\n")
	p.write(`{"jsonrpc":"2.0","id":2,"method":"ping"}` + "\n")
	if r := p.next(); string(r.ID) != "2" {
		t.Errorf("got %+v", r)
	}
}

func TestIDsAreEchoedByteForByte(t *testing.T) {
	t.Parallel()
	p := serve(t, &fakeDispatcher{}, nil)
	for _, id := range []string{`0`, `-1`, `9007199254740993`, `1.50`, `"a b"`, `"\u00e9<"`, `""`} {
		for _, method := range []string{"ping", "tools/list", "no/such"} {
			p.write(fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"method":%q}`+"\n", id, method))
			got := p.next().ID
			if idKey(got) != idKey([]byte(id)) {
				t.Errorf("%s: got id %s, want %s", method, got, id)
			}
		}
	}
}

func TestProgressComesBeforeTheResult(t *testing.T) {
	t.Parallel()
	p := serve(t, &fakeDispatcher{}, nil)
	p.write(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}` + "\n")
	if r := p.next(); r.Result.ProtocolVersion != "2025-06-18" {
		t.Fatalf("initialize: %+v", r)
	}
	for i := range 200 {
		p.write(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"progress","arguments":{"tag":"x"},"_meta":{"progressToken":"x"}}}` + "\n")
		for n := range 5 {
			if r := p.next(); r.Method != "notifications/progress" {
				t.Fatalf("call %d, message %d: %+v", i, n, r)
			}
		}
		if r := p.next(); string(r.ID) != "1" {
			t.Fatalf("call %d: %+v", i, r)
		}
	}
}

func TestBrokenOutputEndsTheServer(t *testing.T) {
	t.Parallel()
	in, w := io.Pipe()
	t.Cleanup(func() { _ = w.Close() })
	s := newFakeServer(t, &fakeDispatcher{})
	ended := make(chan error, 1)
	go func() { ended <- s.ServeStdio(context.Background(), in, failingWriter{}) }()
	if _, err := io.WriteString(w, callLine("1", "echo", "{}")); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, "the end of ServeStdio", ended); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("got %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestFailingInputIsAnError(t *testing.T) {
	t.Parallel()
	s := newFakeServer(t, &fakeDispatcher{})
	err := s.ServeStdio(context.Background(), iotestErrReader{}, io.Discard)
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v", err)
	}
}

type iotestErrReader struct{}

func (iotestErrReader) Read([]byte) (int, error) { return 0, syscall.EIO }

// A client that does not read must not keep the server from ending.
func TestTerminationWithBlockedOutput(t *testing.T) {
	t.Parallel()
	in, inWrite := io.Pipe()
	outRead, out := io.Pipe() // nobody reads
	t.Cleanup(func() { _ = inWrite.Close(); _ = outRead.Close() })
	ctx, cancel := context.WithCancel(context.Background())
	l := stdioLimits
	l.flush = 50 * time.Millisecond
	s := newFakeServer(t, &fakeDispatcher{})
	ended := make(chan error, 1)
	go func() { ended <- s.serveStdio(ctx, in, out, l) }()
	for i := range 3 {
		if _, err := io.WriteString(inWrite, callLine(fmt.Sprint(i), "echo", "{}")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(inWrite, `{"jsonrpc":"2.0","id":3,"method":"ping"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := receive(t, "the end of ServeStdio", ended); err != nil {
		t.Error(err)
	}
}

// Too many unanswered requests hold the client back; they neither fail nor
// keep the server from ending.
func TestFullServerStopsReading(t *testing.T) {
	t.Parallel()
	d := &fakeDispatcher{started: make(chan string, 2)}
	p := serve(t, d, func(l *limits) { l.calls, l.bytes = 2, 2*(minHeld+1000) })
	p.call("1", "hang", `{}`)
	p.call("2", "hang", `{}`)
	awaitStart(t, d)
	awaitStart(t, d)
	p.call("3", "echo", `{}`) // read, and then nothing more is
	blocked := make(chan error, 1)
	go func() {
		_, err := io.WriteString(p.in, strings.Repeat(callLine("4", "echo", `{}`), 10_000))
		blocked <- err
	}()
	p.cancel()
	if err := p.end(); err != nil {
		t.Error(err)
	}
	if all := p.rest(); len(all) != 2 {
		t.Errorf("%d answers", len(all))
	}
	_ = p.in.Close()
	if <-blocked == nil {
		t.Error("everything was read")
	}
}

func TestManyCallsWrittenAtOnceLeaveNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("counts goroutines and time; the race detector changes both")
	}
	const calls = 5000
	p := serve(t, &fakeDispatcher{}, nil)
	p.call("-1", "echo", "{}")
	p.next()
	before := runtime.NumGoroutine()
	go func() {
		var all strings.Builder
		for i := range calls {
			all.WriteString(callLine(fmt.Sprint(i), "echo", `{"tag":"x"}`))
		}
		_, _ = io.WriteString(p.in, all.String())
	}()
	for range calls {
		if r := p.next(); r.Error != nil || r.Result.IsError {
			t.Fatalf("%+v", r)
		}
	}
	deadline := time.Now().Add(testTimeout)
	for runtime.NumGoroutine() > before {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}
