package fact

// Tries sums up what was asked several times, each time anew.
type Tries struct {
	Count int `json:"count" jsonschema:"asked for"`
	Done  int `json:"done" jsonschema:"fewer than count: the time was up"`
	OK    int `json:"ok"`
	// Failed counts the others by their outcome.
	Failed map[string]int `json:"failed,omitempty" jsonschema:"by outcome"`
	// MinMS, MedianMS and MaxMS are of the tries that were answered; absent for none.
	MinMS    *float64 `json:"min_ms,omitempty" jsonschema:"of those answered"`
	MedianMS *float64 `json:"median_ms,omitempty"`
	MaxMS    *float64 `json:"max_ms,omitempty"`
	// Retransmits counts segments that were sent again, SYNs included (TCP_INFO).
	Retransmits int `json:"retransmits" jsonschema:"segments sent again, SYNs included"`
	// SYNRepeated counts the tries that connected after their SYN was sent again, by the
	// whole seconds that connecting took: a SYN is repeated after 1 s (RFC 6298).
	SYNRepeated map[string]int `json:"syn_repeated,omitempty" jsonschema:"tries whose SYN was sent again and answered, by the seconds that connecting took"`
	// DataRepeated counts the tries in which data was sent again, and the other side did
	// not say that the first had come too (RFC 2883).
	DataRepeated int `json:"data_repeated,omitempty" jsonschema:"tries in which data was sent again"`
	// Backends are those that most tries failed at first, at most [MaxTriedBackends].
	Backends      []TriedBackend `json:"backends" jsonschema:"where the connections led"`
	BackendsTotal int            `json:"backends_total,omitempty"`
}

// MaxTriedBackends bounds [Tries.Backends].
const MaxTriedBackends = 8

// TriedBackend is an address that tries led to.
type TriedBackend struct {
	Address string `json:"address"`
	// Translated: NAT led there, of the target or its node, as conntrack says.
	Translated bool `json:"translated,omitempty" jsonschema:"NAT led there"`
	OK         int  `json:"ok"`
	// Unconnected counts the tries that no connection came of; others failed later.
	Unconnected int `json:"unconnected,omitempty" jsonschema:"tries without a connection"`
	Failed      int `json:"failed,omitempty" jsonschema:"tries that failed later"`
}
