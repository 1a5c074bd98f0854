package lookup

import (
	"regexp"
	"slices"
	"strings"
)

// status is what a service of nsswitch.conf(5) reports.
type status uint8

const (
	statusSuccess status = iota
	statusNotFound
	statusUnavailable
	statusTryAgain
	statusCount
)

// service is one word of the hosts line, with what follows on each status.
type service struct {
	name  string
	stops [statusCount]bool // RETURN; the others CONTINUE
}

// order is the hosts line of nsswitch.conf.
type order struct {
	services []service
	// broken: a line does not parse, and glibc then refuses to look up anything.
	broken bool
	// defaulted: there is no hosts line.
	defaulted bool
}

// String writes the order as in the file, with those services that are known: the
// others are words of whoever wrote the file.
func (o *order) String() string {
	words := make([]string, len(o.services))
	for i, s := range o.services {
		words[i] = s.shown()
	}
	return strings.Join(words, " ")
}

// knownServices are those that distributions have for the hosts line.
var knownServices = [...]string{
	"files", "dns", "myhostname", "mymachines", "resolve", "mdns", "mdns4", "mdns6", "mdns_minimal", "mdns4_minimal", "mdns6_minimal",
	"altfiles", "compat", "db", "hesiod", "ldap", "libvirt", "libvirt_guest", "nis", "nisplus", "sss", "systemd", "usrfiles", "winbind", "wins",
}

func (s *service) shown() string {
	if slices.Contains(knownServices[:], s.name) {
		return s.name
	}
	return "(unknown)"
}

// newService has the default actions.
func newService(name string) service {
	s := service{name: name}
	s.stops[statusSuccess] = true
	return s
}

// glibcOrder reads the hosts line of nsswitch.conf as glibc does (nss/nss_database.c
// and nss_action_parse.c). Of several the last counts. An error in one spoils all.
func glibcOrder(data []byte) order {
	o := order{services: []service{newService("files"), newService("dns")}, defaulted: true}
	for _, line := range lines(data) {
		line = strings.TrimLeftFunc(line, space)
		end := strings.IndexFunc(line, func(c rune) bool { return space(c) || c == ':' })
		if end <= 0 || line[:end] != "hosts" {
			continue
		}
		services, ok := parseServices(strings.TrimLeftFunc(line[end:], func(c rune) bool { return space(c) || c == ':' }))
		if !ok {
			return order{broken: true}
		}
		o = order{services: services}
	}
	return o
}

// maxServices bounds the hosts line; glibc has no bound.
const maxServices = 64

// The parts of the hosts line:
//
//	( <service> ( "[" ( "!"? <status> "=" <action> )+ "]" )? )*
var (
	serviceForm   = regexp.MustCompile(`^\s*([^\s[]+)\s*(?:\[([^]]*)(\]?))?`)
	criterionForm = regexp.MustCompile(`^\s*(!?)([^\s=]*)\s*=\s*([^\s=]*)\s*`)
)

func parseServices(line string) ([]service, bool) {
	services := []service{}
	for {
		m := serviceForm.FindStringSubmatch(line)
		if m == nil {
			return services, true
		}
		s := newService(m[1])
		if strings.Contains(m[0], "[") && (m[3] == "" || !s.setStops(m[2])) {
			return nil, false
		}
		if len(services) < maxServices {
			services = append(services, s)
		}
		line = line[len(m[0]):]
	}
}

// setStops takes what stands in brackets.
func (s *service) setStops(criteria string) (ok bool) {
	for more := true; more; more = criteria != "" {
		m := criterionForm.FindStringSubmatch(criteria)
		if m == nil {
			return false
		}
		which := slices.Index([]string{"success", "notfound", "unavail", "tryagain"}, strings.ToLower(m[2]))
		stop := strings.EqualFold(m[3], "return")
		// The hosts database cannot merge: it goes on and fails.
		if which < 0 || !stop && !strings.EqualFold(m[3], "continue") && !strings.EqualFold(m[3], "merge") {
			return false
		}
		for i := range s.stops {
			// "!" means every status but this one.
			if (i == which) != (m[1] == "!") {
				s.stops[i] = stop
			}
		}
		criteria = criteria[len(m[0]):]
	}
	return true
}

// goOrder is the order that Go's resolver takes from nsswitch.conf
// (net/conf.go, lookupOrder, where libc cannot be used): files and dns in the
// order in which they come first; an unknown service stands for dns where dns
// itself is not named; without either, files and then dns.
func goOrder(data []byte) order {
	o := glibcOrder(data)
	if o.broken || len(o.services) == 0 {
		return order{services: []service{newService("files"), newService("dns")}, defaulted: true}
	}
	has := func(name string) bool {
		return slices.ContainsFunc(o.services, func(s service) bool { return s.name == name })
	}
	named := has("dns")
	var names []string
	for _, s := range o.services {
		name := s.name
		if name != "files" && name != "dns" {
			if named {
				continue
			}
			name = "dns"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	services := make([]service, len(names))
	for i, name := range names {
		services[i] = newService(name)
	}
	return order{services: services, defaulted: o.defaulted}
}
