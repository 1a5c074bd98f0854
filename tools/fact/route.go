package fact

// Route is one next hop of a route, with the names of `ip -json route show table
// all` of iproute2.
type Route struct {
	Family string `json:"-"`   // inet or inet6
	Dst    string `json:"dst"` // "default", an address, or address/length
	Type   string `json:"type,omitempty" jsonschema:"blackhole, unreachable, prohibit, throw; absent for a plain route"`
	// Gateway is the next hop; absent where the destination is on the link.
	Gateway string `json:"gateway,omitempty"`
	Dev     string `json:"-"`
	// Index is the position among the routes of its interface that were asked for; -1 is
	// none of these.
	Index   int    `json:"-"`
	Table   int    `json:"table,omitempty" jsonschema:"routing table where it is not main"`
	Prefsrc string `json:"prefsrc,omitempty" jsonschema:"source address"`
	Metric  int    `json:"metric,omitempty"`
}
