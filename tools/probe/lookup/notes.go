package lookup

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"nsenter-mcp/tools/fact"
)

func note(out *fact.DNSLookup, code, format string, args ...any) {
	out.Notes = append(out.Notes, fact.DNSNote{Code: code, Message: fmt.Sprintf(format, args...)})
}

// noteFiles says which files the answer rests on, where that is not plain.
func (l *run) noteFiles(out *fact.DNSLookup) {
	for _, t := range l.files.trouble {
		note(out, "file_unread", "%s", t)
		out.Complete = false
	}
	switch {
	case l.files.known && l.files.ResolvConf == nil:
		note(out, "no_resolv_conf", "the target has no %s; the resolver library then asks a server on the target's own loopback address", resolvConfPath)
	case l.files.known:
	case l.Server.IsValid():
		note(out, "no_files", "the target's %s is not known, so no search list is used; the host's own never stands in", resolvConfPath)
	default:
		note(out, "no_files", "the target's %s is not known, so nobody knows which server the applications would ask; the host's own never stands in. "+
			"Name a server with the argument server", resolvConfPath)
	}
}

// noteConf says what in the files changes the course in a way that is easily
// overlooked.
func (l *run) noteConf(out *fact.DNSLookup) {
	p := l.readers[0]
	if p.plan.skipped > 0 {
		note(out, "search_cut", "%d names of the search list were not tried, only the first %d", p.plan.skipped, MaxNames-1)
		out.Complete = false
	}
	if want, wanted := l.family(); wanted && want != onlyIPv4 && p.conf.Flags[noAAAA] {
		note(out, "no_aaaa", "options no-aaaa makes %s ask for A alone, whatever the application wants", p.flavour)
	}
	if p.conf.Attempts == 0 {
		note(out, "attempts_zero", "options attempts:0 makes %s ask no server at all", p.flavour)
	}
	if p.conf.IgnoredTotal > 0 {
		first := p.conf.Ignored[0]
		note(out, "lines_ignored", "lines of %s without effect: %d; line %d: %s", resolvConfPath, p.conf.IgnoredTotal, first.Line, first.Why)
	}
	if p.flavour == Glibc && l.EnvironCut {
		note(out, "environment_cut", "the application's environment is longer than 1 MiB: variables behind that (LOCALDOMAIN, RES_OPTIONS) were not read")
	}
	if p.flavour == Glibc && (l.LocalDomain != nil || l.ResOptions != nil) {
		var names []string
		for _, v := range [...]struct {
			name string
			set  bool
		}{{"LOCALDOMAIN", l.LocalDomain != nil}, {"RES_OPTIONS", l.ResOptions != nil}} {
			if v.set {
				names = append(names, v.name)
			}
		}
		note(out, "environment", "the application's environment sets %s, which overrides %s", strings.Join(names, " and "), resolvConfPath)
	}
	if _, wanted := l.family(); wanted {
		l.noteOrder(out, p)
	}
}

// noteOrder says where nsswitch.conf leads elsewhere than to files and DNS.
func (l *run) noteOrder(out *fact.DNSLookup, p *reader) {
	if p.unasked {
		note(out, "no_hostname", "%s asks DNS for the addresses of host names only: letters, digits, - and _", p.flavour)
	}
	if p.order.broken {
		note(out, "nsswitch_broken", "%s does not parse, and %s then finds no name at all", nsswitchPath, p.flavour)
		return
	}
	named := func(name string) bool {
		return slices.ContainsFunc(p.order.services, func(s service) bool { return s.name == name })
	}
	if !named("dns") {
		note(out, "dns_not_used", "the hosts line of %s does not name dns, so DNS is not asked", nsswitchPath)
	}
	// What comes after dns is asked too seldom to be worth a word.
	var unknown []string
	for _, s := range p.order.services {
		if s.name == "dns" {
			break
		}
		if s.name != "files" && len(unknown) < maxShownServices {
			unknown = append(unknown, s.shown())
		}
	}
	if len(unknown) > 0 && (p.entry == nil || p.order.services[0].name != "files") {
		note(out, "services_skipped", "services before dns in the hosts line of %s, taken as not installed: %s", nsswitchPath, strings.Join(unknown, " "))
	}
}

// noteAnswer says what is odd about an answer that is none of the network's faults.
func (l *run) noteAnswer(out *fact.DNSLookup) {
	if out.Hosts != nil && out.Hosts.HostAlias && len(out.DNSAddresses) > 0 && !slices.Equal(out.Hosts.Addresses, out.DNSAddresses) {
		note(out, "host_alias", "line %d of %s, from the pod's hostAliases, says %s, DNS says %s",
			out.Hosts.Line, out.Hosts.File, out.Hosts.Addresses[0], out.DNSAddresses[0])
	}
	if out.Source != "dns" {
		return
	}
	for _, text := range out.Addresses {
		ip, _ := netip.ParseAddr(text)
		switch {
		case ip.IsUnspecified():
			note(out, "null_address", "DNS answers %s, which is no host: filtering resolvers answer so for blocked names. Linux connects this address to the target itself", ip)
			return
		case ip.IsLoopback():
			note(out, "loopback_address", "DNS answers %s: a loopback address means the asker, here the target itself", ip)
			return
		}
	}
}
