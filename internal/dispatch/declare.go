package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

// Toolset is the class by which an operator allows tools.
type Toolset string

// The toolsets, from the harmless to the mighty. Inspect and Probe are on by
// default.
const (
	Inspect Toolset = "inspect" // reads state, sends nothing
	Probe   Toolset = "probe"   // sends packets to destinations under policy
	Capture Toolset = "capture" // sees other people's packets
	Exec    Toolset = "exec"    // runs programs
)

// Toolsets returns all of them, in this order.
func Toolsets() []Toolset { return []Toolset{Inspect, Probe, Capture, Exec} }

// The bounds of every call.
const (
	DefaultDeadline = 10 * time.Second
	// MaxDeadline stays below the 60 s after which clients give up.
	MaxDeadline = 50 * time.Second
	// DefaultMaxBytes bounds the data of one answer where a tool does not set a
	// bound of its own. Tools page long before.
	DefaultMaxBytes = 256 << 10
)

// Spec is what is known of a tool before it is called. Policy, annotations,
// documentation and the capability check of doctor are made from it.
type Spec struct {
	Name               string // Define sets it
	Title, Description string
	// Purpose is the line of the instructions that says when to call it.
	Purpose string
	Toolset Toolset
	// SendsPackets: the call puts packets on the network.
	SendsPackets bool
	// Changes: the call may change something where it goes.
	Changes bool
	// Capabilities that the process needs, named as in capabilities(7).
	Capabilities []string
	// Deadline is the time a call has unless timeout_ms says otherwise; zero
	// means [DefaultDeadline].
	Deadline time.Duration
	// MaxBytes bounds the JSON of data; zero means [DefaultMaxBytes].
	MaxBytes int
	// TargetOptional: the tool also answers when no target is named.
	TargetOptional bool
	// Describe: the handler wants the whole workload with its containers'
	// states, also where the process is known without asking a runtime.
	Describe bool
	// ReadsFiles: the answer depends on the target's files, so whose they are
	// is worth a note.
	ReadsFiles bool
}

// Tool is a declared tool. Values come from this package alone.
type Tool struct {
	Spec
	InputSchema  json.RawMessage
	OutputSchema json.RawMessage

	// prepare decodes arguments; it touches nothing but them.
	prepare func(arguments json.RawMessage) (*invocation, error)
	// MakeSchemas makes the schemas from the types, recorded or not.
	MakeSchemas func() (input, output json.RawMessage, err error)
	// AnswerSchema makes the schema of answers with all that the types say, for tests.
	AnswerSchema func() (*jsonschema.Schema, error)
	// Adapt makes the declaration true under a policy; nil where it always is.
	Adapt func(*Tool, Policy) error
	// invalid is why the declaration is unusable; NewDispatcher reports it.
	invalid error
}

// invocation is one call with its arguments decoded.
type invocation struct {
	query   resolve.Query
	given   bool   // a target was named
	node    string // where the caller says that it is, "" for here or wherever it is
	expect  uint64
	timeout time.Duration
	// timeoutMS is the argument timeout_ms, 0 where the caller gave none.
	timeoutMS int
	// permitted reports what of the arguments a policy forbids, for a call that
	// another node's server is to carry out; nil where it has nothing to say.
	permitted func(Policy) error
	run       func(ctx context.Context, env *Env, target *resolve.Target) (outcome, error)
}

// outcome is an Answer without its type.
type outcome struct {
	summary  string
	data     any
	findings []fact.Finding
	notes    []Note
	next     []Next
}

// Handler does the work of one tool. It gets a target that is open and is
// closed for it (nil where the tool's target is optional and none was named),
// and keeps nothing between calls. Its errors go through the table in
// failure.go; what the network did is no error.
type Handler[In, Out any] func(ctx context.Context, env *Env, target *resolve.Target, in In) (Answer[Out], error)

// targeted is implemented by every input struct through [TargetArgs].
type targeted interface {
	Common() *TargetArgs
	Query() resolve.Query
}

// policed is implemented by input structs of which a policy may forbid a part.
type policed interface{ Permitted(p Policy) error }

// Define declares the tool of that name: the schemas come from the types In and Out,
// so what is published, what is accepted and what is returned cannot drift apart.
func Define[In, Out any, P interface {
	*In
	targeted
}](name Name[In], spec Spec, handle Handler[In, Out]) Tool {
	spec.Name = string(name)
	if spec.Deadline == 0 {
		spec.Deadline = DefaultDeadline
	}
	if spec.MaxBytes == 0 {
		spec.MaxBytes = DefaultMaxBytes
	}
	tool := Tool{Spec: spec}
	if tool.InputSchema, tool.OutputSchema, tool.invalid = schemasOf[In, Out](spec.Name); tool.invalid != nil {
		return tool
	}
	tool.MakeSchemas, tool.AnswerSchema = makeSchemas[In, Out], wholeOutput[Out]
	arguments := sync.OnceValue(func() shape { return shapeOf(reflect.TypeFor[In]()) })
	tool.prepare = func(raw json.RawMessage) (*invocation, error) {
		in := P(new(In))
		if err := arguments().decode(raw, in); err != nil {
			return nil, err
		}
		common := in.Common()
		query := in.Query()
		given := query != resolve.Query{}
		query.Describe = spec.Describe
		query.NoFiles = !spec.ReadsFiles && !spec.Describe
		call := &invocation{
			query:   query,
			given:   given,
			node:    common.Node,
			expect:  common.Expect,
			timeout: spec.Deadline, timeoutMS: common.TimeoutMS,
			run: func(ctx context.Context, env *Env, target *resolve.Target) (outcome, error) {
				a, err := handle(ctx, env, target, *in)
				return outcome{a.Summary, a.Data, a.Findings, a.Notes, a.Next}, err
			},
		}
		if p, ok := any(in).(policed); ok {
			call.permitted = p.Permitted
		}
		if common.TimeoutMS != 0 {
			call.timeout = time.Duration(common.TimeoutMS) * time.Millisecond
		}
		return call, nil
	}
	return tool
}

// Accepts reports what is wrong with the arguments of a call; nil where nothing
// is. It touches nothing but them.
func (t *Tool) Accepts(arguments json.RawMessage) error {
	_, err := t.prepare(arguments)
	return err
}

func (t *Tool) check() error {
	if t.invalid != nil {
		return fmt.Errorf("tool %s: %w", t.Name, t.invalid)
	}
	if t.Name == "" || t.Description == "" || t.Purpose == "" || t.Title == "" || t.Toolset == "" {
		return fmt.Errorf("tool %q: name, title, description, purpose and toolset must all be set", t.Name)
	}
	if t.Deadline > MaxDeadline {
		return fmt.Errorf("tool %s: deadline %s is above %s", t.Name, t.Deadline, MaxDeadline)
	}
	return nil
}
