package fact

import "slices"

// DNSLookup is what one lookup of a name came to, and what was measured on the
// way. Durations are in milliseconds. All text is printable ASCII; names are in
// presentation form (RFC 1035, section 5.1), in which everything else is \DDD.
type DNSLookup struct {
	// Outcome is answered, nxdomain, nodata, servfail, bad_response, refused, reset,
	// timeout, unreachable or no_nameserver: what the application's resolver library
	// would have made of it.
	Outcome string `json:"outcome" jsonschema:"answered, nxdomain, nodata, servfail, bad_response, refused, reset, timeout, unreachable or no_nameserver"`
	// AppError is what the application is told on failure, as its log has it.
	AppError string `json:"app_error,omitempty" jsonschema:"what the application is told, as its log has it"`
	// Source is dns, hosts or literal; "" without an answer.
	Source string `json:"source,omitempty" jsonschema:"where the answer is from: dns, hosts or literal"`
	// Name decided: the one that was answered, or whose failure is reported.
	Name string `json:"deciding_name,omitempty" jsonschema:"name that was answered, or whose failure is what the application is told"`
	// SearchDomain is the part of Name that the search list gave.
	SearchDomain string `json:"search_domain,omitempty"`
	// Server gave the decision.
	Server string `json:"server,omitempty" jsonschema:"nameserver that decided"`
	// Aliases are the CNAME targets that the answer went through.
	Aliases []string `json:"aliases,omitempty" jsonschema:"CNAME targets, in order"`
	// Addresses are in the order in which the application gets them: it connects to
	// the first one first.
	Addresses []string    `json:"addresses" jsonschema:"what the application gets, in its order"`
	TTL       *int        `json:"ttl,omitempty" jsonschema:"seconds"`
	Records   []DNSRecord `json:"records,omitempty" jsonschema:"answers of types other than A and AAAA"`
	// RecordsTotal counts them where Records is cut.
	RecordsTotal int `json:"records_total,omitempty"`

	// AppWaitMS is how long the application would have waited. It is computed:
	// nothing waits for it. For one question it is the sum over Tried.
	AppWaitMS float64 `json:"app_wait_ms" jsonschema:"computed: how long the application's resolver would take, with its timeouts and attempts; the sum of tried[].app_wait_ms"`
	// AppWaitForever: nothing would have ended the wait.
	AppWaitForever bool `json:"app_wait_forever,omitempty" jsonschema:"the application's resolver would never have returned"`

	Resolver DNSResolver `json:"resolver" jsonschema:"what decides how the application asks"`
	// Tried are the exchanges, first those that the application would have had.
	Tried []DNSTry `json:"tried"`
	// Journey is that of the first server of which nothing was heard.
	Journey *Journey `json:"journey,omitempty" jsonschema:"as of netns_curl: where one more question without an answer went on this node, as its kernel saw it"`
	// TriedTotal counts them where Tried is cut.
	TriedTotal int `json:"tried_total,omitempty"`

	// Hosts is what the hosts file says of the name.
	Hosts *DNSHosts `json:"hosts,omitempty" jsonschema:"what the hosts file says of the name"`
	// Others are resolver libraries that would have come to something else.
	Others []DNSOther `json:"other_resolvers,omitempty" jsonschema:"resolver libraries with which the application would get something else"`

	// MS is how long measuring took. Complete is false where something that the
	// application might have asked was not asked, or not waited for long enough.
	MS       float64 `json:"ms"`
	Complete bool    `json:"complete"`

	// Service is the one that the name means, where the lookup failed, and Nameserver the
	// one whose address the first nameserver is.
	Service    *Service `json:"service,omitempty" jsonschema:"as of netns_curl: the service of that name, as the Kubernetes API has it"`
	Nameserver *Service `json:"nameserver_service,omitempty" jsonschema:"as of netns_curl: the service at the first nameserver's address"`
	// DNSPolicy is that of the target's pod, where the name is a service's and the
	// nameserver is none of the cluster. HostNetwork: the pod is in the host's network.
	DNSPolicy   string `json:"dns_policy,omitempty" jsonschema:"of the pod's spec"`
	HostNetwork bool   `json:"-"`

	// TwoDots: the search list ends it, with a name that has two final dots.
	TwoDots bool `json:"-"`
	// DNSAddresses is what the servers say where the hosts file decided.
	DNSAddresses []string `json:"-"`
	// Asked is the name as the caller gave it, Types what was asked for.
	Asked string   `json:"-"`
	Types []string `json:"-"`
	// Notes say what to know about the answer; they are no faults.
	Notes []DNSNote `json:"-"`
}

