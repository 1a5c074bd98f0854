package tools

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

type echoIn struct {
	dispatch.TargetArgs
	Mode string `json:"mode,omitempty"`
}

type echoOut struct {
	Text string   `json:"text"`
	Rows []string `json:"rows"`
}

// echoTool is a tool whose handler does what a test tells it.
func echoTool(spec dispatch.Spec, handle dispatch.Handler[echoIn, echoOut]) dispatch.Tool {
	spec.Title, spec.Description, spec.Purpose = "Echo", "Answers.", "an answer"
	if spec.Toolset == "" {
		spec.Toolset = dispatch.Inspect
	}
	return dispatch.Define(dispatch.Name[echoIn](cmp.Or(spec.Name, "echo")), spec, handle)
}

func withTools(tools ...dispatch.Tool) func(*dispatch.Config) {
	return func(c *dispatch.Config) { c.Tools = append(c.Tools, tools...) }
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, withTools(
		dispatch.Define("dangerous", dispatch.Spec{Title: "T", Description: "D", Purpose: "P", Toolset: dispatch.Exec},
			func(context.Context, *dispatch.Env, *resolve.Target, echoIn) (dispatch.Answer[echoOut], error) {
				return dispatch.Answer[echoOut]{}, errors.New("must not run")
			})))
	b.lab.Pods(t,
		lab.PodSpec{Name: "web-10", Namespace: "shop", Containers: []lab.ContainerSpec{{}}},
		lab.PodSpec{Name: "api-1", Namespace: "shop"}, lab.PodSpec{Name: "api-2", Namespace: "shop"})
	const ipAddr = "netns_ip_addr"
	tests := []struct {
		name      string
		tool      string
		arguments map[string]any
		code      string
		says      string // in message or hint
	}{
		{"unknown tool", "netns_ipaddr", nil, dispatch.CodeUnknownTool, "did you mean netns_ip_addr?"},
		{"a tool of no likely name", "rm -rf /", nil, dispatch.CodeUnknownTool, "valid: resolve_pod_pid"},
		{"disabled tool", "dangerous", nil, dispatch.CodeToolDisabled, "toolset exec"},
		{"unknown argument", ipAddr, map[string]any{"pod": "web-10", "namepsace": "shop"}, dispatch.CodeUnknownArgument, "did you mean namespace?"},
		{"no target", ipAddr, nil, string(resolve.KindBadQuery), "pod"},
		{"two targets", ipAddr, map[string]any{"pid": 1, "netns": "host"}, string(resolve.KindBadQuery), "pid"},
		{"pid 0", ipAddr, map[string]any{"pid": 0}, string(resolve.KindPIDZero), ""},
		{"pid -1", ipAddr, map[string]any{"pid": -1}, string(resolve.KindPIDNegative), ""},
		{"pid 2^31", ipAddr, map[string]any{"pid": 1 << 31}, string(resolve.KindPIDTooLarge), ""},
		{"an ambiguous prefix", ipAddr, map[string]any{"pod": "api"}, string(resolve.KindAmbiguous), ""},
		{"a prefix that ends inside a word", ipAddr, map[string]any{"pod": "web-1"}, string(resolve.KindNotFound), "web-10"},
		{"no such container", ipAddr, map[string]any{"pod": "web-10", "container": "ap"}, string(resolve.KindNotFound), "app"},
		{"a netns out of its folder", ipAddr, map[string]any{"netns": "../../etc/passwd"}, string(resolve.KindBadQuery), ""},
		{"control characters", ipAddr, map[string]any{"pod": "web\x1b[31m"}, string(resolve.KindBadQuery), ""},
		{"10 kB", ipAddr, map[string]any{"pod": strings.Repeat("x", 10_000)}, string(resolve.KindBadQuery), ""},
		{"too long a time", ipAddr, map[string]any{"netns": "host", "timeout_ms": 60_000}, dispatch.CodeInvalidArguments, "between 1 and 50000"},
		{"another network than before", ipAddr, map[string]any{"netns": "host", "expect": 1}, dispatch.CodeTargetChanged, "without expect"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := fail(t, b, test.code, test.tool, test.arguments)
			said := got.Message + " " + got.Hint + " " + strings.Join(got.Details.NearMisses, " ")
			if !strings.Contains(said, test.says) {
				t.Errorf("said %q, want %q in it", said, test.says)
			}
			if len(said) > 2000 || strings.ContainsAny(said, "\x1b\x00") {
				t.Errorf("not fit to be shown: %q", said)
			}
		})
	}
}

