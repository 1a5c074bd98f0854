package forward

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
)

// patience is how long a test waits for what must happen.
const patience = 30 * time.Second

// bench is a Forwarder whose command is this test binary.
type bench struct {
	*Forwarder
	t   testing.TB
	dir string // where the command leaves notes
}

// start makes a Forwarder whose command does what.
func start(t testing.TB, what string, change func(*limits)) *bench {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	template, err := ParseTemplate(fmt.Sprintf("'%s' %s '%s' {node}", self, what, dir))
	if err != nil {
		t.Fatal(err)
	}
	f := New(Config{Template: template, Version: "1"})
	f.limits.start = patience
	if change != nil {
		change(&f.limits)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &bench{f, t, dir}
}

// ask makes a call and returns its answer.
func (b *bench) ask(node, tool, arguments string) (*dispatch.Envelope, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	return b.Forward(ctx, dispatch.Forwarded{Node: node, Tool: tool, Arguments: given(arguments)})
}

// given are arguments that say nothing of time.
func given(text string) func() (json.RawMessage, error) {
	return func() (json.RawMessage, error) { return json.RawMessage(text), nil }
}

// echo asks for what the other server sees.
func (b *bench) echo(node string) echoed {
	b.t.Helper()
	answer, err := b.ask(node, "echo", `{"pod":"web"}`)
	if err != nil {
		b.t.Fatal(err)
	}
	var seen echoed
	if err := json.Unmarshal(answer.Data.(json.RawMessage), &seen); err != nil {
		b.t.Fatal(err)
	}
	return seen
}

// fail makes a call that must be this error.
func (b *bench) fail(code, node, tool string) *dispatch.NodeError {
	b.t.Helper()
	answer, err := b.ask(node, tool, `{}`)
	var away *dispatch.NodeError
	if !errors.As(err, &away) {
		b.t.Fatalf("%s on %s: %+v, %v; want %s", tool, node, answer, err, code)
	}
	if away.Code != code || away.Node != node || away.Hint == "" {
		b.t.Fatalf("%s on %s: %+v, want %s", tool, node, *away, code)
	}
	return away
}

// notes are the lines that the command has left in a file.
func (b *bench) notes(name string) []string {
	text, _ := os.ReadFile(filepath.Join(b.dir, name))
	return strings.Fields(string(text))
}

// await polls for what no event announces.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func TestAnswerComesAsItIs(t *testing.T) {
	t.Parallel()
	b := start(t, "greet", nil)
	answer, err := b.ask("node-7", "echo", `{"pod":"web","expect":9223372036854775809}`)
	if err != nil {
		t.Fatal(err)
	}
	var seen echoed
	if err := json.Unmarshal(answer.Data.(json.RawMessage), &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Node != "node-7" || string(seen.Arguments) != `{"expect":9223372036854775809,"pod":"web"}` &&
		string(seen.Arguments) != `{"pod":"web","expect":9223372036854775809}` {
		t.Errorf("the other end saw %+v", seen)
	}
	if !seen.Forwarded {
		t.Error("the call is not marked as forwarded")
	}
	if answer.Target.NetnsCookie != 1<<63+1 || fmt.Sprint(answer.Next[0].Arguments["expect"]) != "9223372036854775809" {
		t.Errorf("a cookie has changed on the way: %+v %+v", answer.Target, answer.Next)
	}
}

func TestErrorsOfTheOtherServerAreAnswers(t *testing.T) {
	t.Parallel()
	b := start(t, "other-version", nil)
	for tool, code := range map[string]string{"fail": dispatch.CodeUnknownArgument, "unheard_of": dispatch.CodeUnknownTool} {
		answer, err := b.ask("a", tool, `{}`)
		if err != nil || answer.Error == nil || answer.Error.Code != code || len(answer.Error.Details.Valid) != 1 {
			t.Errorf("%s: %+v, %v", tool, answer, err)
			continue
		}
		if len(answer.Notes) != 1 || answer.Notes[0].Code != "version_differs" {
			t.Errorf("%s: notes %+v", tool, answer.Notes)
		}
	}
	if e := b.fail(dispatch.CodeNodeLost, "a", "bare"); !strings.Contains(e.Message, "no answer of nsenter-mcp") {
		t.Error(e.Message)
	}
}

func TestCallsShareASession(t *testing.T) {
	t.Parallel()
	b := start(t, "serve", nil)
	const calls = 100
	pids := make(chan int, calls)
	var all sync.WaitGroup
	for range calls {
		all.Go(func() {
			answer, err := b.ask("a", "echo", `{}`)
			if err != nil {
				t.Error(err)
				return
			}
			var seen echoed
			if err := json.Unmarshal(answer.Data.(json.RawMessage), &seen); err != nil {
				t.Error(err)
			}
			pids <- seen.PID
		})
	}
	all.Wait()
	close(pids)
	first := <-pids
	for pid := range pids {
		if pid != first {
			t.Fatalf("answered by pids %d and %d", first, pid)
		}
	}
	if other := b.echo("b"); other.PID == first || other.Node != "b" {
		t.Errorf("another node is %+v", other)
	}
}

func TestCommandsThatLeadNowhere(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, says, hint, said string
	}{
		{"refuse", "ended with exit code 255 before the server answered", "ssh-add", "\x1b[31mme@node: Permission denied"},
		{"chatter", "exit code 3", "by hand", "xxxthe last word"},
		{"end", "ended before the server answered", "by hand", ""},
		{"garbage", "no MCP server: it wrote more than", "by hand", "whatever you ask"},
		{"endless", "a message of more than", "by hand", ""},
		{"another", `"weather", not nsenter-mcp`, "by hand", ""},
		{"hang", "no server that answers in time", "BatchMode", ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			b := start(t, c.what, func(l *limits) {
				l.backoff = time.Hour
				if c.what == "hang" {
					l.start = 100 * time.Millisecond
				}
			})
			e := b.fail(dispatch.CodeNodeUnreachable, "a", "echo")
			if !strings.Contains(e.Message, c.says) || !strings.Contains(e.Hint, c.hint) || !strings.Contains(e.Said, c.said) {
				t.Errorf("%q\nhint %q\nsaid %q", e.Message, e.Hint, e.Said)
			}
			if len(e.Said) > maxSaid {
				t.Errorf("%d bytes are quoted", len(e.Said))
			}
			b.fail(dispatch.CodeNodeUnreachable, "a", "echo")
			pids := b.notes("started")
			if c.what != "hang" && len(pids) != 1 {
				t.Errorf("started %d times although it had just failed", len(pids))
			}
			for _, text := range pids {
				pid, err := strconv.Atoi(text)
				if err != nil || !gone(pid) {
					t.Errorf("process %s is left (%v)", text, err)
				}
			}
		})
	}
}

func TestCommandThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	template, err := ParseTemplate("no-such-command {node}")
	if err != nil {
		t.Fatal(err)
	}
	f := New(Config{Template: template})
	t.Cleanup(func() { _ = f.Close() })
	b := &bench{f, t, ""}
	if e := b.fail(dispatch.CodeNodeUnreachable, "a", "echo"); !strings.Contains(e.Hint, "install it") {
		t.Errorf("%+v", *e)
	}
}

func TestNodeThatFailedIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := start(t, "end", func(l *limits) { l.backoff = 0 })
	b.fail(dispatch.CodeNodeUnreachable, "a", "echo")
	b.fail(dispatch.CodeNodeUnreachable, "a", "echo")
	if n := len(b.notes("started")); n != 2 {
		t.Errorf("started %d times, want 2", n)
	}
}

// A caller in a hurry must not have a command started for every name that it makes
// up.
func TestCommandsUnderWayAreBounded(t *testing.T) {
	t.Parallel()
	b := start(t, "hang", func(l *limits) { l.sessions = 2 })
	hurry := func(node string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := b.Forward(ctx, dispatch.Forwarded{Node: node, Tool: "echo", Arguments: given(`{}`)})
		var away *dispatch.NodeError
		if !errors.As(err, &away) {
			t.Fatalf("%s: %v", node, err)
		}
		return away.Code
	}
	for i, want := range []string{dispatch.CodeTimeout, dispatch.CodeTimeout, dispatch.CodeBusy, dispatch.CodeBusy} {
		if code := hurry(fmt.Sprintf("node-%d", i)); code != want {
			t.Errorf("node-%d: %s, want %s", i, code, want)
		}
	}
}

func TestDeathDuringACall(t *testing.T) {
	t.Parallel()
	b := start(t, "serve", nil)
	before := b.echo("a")
	e := b.fail(dispatch.CodeNodeLost, "a", "die")
	if !strings.Contains(e.Message, "exit code 7") || e.Said != "out of memory" {
		t.Errorf("%+v", *e)
	}
	if after := b.echo("a"); after.PID == before.PID {
		t.Error("the same process answers")
	}
}

