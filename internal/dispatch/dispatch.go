package dispatch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/nsexec"
	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

// Env is what the process owns and every handler may use.
type Env struct {
	Resolver *resolve.Resolver
	Home     *nsexec.Home
	// Host is the node's own network namespace, never closed by a handler.
	Host *nsexec.Handle
	// Root is the directory below which the host's files lie, its /proc
	// included.
	Root string
	// Policy is what the operator allows, and Forwards whether calls reach other
	// nodes; the Dispatcher fills them in.
	Policy   Policy
	Forwards bool
	// Progress gets a call's reports on the way, from one goroutine at a time; nil where
	// nobody wants them. The Dispatcher fills it in.
	Progress func(Progress)
}

// ReportTries returns what reports to the caller how many of count tries are done.
func (e *Env) ReportTries(count int) func(done int) {
	last := 0
	return func(done int) {
		if e.Progress == nil || done <= last {
			return
		}
		last = done
		e.Progress(Progress{Done: float64(done), Total: float64(count), Message: fmt.Sprintf("%d of %d tries", done, count)})
	}
}

// Config is what a Dispatcher is made of.
type Config struct {
	Tools  []Tool // in the order in which they are listed
	Env    Env
	Policy Policy
	// Authorize may refuse a call once its target is known (nil where it has
	// none; of one on another node, only Query and Node). Nil means that everyone
	// who reaches the server may call.
	Authorize func(ctx context.Context, caller string, tool Spec, target *resolve.Target) error
	// Forwarder reaches the servers of other nodes; nil where this server looks at
	// its own node only.
	Forwarder Forwarder
	// Audit gets one record a call, also of those that were refused.
	Audit func(context.Context, Record)
	Log   *slog.Logger
	Now   func() time.Time // time.Now where nil
}

// Dispatcher is the one way from a caller to a handler. It is safe for
// concurrent use and keeps nothing between calls.
type Dispatcher struct {
	Config
	enabled []Tool
}

// NewDispatcher checks every declaration, so that a schema that cannot be
// generated stops the start and not a call.
func NewDispatcher(c Config) (*Dispatcher, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Audit == nil {
		c.Audit = AuditTo(c.Log)
	}
	c.Env.Policy, c.Env.Forwards = c.Policy, c.Forwarder != nil
	d := &Dispatcher{Config: c}
	seen := make(map[string]bool, len(c.Tools))
	for i := range c.Tools {
		tool := &c.Tools[i]
		if err := tool.check(); err != nil {
			return nil, err
		}
		if seen[tool.Name] {
			return nil, fmt.Errorf("tool %s is declared twice", tool.Name)
		}
		seen[tool.Name] = true
		if !c.Policy.allows(tool) {
			continue
		}
		adapted := *tool
		if tool.Adapt != nil {
			if err := tool.Adapt(&adapted, c.Policy); err != nil {
				return nil, fmt.Errorf("tool %s: %w", tool.Name, err)
			}
		}
		d.enabled = append(d.enabled, adapted)
	}
	return d, nil
}

// Tools returns the tools that the policy allows, in their order.
func (d *Dispatcher) Tools() []Tool { return slices.Clone(d.enabled) }

// Call is one request for a tool.
type Call struct {
	Tool      string
	Arguments json.RawMessage // a JSON object, or nothing
	Caller    string          // who asks, for the audit log
	// Received is when the request arrived; its deadline counts from then. Zero
	// means now.
	Received time.Time
	// Forwarded: it comes from another node's server.
	Forwarded bool
	// Narrowing takes from the policy for this call; nil takes nothing.
	Narrowing *Narrowing
	// Progress gets reports on the way; nil where the caller wants none.
	Progress func(Progress)
}

// Call carries out one call. It never panics and never returns nil; the
// envelope can be encoded as JSON. It returns at the call's deadline or soon
// after ctx ends, as fast as the handler gives up.
func (d *Dispatcher) Call(ctx context.Context, c Call) *Envelope {
	start := d.Now()
	if c.Received.IsZero() {
		c.Received = start
	}
	record := Record{Caller: c.Caller, Tool: c.Tool, Arguments: auditText(c.Arguments), Start: start}
	envelope := d.survive(ctx, c, &record)
	if err := envelope.isolate(); err != nil {
		envelope = failed(nil, err, StageProbe)
	}
	record.Target, record.Duration = envelope.Target, d.Now().Sub(start)
	if envelope.Error != nil {
		record.Code = envelope.Error.Code
	}
	d.Audit(ctx, record)
	return envelope
}

// survive turns a panic, wherever it comes from, into an error of this call
// alone.
func (d *Dispatcher) survive(ctx context.Context, c Call, record *Record) (envelope *Envelope) {
	defer func() {
		if p := recover(); p != nil {
			d.Log.ErrorContext(ctx, "panic in a call", "tool", c.Tool, "panic", p, "stack", string(debug.Stack()))
			envelope = failed(nil, errors.New("the call failed unexpectedly"), StageProbe)
		}
	}()
	return d.carryOut(ctx, c, record)
}

