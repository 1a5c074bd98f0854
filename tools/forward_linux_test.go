package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"nsenter-mcp/internal/dispatch"
	"nsenter-mcp/internal/lab"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

// fakeForwarder stands for another node's server; the real one is tested in
// internal/forward and with the whole program.
type fakeForwarder struct {
	answer  func() (*dispatch.Envelope, error)
	connect func() // takes the time that the way there takes; nil takes none

	mu    sync.Mutex
	calls []sent
}

// sent is a call as it left.
type sent struct {
	dispatch.Forwarded
	Arguments json.RawMessage
}

func (f *fakeForwarder) Forward(_ context.Context, c dispatch.Forwarded) (*dispatch.Envelope, error) {
	if f.connect != nil {
		f.connect()
	}
	arguments, err := c.Arguments()
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, sent{c, arguments})
	return f.answer()
}

// last is the call that came last, with its arguments decoded.
func (f *fakeForwarder) last(t *testing.T) (sent, map[string]any) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.calls) == 0 {
		t.Fatal("nothing was forwarded")
	}
	c := f.calls[len(f.calls)-1]
	var arguments map[string]any
	if err := json.Unmarshal(c.Arguments, &arguments); err != nil {
		t.Fatal(err)
	}
	return c, arguments
}

func (f *fakeForwarder) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.calls)
}

// answerThere is what the other server answers.
func answerThere() (*dispatch.Envelope, error) {
	return &dispatch.Envelope{
		Summary:  "eth0 10.0.0.1/24 up.",
		Target:   &dispatch.TargetInfo{Pod: "far-0", Namespace: "shop", Via: "sandbox", NetnsInode: 7},
		Data:     json.RawMessage(`{"interfaces":[],"total":0,"returned":0}`),
		Findings: make([]fact.Finding, 5),
		Next: []dispatch.Next{
			{Tool: "netns_curl", Arguments: map[string]any{"pod": "far-0"}, Why: "w"},
			{Tool: "not_enabled", Arguments: map[string]any{"pid": 1}, Why: "w"},
			{Tool: "netns_ip_addr", Arguments: map[string]any{"netns": "host"}, Why: "w"},
		},
	}, nil
}

// clusterOf is an API that knows one pod, on node far.
type clusterOf struct{ w resolve.Workload }

func (clusterOf) Name() string { return "kubernetes" }

func (c clusterOf) Exact(context.Context, resolve.Query) ([]resolve.Workload, error) {
	return []resolve.Workload{c.w}, nil
}

func (c clusterOf) List(context.Context) ([]resolve.Workload, error) {
	return []resolve.Workload{c.w}, nil
}

// newFront is a dispatcher that forwards, on a node called here.
func newFront(t *testing.T, change func(*dispatch.Config)) (*testbench, *fakeForwarder) {
	t.Helper()
	far := &fakeForwarder{answer: answerThere}
	b := newTestbench(t, func(c *dispatch.Config) {
		c.Forwarder = far
		resolver := resolve.New(resolve.Config{
			Home: c.Env.Home, Host: c.Env.Host, Node: "here", AllowHostNetwork: true,
			Cluster: []resolve.Source{clusterOf{resolve.Workload{Pod: "far-0", Namespace: "shop", UID: "u", Node: "far"}}},
		})
		t.Cleanup(resolver.Close)
		c.Env.Resolver = resolver
		if change != nil {
			change(c)
		}
	})
	return b, far
}

func TestForwardingByPod(t *testing.T) {
	t.Parallel()
	b, far := newFront(t, nil)
	before := time.Now()
	answer := b.call(t, "netns_ip_addr", map[string]any{"pod": "far", "expect": uint64(1<<63 + 1), "timeout_ms": 5000})
	if answer.Error != nil {
		t.Fatalf("%+v", *answer.Error)
	}
	c, arguments := far.last(t)
	if c.Node != "far" || c.Tool != "netns_ip_addr" || arguments["pod"] != "far-0" || arguments["namespace"] != "shop" {
		t.Errorf("%+v", c)
	}
	if !strings.Contains(string(c.Arguments), `"expect":9223372036854775809`) {
		t.Errorf("the cookie has changed: %s", c.Arguments)
	}
	// A tenth is kept for the way back, and what has gone by is gone.
	most, least := 4500.0, 4500-float64(time.Since(before).Milliseconds())-1
	if ms, _ := arguments["timeout_ms"].(float64); ms > most || ms < least {
		t.Errorf("timeout_ms is %v, want %v to %v", ms, least, most)
	}
	if answer.Target.Node != "far" || len(answer.Findings) != 3 || len(answer.Notes) != 0 {
		t.Errorf("%+v", answer)
	}
	if len(answer.Next) != 2 || answer.Next[0].Arguments["node"] != nil || answer.Next[1].Arguments["node"] != "far" {
		t.Errorf("next is %+v: a pod is found again, the node's network only by node", answer.Next)
	}
	if r := b.audited(); len(r) != 1 || r[0].Node != "far" || r[0].Target.Pod != "far-0" {
		t.Errorf("audited as %+v", r)
	}
}

