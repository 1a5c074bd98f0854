package lookup

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"

	"nsenter-mcp/tools/fact"
)

// TypeA is the record type of IPv4 addresses.
const TypeA = typeA

// The record types that getaddrinfo(3) asks for, and that of reverse lookups.
const (
	typeA    = dns.TypeA
	typeAAAA = dns.TypeAAAA
	typePTR  = dns.TypePTR
)

// Target is whose lookup is played.
type Target struct {
	Network
	// Files are the files that the target's applications see; nil where none are
	// known. The host's own never stand in.
	Files Files
	// WholeRoot: Files is the applications' whole root directory, so a file that
	// is not there does not exist for them.
	WholeRoot bool
	// From says in words whose files they are.
	From string
	// Hostname is what gethostname(2) says to the applications, and is called where
	// the files give no search list; nil where nobody knows.
	Hostname func() string
	// LocalDomain and ResOptions are variables of the application's environment;
	// see [ParseEnvironment].
	LocalDomain, ResOptions *string
	// EnvironCut: the environment is longer than what was read of it.
	EnvironCut bool
}

// Request is what to look up.
type Request struct {
	// Name passes [CheckName].
	Name string
	// Types are asked for; none means A and AAAA.
	Types []uint16
	// Server is asked in place of the target's own, if it is valid.
	Server netip.AddrPort
	// NoSearch tries the name as it is alone.
	NoSearch bool
	// EDNS sends an OPT record even where resolv.conf does not ask for it.
	EDNS bool
	// Window is how long servers are waited for; 0 means [DefaultWindow].
	Window time.Duration
	// Beside are absolute names that are asked for comparison.
	Beside []string
	// Hurry returns as soon as it is known what the application gets. Servers and
	// libraries that do not decide that are left out.
	Hurry bool
}

// family is which addresses are asked for.
func (r *Request) family() (want family, wanted bool) {
	v4, v6 := slices.Contains(r.Types, typeA), slices.Contains(r.Types, typeAAAA)
	switch {
	case v4 && v6:
		return anyFamily, true
	case v4:
		return onlyIPv4, true
	case v6:
		return onlyIPv6, true
	}
	return 0, false
}

// questions are what a library asks one by one: both addresses at once, every
// other type by itself. With the option no-aaaa glibc asks for A even where AAAA
// is wanted, and throws the addresses away (resolv/res-noaaaa.c).
func (r *Request) questions(noAAAA bool) []question {
	var list []question
	want, wanted := r.family()
	if wanted {
		q := question{addresses: true, want: want, types: []uint16{typeA, typeAAAA}}
		switch {
		case want == onlyIPv4 || noAAAA:
			q.types = q.types[:1]
		case want == onlyIPv6:
			q.types = q.types[1:]
		}
		list = append(list, q)
	}
	for _, t := range r.Types {
		if t != typeA && t != typeAAAA {
			list = append(list, question{types: []uint16{t}})
		}
	}
	return list
}

// Run looks a name up as the target's applications would and says what they
// would get. What the network does is part of the answer; an error means that
// this process could not measure: no privilege, a server that the policy
// refuses, or ctx canceled.
func Run(ctx context.Context, t Target, r Request) (*fact.DNSLookup, error) {
	start := time.Now()
	if err := CheckName(r.Name); err != nil {
		return nil, err
	}
	if len(r.Types) == 0 {
		r.Types = []uint16{typeA, typeAAAA}
	}
	if r.Window == 0 {
		r.Window = DefaultWindow
	}
	if deadline, ok := ctx.Deadline(); ok {
		r.Window = min(r.Window, time.Until(deadline))
	}
	files, err := readSources(ctx, t.Files, t.WholeRoot)
	if err != nil {
		return nil, err
	}
	files.LocalDomain, files.ResOptions = t.LocalDomain, t.ResOptions
	files.Hostname = t.Hostname
	l := &run{Target: t, Request: r, files: files, flavour: files.libc.flavour}
	for _, lib := range libraries(l.flavour) {
		if lib.flavour.isMusl() && lib.flavour != l.flavour && files.libc.version != "" {
			continue // it has the other version
		}
		l.readers = append(l.readers, newReader(lib, &files.Sources, &r))
		if r.Hurry {
			break
		}
	}
	l.questions = r.questions(l.readers[0].conf.Flags[noAAAA])
	if err := l.ask(ctx); err != nil {
		return nil, err
	}
	return l.report(ctx, time.Since(start)), nil
}

