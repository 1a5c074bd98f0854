package lookup

import (
	"bytes"
	"cmp"
	"context"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/miekg/dns"

	"nsenter-mcp/tools/fact"
)

// The bounds of what is reported; what is cut is counted.
const (
	maxShownSearch    = 32
	maxShownAddresses = 64
	maxShownRecords   = 100
	maxShownTries     = 200
	maxShownServices  = 16
)

// report states the result for the target's own library.
func (l *run) report(ctx context.Context, took time.Duration) *fact.DNSLookup {
	out := &fact.DNSLookup{
		Asked: printable(l.Name, maxData), Addresses: []string{}, Tried: []fact.DNSTry{},
		MS: milliseconds(took), Complete: true, Resolver: l.reportResolver(),
	}
	for _, t := range l.Types {
		out.Types = append(out.Types, TypeName(t))
	}
	l.noteFiles(out)
	if ip, literal := l.literal(); literal {
		out.Outcome, out.Source, out.Addresses = string(OutcomeAnswered), "literal", []string{ip.String()}
		return out
	}
	if l.nobody() {
		out.Outcome, out.Complete = string(OutcomeNoNameserver), false
		return out
	}
	l.noteConf(out)
	plays := l.plays(l.readers[0], l.seen)
	chosen := choose(plays)
	results := []play{plays[chosen]} // one a library
	for _, p := range l.readers[1:] {
		theirs := l.plays(p, l.seen)
		results = append(results, theirs[choose(theirs)])
	}
	l.sort(ctx, results)
	plays[chosen] = results[0]
	l.reportVerdict(out, plays, chosen)
	l.reportHosts(out, plays[chosen])
	l.reportWait(out, plays)
	l.reportTries(out, plays)
	l.reportOthers(out, results)
	l.noteAnswer(out)
	return out
}

