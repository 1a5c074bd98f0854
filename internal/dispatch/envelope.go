package dispatch

import (
	"encoding/json"

	"nsenter-mcp/resolve"
	"nsenter-mcp/tools/fact"
)

// Envelope is the answer of every tool, success and failure alike. Its JSON is
// the contract with the agent: fields may be added, none is renamed.
type Envelope struct {
	// Summary is one sentence of our own words and validated values; nothing
	// that a container or a network chose stands in it unescaped.
	Summary string `json:"summary" jsonschema:"one sentence that answers the question"`
	// Target is whose network was looked at; present once it is known.
	Target *TargetInfo `json:"target,omitempty"`
	// Data is the tool's own output struct.
	Data any `json:"data,omitempty"`
	// Findings are faults that this one answer proves, the gravest first.
	Findings []fact.Finding `json:"findings"`
	Notes    []Note         `json:"notes"`
	// Next are calls worth making now; their arguments are complete.
	Next  []Next `json:"next"`
	Error *Error `json:"error,omitempty"`
	// text is the JSON of all this, as it was held to what may stand where.
	text json.RawMessage
}

// JSON returns the envelope as JSON, without a line end. That of an answer of
// [Dispatcher.Call] is the text that was checked there; what is changed afterwards is not
// in it.
func (e *Envelope) JSON() (json.RawMessage, error) {
	if e.text != nil {
		return e.text, nil
	}
	return encodeData(e)
}

// IsError reports whether the tool was kept from measuring. What the network
// did, a refused connection for example, is data and no error.
func (e *Envelope) IsError() bool { return e.Error != nil }

// TargetInfo names the network that was entered, however the caller named it.
type TargetInfo struct {
	Pod       string `json:"pod,omitempty"`
	Namespace string `json:"namespace,omitempty" jsonschema:"Kubernetes namespace"`
	Container string `json:"container,omitempty"`
	PID       int    `json:"pid,omitempty" jsonschema:"process whose network was entered"`
	// NetnsInode and NetnsCookie identify the network namespace; the cookie is
	// never reused, and absent before Linux 5.14.
	NetnsInode  uint64 `json:"netns_inode"`
	NetnsCookie uint64 `json:"netns_cookie,omitempty" jsonschema:"pass as expect to be told when the pod was replaced"`
	Via         string `json:"via" jsonschema:"whose network namespace it is: sandbox (pause), container, netns or pid"`
	HostNetwork bool   `json:"host_network" jsonschema:"the target uses the node's own network"`
	Node        string `json:"node,omitempty"`
}

// Note is something the agent should know about the answer; no fault.
type Note struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// Next is a call that would bring the agent further.
type Next struct {
	Tool      string         `json:"tool"`
	Arguments map[string]any `json:"arguments"`
	Why       string         `json:"why"`
}

// Error says what kept the tool from measuring and what to do about it. Handlers
// return it where they know better than the table in failure.go.
type Error struct {
	Code    string       `json:"code"`
	Stage   string       `json:"stage" jsonschema:"arguments, policy, queue, resolve, forward, enter or probe"`
	Message string       `json:"message"`
	Hint    string       `json:"hint,omitempty" jsonschema:"what to do next"`
	Details ErrorDetails `json:"details,omitzero"`
}

func (e *Error) Error() string { return e.Message }

// ErrorDetails is what a caller can act on.
type ErrorDetails struct {
	Steps      []resolve.Step      `json:"steps,omitempty" jsonschema:"how the target was looked for"`
	Candidates []resolve.Candidate `json:"candidates,omitempty" jsonschema:"targets that the name fits"`
	NearMisses []string            `json:"near_misses,omitempty" jsonschema:"names that exist and look alike"`
	Node       string              `json:"node,omitempty" jsonschema:"node on which the target runs"`
	Service    *resolve.Service    `json:"service,omitempty" jsonschema:"whose address it is"`
	State      resolve.State       `json:"state,omitempty" jsonschema:"state of the container that does not run"`
	ExitCode   *int                `json:"exit_code,omitempty"`
	Untrusted  *UntrustedText      `json:"untrusted,omitempty" jsonschema:"what the runtime or the API says of it, or the command that leads to the node"`
	Valid      []string            `json:"valid,omitempty" jsonschema:"what would have been accepted"`
	// Was and Is are the netns cookies expected and found.
	Was uint64 `json:"was,omitempty"`
	Is  uint64 `json:"is,omitempty"`
}

// Answer is what a handler returns on success.
type Answer[T any] struct {
	Summary  string
	Data     T
	Findings []fact.Finding
	Notes    []Note
	Next     []Next
}

// UntrustedText quotes what a container's image, its runtime or a command says.
type UntrustedText struct {
	Message string `json:"message,omitempty"`
}
