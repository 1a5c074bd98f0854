package lookup

import (
	"net/netip"
	"slices"
)

// library is everything that is known of one resolver library.
type library struct {
	flavour Flavour
	conf    func(*Sources) Conf
	order   func(nsswitch []byte) order
	hosts   hostsLookup
	plan    planner
	walk    walker
	// accepts reports whether the library asks DNS for addresses of a name.
	accepts func(name string) bool
}

// libraries returns all of them, the given one first.
func libraries(first Flavour) []library {
	all := []library{
		{Glibc, glibcConf, glibcOrder, glibcHosts, glibcPlan, walkGlibc, hostnameForm.MatchString},
		{Musl, muslConf, muslOrder, muslHosts, muslPlan, walkMusl, anyName},
		{OldMusl, muslConf, muslOrder, muslHosts, oldMuslPlan, walkOldMusl, anyName},
		{Go, goConf, goOrder, goHosts, goPlan, walkGo, isGoDomainName},
	}
	i := slices.IndexFunc(all, func(l library) bool { return l.flavour == first })
	all[0], all[i] = all[i], all[0]
	return all
}

// muslOrder: musl does not read nsswitch.conf.
func muslOrder([]byte) order {
	return order{services: []service{newService("files"), newService("dns")}, defaulted: true}
}

func anyName(string) bool { return true }

// reader is a library with the files of one target read, and the plan for one
// name.
type reader struct {
	library
	conf  Conf
	order order
	plan  plan
	entry *hostsEntry
	// unasked: the library does not ask DNS for such a name.
	unasked bool
	// own are the servers that the target's own file names.
	own []netip.AddrPort
	// missing are services for which glibc finds no library.
	missing []string
}

func newReader(l library, s *Sources, r *Request) *reader {
	p := &reader{library: l, conf: l.conf(s), order: l.order(s.Nsswitch)}
	p.own, p.missing = p.conf.Servers, s.Missing
	if r.Server.IsValid() {
		p.conf.Servers, p.conf.Defaulted = []netip.AddrPort{r.Server}, false
	}
	name, search := r.Name, !r.NoSearch
	if reversed, ok := ReverseName(name); ok && slices.Contains(r.Types, typePTR) {
		name, search = reversed, false
	}
	p.plan = l.plan(&p.conf, name, search)
	if want, wanted := r.family(); wanted {
		p.entry = l.hosts(s, r.Name, want)
		p.unasked = !l.accepts(r.Name)
	}
	return p
}

// play is what the library comes to.
type play struct {
	Verdict
	source string // "hosts", "dns", or "" without an answer
}

// resolve goes through the services of the hosts line for one question.
func (p *reader) resolve(q question, offset int, seen func(string, netip.AddrPort) *Exchange) play {
	walk := func() Verdict {
		if p.unasked && q.addresses {
			return Verdict{Outcome: OutcomeNXDomain, Error: p.notFound()}
		}
		return p.walk(&course{question: q, conf: &p.conf, plan: p.plan, offset: offset, seen: seen})
	}
	if !q.addresses {
		return dnsPlay(walk())
	}
	result := play{Verdict: Verdict{Outcome: OutcomeNXDomain, Error: p.notFound()}}
	if p.order.broken && q.want == onlyIPv4 {
		result.Error = eaiSystem
	}
	for _, s := range p.order.services {
		state := statusUnavailable
		switch s.name {
		case "files":
			state = statusNotFound
			if p.entry != nil && len(p.entry.addresses) == 0 {
				result.Outcome, result.Error = OutcomeNoData, p.noData()
				return result
			}
			if p.entry != nil {
				result.source, result.Outcome, result.Addresses, result.Error = "hosts", OutcomeAnswered, p.entry.addresses, ""
				state = statusSuccess
			}
		case "dns":
			result = dnsPlay(walk())
			switch {
			case result.Pending || result.Forever:
				return result
			case result.Outcome == OutcomeAnswered:
				state = statusSuccess
			case result.Outcome.notFound():
				state = statusNotFound
			}
		default:
			if p.flavour == Glibc && q.want != onlyIPv4 && slices.Contains(p.missing, s.name) {
				result.Error = eaiSystem // EBUSY (get_nss_addresses of nss/getaddrinfo.c)
			}
		}
		if s.stops[state] {
			break
		}
	}
	return result
}

// notFound is the library's error for a name that nobody was asked for.
func (p *reader) notFound() string {
	if p.flavour == Go {
		return goError(OutcomeNXDomain)
	}
	return eaiNoName
}

// noData is the library's error for a name that the hosts file has without an
// address of the family.
func (p *reader) noData() string {
	switch p.flavour {
	case Go:
		return "no suitable address found"
	case OldMusl:
		return eaiNoName
	}
	return eaiNoData
}

func dnsPlay(v Verdict) play {
	p := play{Verdict: v}
	if v.Outcome == OutcomeAnswered {
		p.source = "dns"
	}
	return p
}
