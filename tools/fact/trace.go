package fact

// PacketTrace is the journey of one connection, question or echo, and its outcome.
type PacketTrace struct {
	Outcome  Outcome `json:"outcome" jsonschema:"ok dns_failed refused timeout reset unreachable blocked_locally no_port"`
	Reason   string  `json:"reason,omitempty"`
	Protocol string  `json:"protocol" enum:"tcp,udp,icmp"`
	// Hops are the picture of the way of the last packet and of its answer, a line each.
	Hops []string `json:"hops" jsonschema:"picture of the path: -> there, <- back, x dropped; ms, place, device, what, NAT"`
	// Journey holds all steps with details; Hops stand in place of its trail.
	Journey *Journey `json:"journey,omitempty" jsonschema:"as of netns_curl"`
	Mermaid []string `json:"mermaid,omitempty" jsonschema:"lines of a sequence diagram, with details"`
	Attempt *Attempt `json:"attempt,omitempty" jsonschema:"as of netns_curl, one of attempts"`
	// AnswerBytes is the length of what was answered to a datagram or an echo.
	AnswerBytes *int   `json:"answer_bytes,omitempty"`
	RCode       string `json:"rcode,omitempty" jsonschema:"of the answer to a DNS question"`
	// AddressesSkipped counts further addresses of the name, to which nothing was sent.
	AddressesSkipped int         `json:"addresses_skipped,omitempty"`
	DNS              *Resolution `json:"dns,omitempty" jsonschema:"as of netns_curl"`
	Service          *Service    `json:"service,omitempty" jsonschema:"as of netns_curl"`
}

// TraceEvidence is a trace with what else it is judged by: the fetch has its attempt, if
// any, and got no further than connecting.
type TraceEvidence struct {
	FetchEvidence
	Protocol    string
	AnswerBytes *int
	RCode       string
}