// run is one lookup under way.
type run struct {
	Target
	Request
	files     *reading
	flavour   Flavour
	readers   []*reader // the target's own library first
	questions []question
	seen      table
	dialer    *dialer
}

// literal returns the address that the name is.
func (l *run) literal() (netip.Addr, bool) {
	if _, wanted := l.family(); !wanted {
		return netip.Addr{}, false
	}
	return addressLiteral(l.Name)
}

// nobody reports whether nothing says which server to ask.
func (l *run) nobody() bool { return !l.Server.IsValid() && !l.files.known }

// ask has every exchange that any of the libraries would have.
func (l *run) ask(ctx context.Context) error {
	if _, literal := l.literal(); literal || l.nobody() {
		return nil
	}
	jobs := l.jobs()
	var servers []netip.AddrPort
	for _, j := range jobs {
		if !slices.Contains(servers, j.server) {
			servers = append(servers, j.server)
		}
	}
	d, err := newDialer(l.Network, l.ownServers(), servers)
	if err != nil {
		return err
	}
	l.dialer = d
	for _, s := range servers {
		if err := d.check(s); err != nil {
			return fmt.Errorf("nameserver %s: %w", s, err)
		}
	}
	conf := &l.readers[0].conf
	a := &asker{
		dial: d.dial, edns: l.EDNS || conf.Flags[edns0], trustAD: conf.Flags[trustAD], useTCP: conf.Flags[useVC],
		oneByOne: conf.Flags[singleRequest] || conf.Flags[singleRequestReopen], resend: resendTimes(),
	}
	after := settle
	if l.Hurry {
		after = 0
		if l.decided(nil) {
			return nil // by the hosts file
		}
	}
	if l.seen, err = collect(ctx, a, jobs, l.Window, after, l.decided); err == nil {
		l.findDetours(ctx, a)
	}
	return err
}

// decided reports whether it is known what the application gets.
func (l *run) decided(seen table) bool {
	return !slices.ContainsFunc(l.plays(l.readers[0], seen), func(p play) bool { return p.Pending })
}

// ownServers are those that the target's own files name.
func (l *run) ownServers() []netip.AddrPort {
	var own []netip.AddrPort
	for _, p := range l.readers {
		if l.files.known {
			own = append(own, p.own...)
		}
	}
	return own
}

func (l *run) jobs() []job {
	var jobs []job
	known := make(map[key]bool)
	add := func(name string, server netip.AddrPort) {
		for group, q := range l.questions {
			k := key{name, server, group}
			if name != "" && !known[k] {
				known[k] = true
				jobs = append(jobs, job{k, q.types})
			}
		}
	}
	for _, p := range l.readers {
		for _, c := range p.plan.candidates() {
			for _, server := range p.conf.Servers {
				add(c.name, server)
			}
		}
	}
	for _, name := range l.Beside {
		if fqdn, ok := absolute(name); ok {
			for _, server := range l.readers[0].conf.Servers {
				add(fqdn, server)
			}
		}
	}
	return jobs
}

// plays are a library's results for each question.
func (l *run) plays(p *reader, seen table) []play { return l.playsFrom(p, seen, 0) }

// playsFrom is plays where rotate begins with the server at offset.
func (l *run) playsFrom(p *reader, seen table, offset int) []play {
	plays := make([]play, len(l.questions))
	for group, q := range l.questions {
		plays[group] = p.resolve(q, offset, func(name string, server netip.AddrPort) *Exchange {
			return seen[key{name, server, group}]
		})
	}
	return plays
}