// What the other server has measured by its deadline has to be back by that of the
// call, also where most of the time went into the way there.
func TestForwardingCountsTheWayThere(t *testing.T) {
	t.Parallel()
	b, far := newFront(t, nil)
	const way = 300 * time.Millisecond
	far.connect = func() { <-time.After(way) }
	if answer := b.call(t, "netns_ip_addr", map[string]any{"pod": "far", "timeout_ms": 30_000}); answer.Error != nil {
		t.Fatalf("%+v", *answer.Error)
	}
	_, arguments := far.last(t)
	most := float64((30*time.Second - way - time.Second).Milliseconds())
	if ms, _ := arguments["timeout_ms"].(float64); ms < 1 || ms > most {
		t.Errorf("timeout_ms is %v, want at most %v", ms, most)
	}
}

func TestForwardingByNode(t *testing.T) {
	t.Parallel()
	b, far := newFront(t, nil)
	answer := b.call(t, "netns_ip_addr", map[string]any{"node": "worker-2.example", "pid": "12"})
	c, arguments := far.last(t)
	if c.Node != "worker-2.example" || fmt.Sprint(arguments["pid"]) != "12" || arguments["node"] != nil {
		t.Errorf("%+v %v", c, arguments)
	}
	for _, n := range answer.Next {
		if n.Arguments["node"] != "worker-2.example" {
			t.Errorf("a next step leaves the node that was named: %+v", n)
		}
	}
	b.Call(t.Context(), dispatch.Call{Tool: "resolve_pod_pid", Arguments: json.RawMessage(`{"node":"far"}`)})
	if c, _ := far.last(t); c.Tool != "resolve_pod_pid" {
		t.Errorf("what is on a node was not asked there: %+v", c)
	}
	forwarded := far.count()
	if _, data := succeed[map[string]any](t, b, "netns_ip_addr", map[string]any{"node": "here", "netns": "host"}); data["total"] == 0 {
		t.Error("nothing is here")
	}
	for _, node := range []string{"-oProxyCommand=x", "a/b", "A", "a..b", "a-", ".", strings.Repeat("a", 254), "x{node}"} {
		fail(t, b, dispatch.CodeInvalidArguments, "netns_ip_addr", map[string]any{"node": node, "netns": "host"})
	}
	if far.count() != forwarded {
		t.Error("a call was forwarded that should not have been")
	}
}

// newStranger is a front on a machine that is no node, unless name says which.
func newStranger(t *testing.T, name string) (*testbench, *fakeForwarder) {
	return newFront(t, func(c *dispatch.Config) {
		resolver := resolve.New(resolve.Config{
			Home: c.Env.Home, Host: c.Env.Host, AllowHostNetwork: true, Cluster: []resolve.Source{nodeOf{name: name}},
		})
		t.Cleanup(resolver.Close)
		c.Env.Resolver = resolver
	})
}