func TestPanicIsAnErrorOfItsCall(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, withTools(echoTool(dispatch.Spec{TargetOptional: true},
		func(context.Context, *dispatch.Env, *resolve.Target, echoIn) (dispatch.Answer[echoOut], error) {
			panic("boom")
		})))
	if e := fail(t, b, dispatch.CodeInternal, "echo", nil); strings.Contains(e.Message, "boom") {
		t.Errorf("the panic's text is shown: %s", e.Message)
	}
	succeed[map[string]any](t, b, "netns_ip_addr", map[string]any{"netns": "host"})
}

func TestKernelThread(t *testing.T) {
	t.Parallel()
	if comm, _ := os.ReadFile("/proc/2/comm"); string(comm) != "kthreadd\n" {
		t.Skip("kernel threads are in the machine's first PID namespace, and this is another one")
	}
	b := newTestbench(t, nil)
	if e := fail(t, b, string(resolve.KindKernelThread), "netns_ip_addr", map[string]any{"pid": 2}); !strings.Contains(e.Message+e.Hint, "netns host") {
		t.Errorf("%+v", e)
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, withTools(echoTool(dispatch.Spec{TargetOptional: true},
		func(ctx context.Context, _ *dispatch.Env, _ *resolve.Target, _ echoIn) (dispatch.Answer[echoOut], error) {
			<-ctx.Done()
			return dispatch.Answer[echoOut]{}, ctx.Err()
		})))
	fail(t, b, dispatch.CodeTimeout, "echo", map[string]any{"timeout_ms": 20})

	t.Run("counts from the receipt", func(t *testing.T) {
		answer := b.Call(t.Context(), dispatch.Call{
			Tool: "echo", Arguments: json.RawMessage(`{"timeout_ms":1000}`), Received: time.Now().Add(-time.Minute),
		})
		if answer.Error == nil || answer.Error.Code != dispatch.CodeBusy {
			t.Errorf("got %+v, want %s", answer.Error, dispatch.CodeBusy)
		}
	})
	t.Run("a probe that begins too late sends nothing", func(t *testing.T) {
		for _, sends := range []bool{false, true} {
			var called bool
			b := newTestbench(t, withTools(echoTool(dispatch.Spec{TargetOptional: true, SendsPackets: sends},
				func(context.Context, *dispatch.Env, *resolve.Target, echoIn) (dispatch.Answer[echoOut], error) {
					called = true
					return dispatch.Answer[echoOut]{}, nil
				})))
			for waited, begins := range map[time.Duration]bool{0: true, 30 * time.Second: true, 46 * time.Second: !sends} {
				called = false
				answer := b.Call(t.Context(), dispatch.Call{Tool: "echo", Arguments: json.RawMessage(`{"timeout_ms":50000}`), Received: time.Now().Add(-waited)})
				busy := answer.Error != nil && answer.Error.Code == dispatch.CodeBusy
				if called != begins || busy == begins {
					t.Errorf("sends %v, waited %s: called %v, %+v", sends, waited, called, answer.Error)
				}
			}
		}
	})
	t.Run("ends when the caller gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		answer := b.Call(ctx, dispatch.Call{Tool: "echo"})
		if answer.Error == nil || answer.Error.Code != dispatch.CodeCanceled {
			t.Errorf("got %+v, want %s", answer.Error, dispatch.CodeCanceled)
		}
	})
}

func TestAnswerIsBoundedAndWhole(t *testing.T) {
	t.Parallel()
	next := func(pid int) dispatch.Next {
		return dispatch.Next{Tool: "netns_ip_addr", Arguments: map[string]any{"pid": pid}, Why: "look"}
	}
	b := newTestbench(t, withTools(echoTool(dispatch.Spec{TargetOptional: true, MaxBytes: 1000},
		func(_ context.Context, _ *dispatch.Env, _ *resolve.Target, in echoIn) (dispatch.Answer[echoOut], error) {
			a := dispatch.Answer[echoOut]{Summary: "done.", Data: echoOut{Text: "<&>", Rows: []string{}}}
			switch in.Mode {
			case "large":
				a.Data.Text = strings.Repeat("x", 1000)
			case "many":
				a.Findings = make([]fact.Finding, 5)
				a.Next = []dispatch.Next{next(1), {Tool: "not_enabled", Why: "no"}, next(1), next(2), next(2), next(3), next(4)}
			}
			return a, nil
		}), echoTool(dispatch.Spec{Name: "not_enabled", Toolset: dispatch.Exec}, nil)))
	fail(t, b, dispatch.CodeTooLarge, "echo", map[string]any{"mode": "large"})

	answer, _ := succeed[echoOut](t, b, "echo", map[string]any{"mode": "many"})
	if len(answer.Findings) != 3 || len(answer.Next) != 3 {
		t.Errorf("%d findings and %d next steps, want 3 and 3", len(answer.Findings), len(answer.Next))
	}
	if slices.ContainsFunc(answer.Next, func(n dispatch.Next) bool { return n.Tool == "not_enabled" }) ||
		answer.Next[2].Arguments["pid"] != 3 {
		t.Error("a step is proposed that the caller may not take, or one twice")
	}
	answer, _ = succeed[echoOut](t, b, "echo", nil)
	if got := string(answer.Data.(json.RawMessage)); got != `{"text":"<&>","rows":[]}` {
		t.Errorf("data is %s", got)
	}
	if answer.Findings == nil || answer.Notes == nil || answer.Next == nil {
		t.Errorf("a list is null: %+v", answer)
	}
}