// sort puts each library's addresses into its own order.
func (l *run) sort(ctx context.Context, results []play) {
	var addresses []netip.Addr
	for _, r := range results {
		addresses = append(addresses, r.Addresses...)
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	if addresses = slices.Compact(addresses); len(addresses) < 2 || len(addresses) > maxSorted {
		return
	}
	from := l.dialer.sourcesFor(ctx, addresses)
	from.gaiConf = l.files.GaiConf
	for i, p := range l.readers {
		results[i].Addresses = from.sorted(p.flavour, results[i].Addresses)
	}
}

// choose picks the question whose result is told: the first with an answer,
// else the first.
func choose(plays []play) int {
	return max(slices.IndexFunc(plays, func(p play) bool { return p.Outcome == OutcomeAnswered }), 0)
}

func (l *run) reportResolver() fact.DNSResolver {
	p := l.readers[0]
	r := fact.DNSResolver{
		Library: string(l.flavour), LibraryVersion: l.files.libc.version, Detected: l.files.libc.detected,
		Servers: []string{}, Search: []string{}, Options: []string{},
	}
	if l.files.known {
		r.File, r.From = resolvConfPath, l.From
		if len(p.order.services) > 0 && !p.order.defaulted {
			services := order{services: p.order.services[:min(len(p.order.services), maxShownServices)]}
			r.Order = services.String()
		}
		r.Ignored, r.Options = p.conf.Ignored, p.conf.Options()
	}
	if l.nobody() {
		return r
	}
	for _, s := range p.conf.Servers {
		r.Servers = append(r.Servers, serverName(s))
	}
	r.Defaulted = p.conf.Defaulted
	if l.NoSearch {
		return r
	}
	for _, domain := range p.conf.Search[:min(len(p.conf.Search), maxShownSearch)] {
		r.Search = append(r.Search, printable(domain, 255))
	}
	if len(p.conf.Search) > maxShownSearch {
		r.SearchTotal = len(p.conf.Search)
	}
	return r
}

// serverName leaves the usual port out.
func serverName(s netip.AddrPort) string {
	if s.Port() == dnsPort {
		return printable(s.Addr().String(), 255)
	}
	return printable(s.String(), 255)
}

func (l *run) reportVerdict(out *fact.DNSLookup, plays []play, chosen int) {
	p := plays[chosen]
	out.Outcome, out.Source, out.TwoDots = string(p.Outcome), p.source, p.TwoDots
	if l.questions[chosen].addresses {
		out.AppError = errorText(l.flavour, p.Error)
	}
	out.Name = p.Name
	if p.source == "hosts" {
		out.Name = ""
	} else {
		out.SearchDomain = printable(p.Domain, 255)
		if p.Server.IsValid() {
			out.Server = serverName(p.Server)
		}
	}
	if p.Outcome == OutcomeUnreachable && l.readers[0].conf.Defaulted {
		out.Outcome = string(OutcomeNoNameserver)
	}
	out.Addresses = append(out.Addresses, texts(p.Addresses)...)
	total := 0
	for group, p := range plays {
		x := l.seen[key{p.Name, p.Server, group}]
		if x == nil || p.source == "hosts" {
			continue
		}
		for _, r := range x.finals() {
			if !r.OK() || r.Rcode != rcodeSuccess {
				continue
			}
			out.Aliases = addAliases(out.Aliases, r.Aliases)
			if r.TTL >= 0 && (out.TTL == nil || r.TTL < *out.TTL) {
				out.TTL = &r.TTL
			}
			for _, record := range r.Records {
				if total++; total <= maxShownRecords {
					out.Records = append(out.Records, record)
				}
			}
		}
	}
	if total > maxShownRecords {
		out.RecordsTotal = total
	}
}

// texts writes the first of many addresses.
func texts(addresses []netip.Addr) []string {
	var list []string
	for _, ip := range addresses[:min(len(addresses), maxShownAddresses)] {
		list = append(list, ip.String())
	}
	return list
}

func addAliases(list, more []string) []string {
	const limit = 16
	for _, a := range more {
		if !slices.Contains(list, a) && len(list) < limit {
			list = append(list, a)
		}
	}
	return list
}

// reportHosts states the entry of the hosts file, and what DNS says beside it.
func (l *run) reportHosts(out *fact.DNSLookup, chosen play) {
	entry := l.readers[0].entry
	if entry == nil || len(entry.addresses) == 0 {
		return
	}
	h := &fact.DNSHosts{File: hostsPath, Line: entry.line, Addresses: texts(entry.addresses), Used: chosen.source == "hosts"}
	// pkg/kubelet/kubelet_pods.go, hostsEntriesFromHostAliases
	if before, _, found := bytes.Cut(l.files.Hosts, []byte("# Entries added by HostAliases.")); found {
		h.HostAlias = entry.line > bytes.Count(before, []byte("\n"))+1
	}
	out.Hosts = h
	if !h.Used {
		return
	}
	// As if the hosts file were empty.
	p := *l.readers[0]
	p.entry = nil
	p.order = muslOrder(nil)
	for _, v := range l.plays(&p, l.seen) {
		out.DNSAddresses = append(out.DNSAddresses, texts(v.Addresses)...)
	}
}

// reportWait states the longest wait over all servers that rotate may begin
// with, and over all questions.
func (l *run) reportWait(out *fact.DNSLookup, plays []play) {
	conf := &l.readers[0].conf
	longest := slices.Clone(plays)
	differs := false
	if conf.Flags[rotate] {
		for offset := 1; offset < len(conf.Servers); offset++ {
			for i, p := range l.playsFrom(l.readers[0], l.seen, offset) {
				differs = differs || p.Outcome != plays[i].Outcome || !sameAddresses(p.Addresses, plays[i].Addresses)
				if p.Forever || p.Wait > longest[i].Wait {
					longest[i] = p
				}
			}
		}
	}
	for _, p := range longest {
		out.AppWaitForever = out.AppWaitForever || p.Forever
		// Computed for a library, not measured: no better than to the millisecond.
		out.AppWaitMS = max(out.AppWaitMS, math.Round(float64(p.Wait)/float64(time.Millisecond)))
	}
	if differs {
		out.Notes = append(out.Notes, fact.DNSNote{
			Code: "rotate", Message: "options rotate: chance decides which server is asked first, and so the answer; app_wait_ms is the worst case",
		})
	}
}

func sameAddresses(a, b []netip.Addr) bool {
	order := func(list []netip.Addr) []netip.Addr {
		list = slices.Clone(list)
		slices.SortFunc(list, netip.Addr.Compare)
		return slices.Compact(list)
	}
	return slices.Equal(order(a), order(b))
}

// reportTries lists the exchanges: those of the application in its order, then
// the deciding name at the other servers, then the rest.
func (l *run) reportTries(out *fact.DNSLookup, plays []play) {
	type row struct {
		name   string
		server netip.AddrPort
	}
	var rows []row
	used := make(map[row]bool)
	add := func(r row) {
		if !slices.Contains(rows, r) {
			rows = append(rows, r)
		}
	}
	deciding := make(map[string]bool)
	for _, p := range plays {
		for _, x := range p.Exchanges {
			r := row{x.Name, x.Server}
			used[r] = true
			add(r)
		}
		deciding[p.Name] = true
	}
	for _, decides := range [...]bool{true, false} {
		for _, j := range l.jobs() {
			if l.seen[j.key] != nil && deciding[j.name] == decides {
				add(row{j.name, j.server})
			}
		}
	}
	ignored := 0
	for i, r := range rows {
		try := l.reportTry(r.name, r.server)
		try.Beside = !used[r]
		for _, p := range plays {
			for x, wait := range p.Waits {
				if x.Name == r.name && x.Server == r.server {
					try.AppWaitMS = max(try.AppWaitMS, milliseconds(wait))
				}
			}
		}
		ignored += try.Ignored
		if i < maxShownTries {
			out.Tried = append(out.Tried, try)
		}
		if used[r] && l.Window < DefaultWindow && (try.Outcome == string(OutcomeTimeout) || len(try.Types) > 0) {
			out.Complete = false
		}
	}
	if len(rows) > maxShownTries {
		out.TriedTotal = len(rows)
	}
	if ignored > 0 {
		out.Notes = append(out.Notes, fact.DNSNote{
			Code:    "packets_ignored",
			Message: strconv.Itoa(ignored) + " packets came with an ID or question that was not asked, or were no DNS; resolvers drop them",
		})
	}
}

// reportTry folds what one server said about one name, for all types.
func (l *run) reportTry(name string, server netip.AddrPort) fact.DNSTry {
	try := fact.DNSTry{Name: name, Server: serverName(server)}
	types := make(map[string]string)
	for group := range l.questions {
		x := l.seen[key{name, server, group}]
		if x == nil {
			continue
		}
		try.Ignored += x.Ignored
		try.Again = try.Again || x.Again != nil
		if x.AnsweredBy.IsValid() {
			try.AnsweredBy = x.AnsweredBy.String()
		}
		try.Wire, try.Journey = cmp.Or(try.Wire, x.Wire), cmp.Or(try.Journey, x.Journey)
		if x.SentTo.IsValid() {
			try.SentTo = x.SentTo.String()
		}
		before := time.Duration(0)
		if x.Stream != nil {
			try.TCP = streamOutcome(x.Stream)
			for i := range x.Datagrams {
				before = max(before, x.Datagrams[i].After)
			}
			if x.Stream.Connect == Answered {
				before += x.Stream.ConnectTime
			}
		}
		for i, r := range x.finals() {
			a := reportAnswer(x.Types[i], &r, before)
			try.Answers = append(try.Answers, a)
			types[a.Type] = a.Outcome
			try.MS = max(try.MS, a.MS)
			try.Lost = max(try.Lost, r.Lost)
			try.Reason = cmp.Or(try.Reason, a.Reason)
			if try.Outcome == "" || a.Outcome == string(OutcomeAnswered) {
				try.Outcome = a.Outcome
			}
		}
	}
	for _, outcome := range types {
		if outcome != try.Outcome {
			try.Types = types
		}
	}
	return try
}

func reportAnswer(qtype uint16, r *Reply, before time.Duration) fact.DNSAnswer {
	a := fact.DNSAnswer{
		Type: TypeName(qtype), Outcome: string(r.failure()), MS: milliseconds(before + r.After),
		Reason: r.Reason, Lost: r.Lost,
	}
	switch r.State {
	case Undersized:
		a.Reason = "shorter than a DNS header"
	case HungUp:
		a.Reason = cmp.Or(r.Reason, "connection closed before the answer")
	case Garbage:
		a.Reason = "nothing but wrong messages"
	}
	m := r.Message
	if !r.OK() {
		return a
	}
	a.Rcode, a.Bytes, a.Malformed, a.Zone, a.NegativeTTL = rcodeName(m.Rcode), m.Size, m.Malformed, m.Zone, m.NegativeTTL
	switch {
	case m.Malformed:
		a.Reason = "answer does not parse"
	case m.Lame:
		a.Reason = "neither answer nor authority nor recursion"
	case m.Rcode != rcodeSuccess && m.Rcode != rcodeNXDomain && m.Rcode != rcodeServFail && m.Rcode != rcodeRefused:
		a.Reason = a.Rcode
	}
	for _, flag := range [...]struct {
		name string
		set  bool
	}{{"aa", m.AA}, {"tc", m.TC}, {"ra", m.RA}, {"ad", m.AD}} {
		if flag.set {
			a.Flags = append(a.Flags, flag.name)
		}
	}
	a.Addresses = texts(m.Loose)
	if len(m.Loose) > maxShownAddresses {
		a.AddressTotal = len(m.Loose)
	}
	if m.TTL >= 0 {
		a.TTL = &m.TTL
	}
	return a
}

func rcodeName(code int) string {
	if name, ok := dns.RcodeToString[code]; ok {
		return name
	}
	return "RCODE" + strconv.Itoa(code)
}

// streamOutcome is what became of TCP, in one word.
func streamOutcome(s *Stream) string {
	switch s.Connect {
	case Answered:
	case PortClosed:
		return "refused"
	case Silent:
		return "timeout"
	default:
		return "unreachable"
	}
	outcome := "ok"
	for i, r := range s.Replies {
		switch {
		case r.State == Silent || r.State == Garbage:
			return "silent"
		case r.State == HungUp && s.separate(i).OK():
			outcome = "one_answer"
		case r.State == HungUp:
			return "closed"
		}
	}
	return outcome
}

// milliseconds rounds to what is worth reading: hundredths.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(10*time.Microsecond)) / 100
}