// The network of a laptop is no answer to who asks for that of a node.
func TestHostOfAFront(t *testing.T) {
	t.Parallel()
	b, far := newStranger(t, "")
	e := fail(t, b, dispatch.CodeInvalidArguments, "netns_ip_addr", map[string]any{"netns": "host"})
	if !strings.Contains(e.Message, "needs node") || !strings.Contains(e.Hint, "list_pods") || far.count() != 0 {
		t.Errorf("%+v", e)
	}
	succeed[map[string]any](t, b, "netns_ip_addr", map[string]any{"netns": "host", "node": "far"})
	if far.count() != 1 {
		t.Error("the call was not forwarded")
	}
	pod := b.lab.Pod(t, lab.PodSpec{})
	answer := b.call(t, "netns_ip_addr", map[string]any{"pid": pod.PID})
	if len(answer.Notes) == 0 || answer.Notes[0].Code != "this_machine" {
		t.Errorf("%+v", answer)
	}
	for _, n := range answer.Next {
		if n.Arguments["netns"] == "host" {
			t.Errorf("leads nowhere: %+v", n)
		}
	}
	e = fail(t, b, string(resolve.KindNotFound), "netns_ip_addr", map[string]any{"netns": "nosuch"})
	if !strings.Contains(e.Hint, "add node") || strings.Contains(e.Message, "this node") {
		t.Errorf("%+v", e)
	}
	b, _ = newStranger(t, "me")
	answer = b.call(t, "netns_ip_addr", map[string]any{"netns": "host"})
	if answer.Error != nil || len(answer.Notes) != 0 {
		t.Errorf("a front on a node: %+v", answer)
	}
	e = fail(t, b, string(resolve.KindNotFound), "netns_ip_addr", map[string]any{"netns": "nosuch"})
	if strings.Contains(e.Hint, "add node") {
		t.Errorf("a front on a node: %+v", e)
	}
}

// What is left of the time goes to the other server, and comes back in no next step.
func TestNextKeepsTheTimeOfTheCaller(t *testing.T) {
	t.Parallel()
	b, far := newFront(t, nil)
	far.answer = func() (*dispatch.Envelope, error) {
		var got map[string]any
		if err := json.Unmarshal(far.calls[len(far.calls)-1].Arguments, &got); err != nil {
			return nil, err
		}
		repeated := func(more map[string]any) dispatch.Next {
			step := dispatch.Next{Tool: "netns_ip_addr", Arguments: map[string]any{"pod": "far-0", "timeout_ms": got["timeout_ms"]}, Why: "w"}
			maps.Copy(step.Arguments, more)
			return step
		}
		answer, err := answerThere()
		answer.Next = []dispatch.Next{
			repeated(nil), repeated(map[string]any{"timeout_ms": 49_999}),
			{Tool: "netns_ip_addr", Arguments: map[string]any{"pod": "far-0", "timeout_ms": got["timeout_ms"]}, Why: "once more"},
			repeated(map[string]any{"details": true}),
		}
		return answer, err
	}
	for given, want := range map[int]string{0: "[<nil> 49999 <nil>]", 5000: "[5000 49999 5000]"} {
		arguments := map[string]any{"pod": "far"}
		if given > 0 {
			arguments["timeout_ms"] = given
		}
		var got []any
		for _, n := range b.call(t, "netns_ip_addr", arguments).Next {
			got = append(got, n.Arguments["timeout_ms"])
		}
		if fmt.Sprint(got) != want {
			t.Errorf("timeout_ms %d: next has %v, want %s", given, got, want)
		}
	}
}

func TestInstructionsOfAFront(t *testing.T) {
	t.Parallel()
	b, _ := newFront(t, nil)
	if text := b.Instructions(); !strings.Contains(text, "any node of the cluster") || !strings.Contains(text, "say node") {
		t.Error(text)
	}
}

func TestWithoutForwarding(t *testing.T) {
	t.Parallel()
	b, _ := newFront(t, func(c *dispatch.Config) { c.Forwarder = nil })
	if e := fail(t, b, string(resolve.KindOtherNode), "netns_ip_addr", map[string]any{"pod": "far-0"}); e.Details.Node != "far" {
		t.Errorf("%+v", e)
	}
	e := fail(t, b, string(resolve.KindOtherNode), "netns_ip_addr", map[string]any{"node": "far", "netns": "host"})
	if e.Details.Node != "far" || !strings.Contains(e.Message, "node here only") || !strings.Contains(e.Hint, "--via") {
		t.Errorf("%+v", e)
	}
}

// nodeOf is an API that also knows which node this machine is.
type nodeOf struct {
	clusterOf
	name string
}

func (n nodeOf) ThisNode(context.Context) (string, error) { return n.name, nil }

func (nodeOf) Owned(context.Context, resolve.Query) ([]resolve.Workload, error) { return nil, nil }

func (nodeOf) Address(context.Context, netip.Addr) (resolve.Address, error) {
	return resolve.Address{}, nil
}