func TestKillDuringACall(t *testing.T) {
	t.Parallel()
	b := start(t, "serve", nil)
	pid := b.echo("a").PID
	lost := make(chan error, 1)
	go func() {
		_, err := b.ask("a", "wait", `{}`)
		lost <- err
	}()
	await(t, "the call has arrived", func() bool { return len(b.notes("waiting")) == 1 })
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var away *dispatch.NodeError
	if err := <-lost; !errors.As(err, &away) || away.Code != dispatch.CodeNodeLost || !strings.Contains(away.Message, "killed") {
		t.Errorf("%v", err)
	}
	b.echo("a")
}

func TestAnswerThatIsTooLong(t *testing.T) {
	t.Parallel()
	b := start(t, "serve", nil)
	if e := b.fail(dispatch.CodeNodeLost, "a", "large"); !strings.Contains(e.Message, "a message of more than") {
		t.Errorf("%+v", *e)
	}
	b.echo("a")
}

func TestCancelReachesTheNode(t *testing.T) {
	t.Parallel()
	b := start(t, "serve", nil)
	pid := b.echo("a").PID
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.Forward(ctx, dispatch.Forwarded{Node: "a", Tool: "wait", Arguments: given(`{}`)})
		done <- err
	}()
	await(t, "the call has arrived", func() bool { return len(b.notes("waiting")) == 1 })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	await(t, "the other end gives up too", func() bool { return len(b.notes("cancelled")) == 1 })
	if again := b.echo("a").PID; again != pid {
		t.Error("a cancelled call has ended the session")
	}
}

func TestTimeIsUp(t *testing.T) {
	t.Parallel()
	b := start(t, "serve", func(l *limits) { l.silence = 0 })
	pid := b.echo("a").PID
	slow := func() *dispatch.NodeError {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := b.Forward(ctx, dispatch.Forwarded{Node: "a", Tool: "wait", Arguments: given(`{}`)})
		var away *dispatch.NodeError
		if !errors.As(err, &away) || away.Code != dispatch.CodeTimeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v", err)
		}
		return away
	}
	// As a node whose power is gone: nothing is refused, nothing answers.
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if e := slow(); !strings.Contains(e.Message, "given up") {
		t.Errorf("%+v", *e)
	}
	if again := b.echo("a").PID; again == pid {
		t.Error("the session of a node that is silent is still used")
	}
	await(t, "the stopped process is gone", func() bool { return gone(pid) })
}