// carryOut does the work of a call. What it finds out for the audit alone goes
// into record.
func (d *Dispatcher) carryOut(ctx context.Context, c Call, record *Record) *Envelope {
	tool, err := d.find(c.Tool)
	if err != nil {
		return failed(nil, err, StageArguments)
	}
	call, err := tool.prepare(c.Arguments)
	if err != nil {
		return failed(nil, err, StageArguments)
	}
	left := c.Received.Add(call.timeout).Sub(record.Start)
	if late := lateStart(tool, left, call.timeout); late != nil {
		return failed(nil, late, stageQueue)
	}
	// A timer, not the injected clock, ends the call.
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()

	to, far, err := d.routeToNode(ctx, c, call)
	if err != nil {
		return failed(nil, err, StageArguments)
	}
	var target *resolve.Target
	if !far {
		target, err = d.resolve(ctx, tool, call, d.forwards(c))
		if d.forwards(c) {
			to, far = routeOfError(err)
		}
	}
	if far {
		record.Node = to.node
		return d.forward(ctx, c, tool, call, to)
	}
	if err != nil {
		envelope := failed(nil, d.explainAtFront(ctx, c, err), StageResolve)
		if next := d.afterAmbiguous(err, c); len(next) > 0 {
			envelope.Next = next
		}
		return envelope
	}
	var info *TargetInfo
	if target != nil {
		info = targetInfo(target)
		defer func() {
			if err := target.Close(); err != nil {
				d.Log.WarnContext(ctx, "close target", "tool", tool.Name, "error", err)
			}
		}()
		if err := checkExpected(call.expect, target); err != nil {
			return failed(info, err, stageEnter)
		}
	}
	env := d.Env
	env.Policy, env.Progress = d.Policy.narrowedBy(c.Narrowing), c.Progress
	if target != nil && target.HostNetwork && env.Policy.NoHostNetwork {
		return failed(nil, hostNetworkDenied(target.Node), StagePolicy)
	}
	if d.Authorize != nil {
		if err := d.Authorize(ctx, c.Caller, tool.Spec, target); err != nil {
			return failed(info, err, StagePolicy)
		}
	}
	foreign := target != nil && d.forwards(c) && !d.isNode(ctx)
	result, err := call.run(ctx, &env, target)
	if err != nil {
		return failed(info, err, StageProbe)
	}
	if foreign {
		result.notes = append([]Note{thisMachineNote()}, result.notes...)
		result.next = slices.DeleteFunc(result.next, func(n Next) bool { return n.Arguments["netns"] == "host" })
	}
	for _, n := range result.next {
		if !d.declares(n.Tool) {
			d.Log.ErrorContext(ctx, "proposal of an unknown tool", "tool", tool.Name, "proposes", n.Tool)
		}
	}
	result.next = d.keepLocal(ctx, target, result.next)
	return d.finish(tool, target, info, result)
}

// declares reports whether there is a tool of that name, enabled or not.
func (d *Dispatcher) declares(name string) bool {
	return slices.ContainsFunc(d.Config.Tools, func(t Tool) bool { return t.Name == name })
}

// leastToProbe is the part of its time that a probe must have left when it begins.
const leastToProbe = 10

// lateStart refuses a call that waited for too long. A probe with next to no time
// left would measure its own haste, and what it does would keep those from their
// answers whose time is up as well: they have all come at once.
func lateStart(tool *Tool, left, timeout time.Duration) error {
	message := "the call waited in the queue until its time was up"
	switch {
	case left <= 0:
	case tool.SendsPackets && left < timeout/leastToProbe:
		message = "the call waited in the queue until its time was nearly up; nothing was sent"
	default:
		return nil
	}
	return &Error{
		Code: CodeBusy, Stage: stageQueue, Message: message, Hint: "make fewer calls at a time, or set a larger timeout_ms",
	}
}

// find returns the enabled tool of that name, or says which there are.
func (d *Dispatcher) find(name string) (*Tool, error) {
	named := func(t Tool) bool { return t.Name == name }
	if i := slices.IndexFunc(d.enabled, named); i >= 0 {
		return &d.enabled[i], nil
	}
	if i := slices.IndexFunc(d.Config.Tools, named); i >= 0 {
		toolset := d.Config.Tools[i].Toolset
		return nil, &Error{
			Code: CodeToolDisabled, Stage: StagePolicy,
			Message: fmt.Sprintf("the operator has not enabled %s", name),
			Hint:    fmt.Sprintf("the tool belongs to toolset %s; ask the operator to enable that toolset", toolset),
		}
	}
	valid := make([]string, len(d.enabled))
	for i, t := range d.enabled {
		valid[i] = t.Name
	}
	return nil, &Error{
		Code: CodeUnknownTool, Stage: StageArguments,
		Message: fmt.Sprintf("unknown tool %s", words.Quote(name)),
		Hint:    words.DidYouMean(name, valid), Details: ErrorDetails{Valid: valid},
	}
}