func (nodeOf) Service(context.Context, resolve.ServiceQuery) (*resolve.ServiceState, error) {
	return nil, nil
}

func (nodeOf) HasNode(_ context.Context, node string) (bool, error)     { return node != "nosuch", nil }
func (nodeOf) Kinship(context.Context, string) (resolve.Kinship, error) { return resolve.Stranger, nil }

// The node of an answer may be given back, also where nobody has told the server
// what its own is called.
func TestOwnNodeIsFound(t *testing.T) {
	t.Parallel()
	b, _ := newFront(t, func(c *dispatch.Config) {
		c.Forwarder = nil
		resolver := resolve.New(resolve.Config{
			Home: c.Env.Home, Host: c.Env.Host, AllowHostNetwork: true, Cluster: []resolve.Source{nodeOf{name: "me"}},
		})
		t.Cleanup(resolver.Close)
		c.Env.Resolver = resolver
	})
	e := fail(t, b, string(resolve.KindOtherNode), "netns_ip_addr", map[string]any{"node": "far", "netns": "host"})
	if !strings.Contains(e.Message, "node me only") {
		t.Errorf("%+v", e)
	}
	succeed[map[string]any](t, b, "netns_ip_addr", map[string]any{"node": "me", "netns": "host"})
}

// A name that no node has leads nowhere, whatever else the command of --via would
// reach by it.
func TestNoSuchNode(t *testing.T) {
	t.Parallel()
	b, far := newFront(t, func(c *dispatch.Config) {
		resolver := resolve.New(resolve.Config{
			Home: c.Env.Home, Host: c.Env.Host, Node: "here", AllowHostNetwork: true, Cluster: []resolve.Source{nodeOf{}},
		})
		t.Cleanup(resolver.Close)
		c.Env.Resolver = resolver
	})
	fail(t, b, string(resolve.KindNotFound), "netns_ip_addr", map[string]any{"node": "nosuch", "netns": "host"})
	if far.count() != 0 {
		t.Error("the call was forwarded")
	}
	succeed[map[string]any](t, b, "netns_ip_addr", map[string]any{"node": "far", "netns": "host"})
}

// Two servers that lead to each other would ask each other for ever.
func TestForwardedCallStays(t *testing.T) {
	t.Parallel()
	b, far := newFront(t, nil)
	for _, arguments := range []string{`{"pod":"far-0"}`, `{"node":"far","netns":"host"}`} {
		answer := b.Call(t.Context(), dispatch.Call{Tool: "netns_ip_addr", Arguments: json.RawMessage(arguments), Forwarded: true})
		if answer.Error == nil || answer.Error.Code != string(resolve.KindOtherNode) || far.count() != 0 {
			t.Errorf("%s: %+v", arguments, answer)
		}
	}
}

func TestPolicyHoldsBeforeForwarding(t *testing.T) {
	t.Parallel()
	var seen *resolve.Target
	b, far := newFront(t, func(c *dispatch.Config) {
		c.Policy = dispatch.Policy{Toolsets: []dispatch.Toolset{dispatch.Inspect}}
		c.Authorize = func(_ context.Context, _ string, _ dispatch.Spec, target *resolve.Target) error {
			seen = target
			return &dispatch.Error{Code: "denied", Message: "no", Hint: "ask"}
		}
	})
	fail(t, b, dispatch.CodeToolDisabled, "netns_curl", map[string]any{"pod": "far-0", "url": "http://a/"})
	fail(t, b, "denied", "netns_ip_addr", map[string]any{"pod": "far-0"})
	if seen == nil || seen.Node != "far" || seen.Query.Pod != "far-0" {
		t.Errorf("Authorize saw %+v", seen)
	}
	if far.count() != 0 {
		t.Error("a call was forwarded that the policy forbids")
	}
}

