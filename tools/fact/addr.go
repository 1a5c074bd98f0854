package fact

import "time"

// Addr is one address of a link, with the names and types of `ip -json -details
// addr`. As there, a flag that is not set is absent.
type Addr struct {
	Family string `json:"family" jsonschema:"inet or inet6"`
	Local  string `json:"local,omitempty"`
	// Address is the other end's address on a point-to-point link, present only
	// where it differs from Local.
	Address   string `json:"address,omitempty" jsonschema:"the peer's address on a point-to-point link"`
	PrefixLen int    `json:"prefixlen"`
	Scope     string `json:"scope"`

	Secondary     bool `json:"secondary,omitempty"`
	Temporary     bool `json:"temporary,omitempty"`
	NoDAD         bool `json:"nodad,omitempty"`
	Optimistic    bool `json:"optimistic,omitempty"`
	DADFailed     bool `json:"dadfailed,omitempty" jsonschema:"another host has this address"`
	Home          bool `json:"home,omitempty"`
	Deprecated    bool `json:"deprecated,omitempty"`
	Tentative     bool `json:"tentative,omitempty" jsonschema:"not usable until duplicate detection ends"`
	Dynamic       bool `json:"dynamic,omitempty"`
	MngTmpAddr    bool `json:"mngtmpaddr,omitempty"`
	NoPrefixRoute bool `json:"noprefixroute,omitempty"`
	AutoJoin      bool `json:"autojoin,omitempty"`
	StablePrivacy bool `json:"stable-privacy,omitempty"`
	// OtherFlags are flags without a name, in hexadecimal.
	OtherFlags string `json:"ifa_flags,omitempty"`

	// Age is the time since the address was added. It is negative where the
	// kernel did not tell.
	Age time.Duration `json:"-"`

	AddrDetails
}

// AddrDetails are the fields of an [Addr] that only a detailed answer shows.
type AddrDetails struct {
	Metric    *int   `json:"metric,omitempty"`
	Broadcast string `json:"broadcast,omitempty"`
	Anycast   string `json:"anycast,omitempty"`
	Label     string `json:"label,omitempty"`
	// The lifetimes are in seconds; 4294967295 is for ever.
	ValidLifeTime     *int `json:"valid_life_time,omitempty"`
	PreferredLifeTime *int `json:"preferred_life_time,omitempty"`
}

// Compact returns the address without the fields that only a detailed answer
// shows.
func (a Addr) Compact() Addr {
	a.AddrDetails = AddrDetails{}
	return a
}