// ShowJourney puts the journey of the first server that has one beside the tries.
func (l *DNSLookup) ShowJourney() {
	for i := range l.Tried {
		if t := &l.Tried[i]; t.Journey != nil && l.Journey == nil {
			l.Journey, t.Journey = t.Journey, nil
		}
	}
}

// LookupEvidence is a lookup with what explains it.
type LookupEvidence struct {
	*DNSLookup
	Host      bool          // made in the node's own network
	Namespace string        // Kubernetes namespace of the pod; "" for what is no pod
	Links     *LinkEvidence // nil where they were not read
	// ServiceUnknown says why it is not known which services take part; "" where it is, or
	// nobody can be asked.
	ServiceUnknown string
}

// HalfDenied reports whether the deciding server has an address of the name for which
// the library finds none, as the server denies the name for the other record type.
func (l *DNSLookup) HalfDenied() bool {
	return l.Outcome == "nxdomain" && slices.ContainsFunc(l.Tried, func(t DNSTry) bool {
		return t.Name == l.Name && t.Server == l.Server && t.Outcome == "answered"
	})
}

// Unheard reports whether no server said anything: a refusal is something too.
func (l *DNSLookup) Unheard() bool {
	return (l.Outcome == "timeout" || l.Outcome == "unreachable") && !slices.ContainsFunc(l.Tried, func(t DNSTry) bool {
		return t.Reason == "ECONNREFUSED" || t.Outcome == "answered"
	})
}

// DNSResolver is the configuration of the application's resolver library.
type DNSResolver struct {
	// Library is glibc, musl or "musl before 1.2.4"; Detected says that the target's
	// files show it, else it is assumed. LibraryVersion is musl's, as its file says.
	Library        string `json:"library" jsonschema:"resolver library that the answer is told for: glibc, musl, musl before 1.2.4"`
	LibraryVersion string `json:"library_version,omitempty"`
	Detected       bool   `json:"library_detected" jsonschema:"the target's files show that library; else it is assumed"`
	// File and From are absent where no file is known.
	File string `json:"file,omitempty"`
	From string `json:"from,omitempty" jsonschema:"whose file"`
	// Servers are asked in this order.
	Servers []string `json:"servers"`
	// Defaulted: the file names no server, and this is the library's default.
	Defaulted bool     `json:"servers_default,omitempty" jsonschema:"the file names no usable server; these are the library's default"`
	Search    []string `json:"search"`
	// SearchTotal counts the domains where Search is cut.
	SearchTotal int      `json:"search_total,omitempty"`
	Options     []string `json:"options"`
	// Order are the services of nsswitch.conf's hosts line.
	Order string `json:"order,omitempty" jsonschema:"hosts line of nsswitch.conf"`
	// Ignored are lines of the file without effect.
	Ignored []DNSIgnored `json:"ignored,omitempty" jsonschema:"lines of the file without effect"`
}