// A client that is told that netns_curl changes nothing may let it run unasked,
// whatever the server on the node allows.
func TestMethodsAreClosedElsewhereToo(t *testing.T) {
	t.Parallel()
	b, far := newFront(t, nil)
	for _, arguments := range []map[string]any{
		{"pod": "far-0", "url": "http://a/", "method": "delete"},
		{"node": "far", "pid": 1, "url": "http://a/", "headers": map[string]any{"x-http-method-override": "DELETE"}},
	} {
		fail(t, b, dispatch.CodeInvalidArguments, "netns_curl", arguments)
	}
	if far.count() != 0 {
		t.Error("a method was forwarded that this server does not offer")
	}
	b.Call(t.Context(), dispatch.Call{Tool: "netns_curl", Arguments: json.RawMessage(`{"pod":"far-0","url":"http://a/","method":"HEAD"}`)})
	open, away := newFront(t, func(c *dispatch.Config) { c.Policy.UnsafeMethods = true })
	open.Call(t.Context(), dispatch.Call{Tool: "netns_curl", Arguments: json.RawMessage(`{"pod":"far-0","url":"http://a/","method":"DELETE"}`)})
	if far.count() != 1 || away.count() != 1 {
		t.Error("a method was not forwarded that is offered")
	}
}

func TestHostNetworkIsClosedElsewhereToo(t *testing.T) {
	t.Parallel()
	b, far := newFront(t, func(c *dispatch.Config) { c.Policy.NoHostNetwork = true })
	fail(t, b, string(resolve.KindHostNetworkDenied), "netns_ip_addr", map[string]any{"node": "far", "netns": "host"})
	if far.count() != 0 {
		t.Error("the call was forwarded")
	}
	far.answer = func() (*dispatch.Envelope, error) {
		answer, err := answerThere()
		answer.Target.HostNetwork = true
		return answer, err
	}
	e := fail(t, b, string(resolve.KindHostNetworkDenied), "netns_ip_addr", map[string]any{"pod": "far-0"})
	if e.Details.Node != "far" {
		t.Errorf("%+v", e)
	}
}

func TestFailuresOfForwarding(t *testing.T) {
	t.Parallel()
	b, far := newFront(t, nil)
	arguments := map[string]any{"pod": "far-0"}
	far.answer = func() (*dispatch.Envelope, error) {
		return nil, &dispatch.NodeError{Code: dispatch.CodeNodeUnreachable, Node: "far", Message: "node far cannot be reached", Hint: "h", Said: "\x1b[31mno route\u202e"}
	}
	e := fail(t, b, dispatch.CodeNodeUnreachable, "netns_ip_addr", arguments)
	if e.Stage != dispatch.StageForward || e.Details.Node != "far" || e.Details.Untrusted == nil || e.Details.Untrusted.Message != `\x1b[31mno route\u202e` {
		t.Errorf("%+v %+v", e, e.Details.Untrusted)
	}
	far.answer = func() (*dispatch.Envelope, error) { return nil, context.Canceled }
	if answer := b.call(t, "netns_ip_addr", arguments); answer.Error == nil || answer.Error.Code != dispatch.CodeCanceled || answer.Error.Details.Node != "far" {
		t.Errorf("%+v", answer.Error)
	}
	far.answer = func() (*dispatch.Envelope, error) { return nil, errors.New("x") }
	fail(t, b, dispatch.CodeInternal, "netns_ip_addr", arguments)
	far.answer = func() (*dispatch.Envelope, error) {
		answer, _ := answerThere()
		answer.Data = json.RawMessage(`"` + strings.Repeat("x", 4<<20) + `"`)
		return answer, nil
	}
	fail(t, b, dispatch.CodeTooLarge, "netns_ip_addr", arguments)
	far.answer = func() (*dispatch.Envelope, error) {
		return &dispatch.Envelope{Summary: "gone", Error: &dispatch.Error{Code: dispatch.CodeTargetGone, Stage: dispatch.StageResolve, Message: "gone", Hint: "h"}}, nil
	}
	if e := fail(t, b, dispatch.CodeTargetGone, "netns_ip_addr", arguments); e.Stage != dispatch.StageResolve || e.Details.Node != "far" {
		t.Errorf("%+v", e)
	}
	far.answer = func() (*dispatch.Envelope, error) {
		answer, _ := answerThere()
		answer.Target.Node = "elsewhere"
		return answer, nil
	}
	answer := b.call(t, "netns_ip_addr", arguments)
	if len(answer.Notes) != 1 || answer.Notes[0].Code != "node_name_differs" || answer.Target.Node != "far" {
		t.Errorf("%+v", answer)
	}
}