// resolve opens the target; nil where none was named and none is needed. everywhere:
// one of another node can be had as well.
func (d *Dispatcher) resolve(ctx context.Context, tool *Tool, call *invocation, everywhere bool) (*resolve.Target, error) {
	if !call.given && tool.TargetOptional {
		return nil, nil
	}
	query := call.query
	query.Everywhere = everywhere
	return d.Env.Resolver.Resolve(ctx, query)
}

// checkExpected holds the network that was entered against the one the caller
// saw before.
func checkExpected(expect uint64, target *resolve.Target) error {
	is := target.Net.Identity().Cookie
	if expect == 0 || expect == is {
		return nil
	}
	hint := "the pod or container was replaced; call again without expect to look at the new one"
	if is == 0 {
		hint = "this kernel gives network namespaces no cookie; call again without expect"
	}
	return &Error{
		Code: CodeTargetChanged, Stage: stageEnter,
		Message: "the name leads to another network than expected",
		Hint:    hint, Details: ErrorDetails{Was: expect, Is: is},
	}
}

// The most findings and next steps in one answer.
const (
	maxFindings = 3
	maxNext     = 3
)

// finish puts a handler's outcome into the envelope: bounded, without nulls,
// and with only those next steps that the caller may take.
func (d *Dispatcher) finish(tool *Tool, target *resolve.Target, info *TargetInfo, result outcome) *Envelope {
	data, err := encodeData(result.data)
	if err != nil {
		return failed(info, fmt.Errorf("encode result: %w", err), StageProbe)
	}
	if len(data) > tool.MaxBytes {
		return failed(info, tooLarge(len(data), tool.MaxBytes), StageProbe)
	}
	envelope := &Envelope{
		Summary:  result.summary,
		Target:   info,
		Data:     json.RawMessage(data),
		Findings: append([]fact.Finding{}, result.findings[:min(len(result.findings), maxFindings)]...),
		Notes:    []Note{},
		Next:     d.sendable(result.next),
	}
	if target != nil {
		for _, n := range target.Notes {
			if (n.Code == resolve.NoteFilesFrom || n.Code == resolve.NoteNoFiles) && !tool.ReadsFiles {
				continue
			}
			envelope.Notes = append(envelope.Notes, Note{Code: n.Code, Message: n.Message})
		}
	}
	envelope.Notes = append(envelope.Notes, result.notes...)
	if tool.SendsPackets && target != nil && target.Process != nil && !target.HostNetwork && target.Process.Ended() {
		envelope.Notes = append(envelope.Notes, targetEnded(target.Process.PID()))
	}
	return envelope
}

// targetEnded says that a probe may have met a network on its way out, whatever it
// found. The network itself stays until the call has ended, and where something else
// than the process holds it, for longer.
func targetEnded(pid int) Note {
	return Note{Code: "target_ended", Message: fmt.Sprintf(
		"process %d of the target ended during the call. If the pod or container ended too, the measured network was being taken down. "+
			"Call again to see the network that is there now", pid)}
}

// sendable are the first few of the steps that the caller may take, each once.
func (d *Dispatcher) sendable(steps []Next) []Next {
	kept, seen := []Next{}, map[string]bool{}
	for _, next := range steps {
		arguments, err := encodeData(next.Arguments)
		call := next.Tool + string(arguments)
		if err != nil || seen[call] || !d.mayCall(next) || len(kept) == maxNext {
			continue
		}
		seen[call] = true
		kept = append(kept, next)
	}
	return kept
}

func tooLarge(size, limit int) error {
	return &Error{
		Code: CodeTooLarge, Stage: StageProbe,
		Message: fmt.Sprintf("the answer has %d bytes, at most %d are allowed", size, limit),
		Hint:    "ask for less: use the tool's filters, a smaller limit, or leave details out",
	}
}

// mayCall reports whether the policy lets a proposed call through.
func (d *Dispatcher) mayCall(next Next) bool {
	if next.Arguments["netns"] == "host" && d.Policy.NoHostNetwork {
		return false
	}
	return slices.ContainsFunc(d.enabled, func(t Tool) bool { return t.Name == next.Tool })
}

// encodeData leaves <, > and & as they are: no HTML is near, and each escape
// costs a model tokens.
func encodeData(data any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(data); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// failed is the envelope of an error.
func failed(info *TargetInfo, err error, stage string) *Envelope {
	public := publicError(err, stage)
	return &Envelope{
		Summary:  public.Message,
		Target:   info,
		Findings: []fact.Finding{},
		Notes:    []Note{},
		Next:     nextOf(err),
		Error:    public,
	}
}