func TestAuthorizeSeesTheTarget(t *testing.T) {
	t.Parallel()
	denied := errors.New("no")
	var seen string
	b := newTestbench(t, func(c *dispatch.Config) {
		c.Authorize = func(_ context.Context, caller string, tool dispatch.Spec, target *resolve.Target) error {
			seen = caller + " " + tool.Name + " " + target.Workload.Pod
			return &dispatch.Error{Code: "denied", Message: denied.Error(), Hint: "ask"}
		}
	})
	b.lab.Pod(t, lab.PodSpec{Name: "web", Namespace: "shop"})
	fail(t, b, "denied", "netns_ip_addr", map[string]any{"pod": "web"})
	if seen != "test netns_ip_addr web" {
		t.Errorf("Authorize saw %q", seen)
	}
}

func TestEveryCallIsAudited(t *testing.T) {
	t.Parallel()
	b := newTestbench(t, nil)
	b.lab.Pod(t, lab.PodSpec{Name: "web", Namespace: "shop"})
	b.call(t, "netns_ip_addr", map[string]any{"pod": "web"})
	b.call(t, "netns_ip_addr", map[string]any{"pdo": "web"})
	b.call(t, "nonsense", nil)
	records := b.audited()
	if len(records) != 3 {
		t.Fatalf("%d records, want 3", len(records))
	}
	if r := records[0]; r.Code != "" || r.Caller != "test" || r.Target == nil || r.Target.Pod != "web" || r.Arguments == "" {
		t.Errorf("a success is recorded as %+v", r)
	}
	for i, code := range []string{"", dispatch.CodeUnknownArgument, dispatch.CodeUnknownTool} {
		if records[i].Code != code {
			t.Errorf("record %d has code %q, want %q", i, records[i].Code, code)
		}
	}
}

func TestNewDispatcherRefusesBadDeclarations(t *testing.T) {
	t.Parallel()
	nothing := func(context.Context, *dispatch.Env, *resolve.Target, echoIn) (dispatch.Answer[echoOut], error) {
		return dispatch.Answer[echoOut]{}, nil
	}
	type anything struct {
		Value any `json:"value"`
	}
	tests := map[string][]dispatch.Tool{
		"no description": {dispatch.Define("x", dispatch.Spec{Title: "X", Toolset: dispatch.Inspect}, nothing)},
		"twice":          {echoTool(dispatch.Spec{}, nothing), echoTool(dispatch.Spec{}, nothing)},
		"too slow":       {echoTool(dispatch.Spec{Deadline: time.Minute}, nothing)},
		"no schema": {dispatch.Define("x", dispatch.Spec{Title: "X", Description: "D", Purpose: "P", Toolset: dispatch.Inspect},
			func(context.Context, *dispatch.Env, *resolve.Target, echoIn) (dispatch.Answer[anything], error) {
				return dispatch.Answer[anything]{}, nil
			})},
	}
	for name, list := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := dispatch.NewDispatcher(dispatch.Config{Tools: list, Policy: dispatch.DefaultPolicy()}); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestTargetIsClosedAfterTheCall(t *testing.T) {
	t.Parallel()
	var kept *resolve.Target
	b := newTestbench(t, withTools(echoTool(dispatch.Spec{},
		func(_ context.Context, _ *dispatch.Env, target *resolve.Target, _ echoIn) (dispatch.Answer[echoOut], error) {
			kept = target
			return dispatch.Answer[echoOut]{Summary: "done.", Data: echoOut{Rows: []string{}}}, nil
		})))
	p := b.lab.Pod(t, lab.PodSpec{Name: "web", Namespace: "shop"})
	answer, _ := succeed[echoOut](t, b, "echo", map[string]any{"pod": "web"})
	if got := answer.Target; got.PID != p.PID || got.NetnsInode != p.Handle.Identity().Inode || got.Namespace != "shop" {
		t.Errorf("target is %+v, the pod has pid %d and %s", got, p.PID, p.Handle.Identity())
	}
	if err := kept.Net.Do(func() error { return nil }); err == nil {
		t.Error("the target is still open after its call")
	}
}