func TestLocalPodIsNotForwarded(t *testing.T) {
	t.Parallel()
	far := &fakeForwarder{answer: answerThere}
	b := newTestbench(t, func(c *dispatch.Config) { c.Forwarder = far })
	b.lab.Pod(t, lab.PodSpec{Name: "web", Namespace: "shop"})
	succeed[map[string]any](t, b, "netns_ip_addr", map[string]any{"pod": "web"})
	fail(t, b, string(resolve.KindNotFound), "netns_ip_addr", map[string]any{"pod": "nobody"})
	if far.count() != 0 {
		t.Error("a call for this node was forwarded")
	}
}

// A front does not take a pod of its own node for a namesake on another one.
func TestNamesakesOfAFront(t *testing.T) {
	t.Parallel()
	far := &fakeForwarder{answer: answerThere}
	b := newTestbench(t, func(c *dispatch.Config) { c.Forwarder = far })
	b.lab.Pod(t, lab.PodSpec{Name: "far-0", Namespace: "here"})
	docker := resolve.NewDocker(resolve.DockerOptions{Host: b.engine.Host()})
	t.Cleanup(func() { _ = docker.Close() })
	resolver := resolve.New(resolve.Config{
		Home: b.lab.Home, Host: b.lab.Node.Handle, Sources: []resolve.Source{docker},
		Cluster: []resolve.Source{clusterOf{resolve.Workload{Pod: "far-0", Namespace: "shop", UID: "u", Node: "far"}}},
	})
	t.Cleanup(resolver.Close)
	b.Env.Resolver = resolver
	// Its list has the pods that it can name.
	if _, list := succeed[ListPodsOut](t, b, "list_pods", nil); list.Total != 2 {
		t.Errorf("listed %+v", list.Pods)
	}
	b.Env.Forwards = false
	if _, list := succeed[ListPodsOut](t, b, "list_pods", nil); list.Total != 1 {
		t.Errorf("listed without a way to other nodes: %+v", list.Pods)
	}
	arguments := map[string]any{"pod": "far-0"}
	answer := b.call(t, "netns_ip_addr", arguments)
	if answer.Error == nil || answer.Error.Code != string(resolve.KindAmbiguous) || far.count() != 0 {
		t.Fatalf("%+v", answer)
	}
	for _, n := range answer.Next {
		raw, err := json.Marshal(n.Arguments)
		if err != nil {
			t.Fatal(err)
		}
		a := b.Call(t.Context(), dispatch.Call{Tool: n.Tool, Arguments: raw})
		if want := n.Arguments["namespace"] == "shop"; a.Error != nil || (far.count() == 1) != want {
			t.Errorf("%+v: %+v, %d forwarded", n.Arguments, a.Error, far.count())
		}
		far.calls = nil
	}
	if len(answer.Next) != 2 {
		t.Errorf("next is %+v", answer.Next)
	}
}

func TestCheckNode(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"n", "node-1", "ip-10-0-0-1.eu-west-1.compute.internal", "0", strings.Repeat("a", 253)} {
		if err := dispatch.CheckNode(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "-a", "a-", "a.-b", "a-.b", ".a", "a.", "a..b", "A", "a_b", "a b", "a\n", "ä", "a/b", strings.Repeat("a", 254)} {
		if dispatch.CheckNode(name) == nil {
			t.Errorf("%q is accepted", name)
		}
	}
}

// A front without a kubeconfig cannot tell on which node a pod is, and says so.
func TestFrontWithoutCluster(t *testing.T) {
	t.Parallel()
	for _, forwards := range []bool{true, false} {
		b := newTestbench(t, func(c *dispatch.Config) {
			if forwards {
				c.Forwarder = &fakeForwarder{answer: answerThere}
			}
		})
		resolver := resolve.New(resolve.Config{
			Home: b.lab.Home, Host: b.lab.Node.Handle,
			Sources: []resolve.Source{&cluster{}}, Cluster: []resolve.Source{&cluster{failed: resolve.ErrAbsent}},
		})
		t.Cleanup(resolver.Close)
		b.Env.Resolver = resolver
		err := fail(t, b, string(resolve.KindNotFound), "netns_ip_addr", map[string]any{"pod": "far-0"})
		if got := strings.Contains(err.Hint, "give a kubeconfig (--kubeconfig), or name the node (node)"); got != forwards {
			t.Errorf("forwards %v: %+v", forwards, err)
		}
	}
}
