package fact

// Code names a kind of fault: layer.cause, such as "link.no_carrier". Codes are
// stable: agents and documentation refer to them.
type Code string

// Finding is a fault that the facts of one answer prove.
type Finding struct {
	Code Code `json:"code" jsonschema:"layer.cause"`
	// Fact is one sentence of our own words and validated values that says
	// what was seen.
	Fact string `json:"fact" jsonschema:"what was measured that proves it"`
}