func TestTimeIsUpBeforeTheConnection(t *testing.T) {
	t.Parallel()
	b := start(t, "hang", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := b.Forward(ctx, dispatch.Forwarded{Node: "a", Tool: "echo", Arguments: given(`{}`)})
	var away *dispatch.NodeError
	if !errors.As(err, &away) || away.Code != dispatch.CodeTimeout || !strings.Contains(away.Hint, "goes on") {
		t.Errorf("%v", err)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	b := start(t, "serve", nil)
	reports := make(chan dispatch.Progress, 10)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := b.Forward(ctx, dispatch.Forwarded{
		Node: "a", Tool: "report", Arguments: given(`{}`), Progress: func(p dispatch.Progress) { reports <- p },
	})
	if err != nil {
		t.Fatal(err)
	}
	close(reports)
	var got []dispatch.Progress
	for p := range reports {
		got = append(got, p)
	}
	want := []dispatch.Progress{{Message: "connecting to node a"}}
	for i := range 3 {
		want = append(want, dispatch.Progress{Done: float64(i + 1), Total: 3, Message: "step"})
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestIdleSessionsEnd(t *testing.T) {
	t.Parallel()
	b := start(t, "serve", func(l *limits) { l.idle = 20 * time.Millisecond })
	pid := b.echo("a").PID
	await(t, "the process has ended", func() bool { return gone(pid) })
	b.echo("a")
}

func TestOldestSessionMakesRoom(t *testing.T) {
	t.Parallel()
	b := start(t, "serve", func(l *limits) { l.sessions = 2 })
	first, second := b.echo("a").PID, b.echo("b").PID
	b.echo("a")
	b.echo("c")
	await(t, "b's process has ended", func() bool { return gone(second) })
	if b.echo("a").PID != first {
		t.Error("the session that was used last has ended")
	}

	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	for _, node := range []string{"a", "c"} {
		waiting.Go(func() {
			_, _ = b.Forward(ctx, dispatch.Forwarded{Node: node, Tool: "wait", Arguments: given(`{}`)})
		})
	}
	await(t, "both are busy", func() bool { return len(b.notes("waiting")) == 2 })
	b.fail(dispatch.CodeBusy, "d", "echo")
	cancel()
	waiting.Wait()
	b.echo("d")
}

// TestNothingIsLeft runs alone, as it counts what the process has open.
func TestNothingIsLeft(t *testing.T) {
	count := func() (fds, goroutines int) {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list), runtime.NumGoroutine()
	}
	warm := start(t, "serve", nil) // what the runtime opens once for all
	warm.echo("a")
	_ = warm.Close()
	fds, goroutines := count()
	var pids []int
	for _, what := range []string{"serve", "stubborn", "hang", "garbage"} {
		b := start(t, what, func(l *limits) {
			l.patience = 20 * time.Millisecond
			if what == "hang" {
				l.start = 50 * time.Millisecond
			}
		})
		for _, node := range []string{"a", "b"} {
			for _, tool := range []string{"echo", "die", "echo"} {
				_, _ = b.ask(node, tool, `{}`)
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if n := len(b.notes("started")); what == "stubborn" && n != 8 { // two nodes, again after die, with a child each
			t.Errorf("%d processes were started, want 8", n)
		}
		for _, text := range b.notes("started") {
			pid, err := strconv.Atoi(text)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	// A child of a child is collected by whoever adopts it, a moment later.
	for _, pid := range pids {
		await(t, fmt.Sprintf("process %d is gone", pid), func() bool { return gone(pid) || zombie(pid) })
	}
	await(t, fmt.Sprintf("%d files are open and %d goroutines run as before", fds, goroutines), func() bool {
		f, g := count()
		return f <= fds && g <= goroutines
	})
}

// zombie reports whether a process has ended and nobody has collected it.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return err == nil && bytes.HasPrefix(rest, []byte("Z"))
}

func TestEndingFailsTheCalls(t *testing.T) {
	t.Parallel()
	b := start(t, "serve", nil)
	b.echo("a")
	lost := make(chan error, 1)
	go func() {
		_, err := b.ask("a", "wait", `{}`)
		lost <- err
	}()
	await(t, "the call has arrived", func() bool { return len(b.notes("waiting")) == 1 })
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	var away *dispatch.NodeError
	if err := <-lost; !errors.As(err, &away) || !strings.Contains(away.Message, "is ending") {
		t.Errorf("%v", err)
	}
	b.fail(dispatch.CodeNodeUnreachable, "a", "echo")
}

func TestBadNodeIsNeverInACommand(t *testing.T) {
	t.Parallel()
	b := start(t, "serve", nil)
	b.fail(dispatch.CodeNodeUnreachable, "-oProxyCommand=x", "echo")
	if started := b.notes("started"); len(started) != 0 {
		t.Error("it was started")
	}
}

// What this server's policy takes away goes along, and never to a server that would
// not heed it.
func TestNarrowingTravels(t *testing.T) {
	t.Parallel()
	narrow := &dispatch.Narrowing{NoHostNetwork: true, Deny: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Only: []netip.Prefix{}}
	ask := func(b *bench, n *dispatch.Narrowing) (*dispatch.Envelope, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return b.Forward(ctx, dispatch.Forwarded{Node: "a", Tool: "echo", Arguments: given(`{}`), Narrowing: n})
	}
	b := start(t, "serve", nil)
	answer, err := ask(b, narrow)
	if err != nil {
		t.Fatal(err)
	}
	var seen echoed
	if err := json.Unmarshal(answer.Data.(json.RawMessage), &seen); err != nil {
		t.Fatal(err)
	}
	if n := seen.Narrowing; n == nil || !n.NoHostNetwork || len(n.Deny) != 1 || n.Only == nil || !seen.Forwarded {
		t.Errorf("the other server saw %+v", n)
	}
	older := start(t, "older", nil)
	var away *dispatch.NodeError
	if _, err := ask(older, narrow); !errors.As(err, &away) || away.Code != dispatch.CodeNodeTooOld || !strings.Contains(away.Hint, `"0"`) {
		t.Errorf("got %v", err)
	}
}