// DNSIgnored is a line of resolv.conf that has no effect.
type DNSIgnored struct {
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// DNSTry is everything that one server said about one name.
type DNSTry struct {
	Name   string `json:"name"`
	Server string `json:"server"`
	// Outcome sums the types up: answered where one was.
	Outcome string `json:"outcome"`
	// Types says what came of each type where they differ.
	Types map[string]string `json:"types,omitempty" jsonschema:"outcome of each record type, where they differ"`
	// MS is the time until the last answer, or how long it was waited.
	MS float64 `json:"ms"`
	// AppWaitMS is what this server and name add to the application's wait.
	AppWaitMS float64 `json:"app_wait_ms,omitempty"`
	// Reason is the kernel's word for a failure (ECONNREFUSED), or the response
	// code where it is none of the common ones.
	Reason string `json:"reason,omitempty"`
	// Again: the first answer was an error, and the second try was answered.
	Again bool `json:"second_try,omitempty" jsonschema:"this is the first answer; asked once more, the server answered"`
	// SentTo is where the target's own NAT sends what goes to the server, as its
	// connection tracking says.
	SentTo string `json:"sent_to,omitempty" jsonschema:"where the target's own NAT sends the query"`
	// AnsweredBy is from where the answer came, if not from the server: resolvers drop
	// it.
	AnsweredBy string `json:"answered_by,omitempty" jsonschema:"the answer came from this address instead, so resolvers drop it"`
	// Wire is what came to the interfaces where no socket got an answer.
	Wire *DNSWire `json:"wire,omitempty" jsonschema:"answers at the interfaces of the target, where its socket got none"`
	// Journey is where one more question went on this node, and its answer. An answer to
	// the caller shows it beside the tries, and here those of other servers.
	Journey *Journey `json:"journey,omitempty"`
	// TCP is ok, refused, timeout, unreachable, silent, closed, or one_answer where TCP
	// was used.
	TCP string `json:"tcp,omitempty" jsonschema:"what became of TCP, where it was used"`
	// Lost counts queries that nothing answered before one that was.
	Lost int `json:"lost,omitempty" jsonschema:"queries without an answer before one that was answered"`
	// Ignored counts packets that belonged to no question.
	Ignored int `json:"ignored,omitempty" jsonschema:"packets with a wrong ID or question"`
	// Beside: the application would not have asked this.
	Beside bool `json:"beside,omitempty" jsonschema:"asked for comparison; the application would not have"`

	// Answers are the details by type.
	Answers []DNSAnswer `json:"answers,omitempty"`
}

// DNSWire is what came to the interfaces of a target for one more query, before the
// target's packet filter.
type DNSWire struct {
	Answers int    `json:"answers"`
	Dev     string `json:"dev,omitempty" jsonschema:"where they came in"`
	// From is who sent them, if neither the server nor where NAT sent the query.
	From string `json:"from,omitempty" jsonschema:"who sent them, if not the server"`
	// OtherMAC: their frames were for another MAC address.
	OtherMAC bool              `json:"other_mac,omitempty"`
	Counters map[string]uint64 `json:"counters,omitempty" jsonschema:"of the namespace, that moved meanwhile"`
}

// DNSAnswer is what came for one type.
type DNSAnswer struct {
	Type    string  `json:"type"`
	Outcome string  `json:"outcome"`
	MS      float64 `json:"ms"`
	Rcode   string  `json:"rcode,omitempty"`
	// Flags are those that were set: aa, tc, ra, ad.
	Flags     []string `json:"flags,omitempty"`
	Bytes     int      `json:"bytes,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	// AddressTotal counts them where Addresses is cut.
	AddressTotal int  `json:"address_total,omitempty"`
	TTL          *int `json:"ttl,omitempty"`
	// Zone denies the name; NegativeTTL says for how many seconds.
	Zone        string `json:"zone,omitempty" jsonschema:"zone whose SOA record came with the denial"`
	NegativeTTL int    `json:"negative_ttl,omitempty" jsonschema:"seconds for which the denial is kept"`
	Malformed   bool   `json:"malformed,omitempty" jsonschema:"the answer does not parse"`
	Reason      string `json:"reason,omitempty"`
	Lost        int    `json:"lost,omitempty"`
}

// DNSRecord is one answer that is no address.
type DNSRecord struct {
	Name string `json:"name"`
	Type string `json:"type"`
	TTL  uint32 `json:"ttl"`
	// Data has names and numbers only, in presentation form.
	Data string `json:"data,omitempty"`
	// Untrusted is data with text of the zone owner's choice, escaped.
	Untrusted DNSText `json:"untrusted,omitzero"`
}

// DNSText is data of a record that holds text of the zone owner's choice.
type DNSText struct {
	Data string `json:"data,omitempty"`
}

// DNSHosts is what the hosts file says of the name.
type DNSHosts struct {
	File      string   `json:"file"`
	Line      int      `json:"line"`
	Addresses []string `json:"addresses"`
	// Used: it is the answer.
	Used bool `json:"used"`
	// HostAlias: the line follows the kubelet's comment on hostAliases.
	HostAlias bool `json:"host_alias,omitempty" jsonschema:"from hostAliases of the pod"`
}

// DNSOther is what another resolver library would have come to.
type DNSOther struct {
	Library       string   `json:"library"`
	Outcome       string   `json:"outcome"`
	Addresses     []string `json:"addresses,omitempty"`
	Name          string   `json:"deciding_name,omitempty"`
	WaitMS        float64  `json:"wait_ms"`
	WaitIsForever bool     `json:"wait_forever,omitempty"`
	// SameResult: only the time is another.
	SameResult bool   `json:"same_result,omitempty"`
	Why        string `json:"why,omitempty"`
}

// DNSNote is something to know about the answer.
type DNSNote struct {
	Code, Message string
}
