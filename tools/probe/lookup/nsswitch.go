package lookup

import (
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

// String writes the order as in the file, as far as a known service is named;
// others are shown by their escaped name.
func (o *order) String() string {
	words := make([]string, len(o.services))
	for i, s := range o.services {
		words[i] = s.name
	}
	return strings.Join(words, " ")
}

// newService has the default actions.
func newService(name string) service {
	s := service{name: name}
	s.stops[statusSuccess] = true
	return s
}

// glibcOrder reads nsswitch.conf as glibc does (nss/nss_database.c and
// nss_action_parse.c). Of several hosts lines the last counts. A syntax error
// in the line of any database that glibc knows spoils all of them.
func glibcOrder(data []byte) order {
	defaults := order{services: []service{newService("files"), newService("dns")}, defaulted: true}
	o := defaults
	for _, line := range lines(data) {
		line = strings.TrimLeftFunc(line, space)
		end := strings.IndexFunc(line, func(c rune) bool { return space(c) || c == ':' })
		if end <= 0 {
			continue // no name, or nothing after it
		}
		database := line[:end]
		if !slices.Contains(databases[:], database) {
			continue
		}
		services, ok := parseServices(strings.TrimLeftFunc(line[end:], func(c rune) bool { return space(c) || c == ':' }))
		if !ok {
			return order{broken: true}
		}
		if database == "hosts" {
			o = order{services: services}
		}
	}
	return o
}

// databases are those of nss/databases.def.
var databases = [...]string{
	"aliases", "ethers", "group", "group_compat", "gshadow", "hosts", "initgroups", "netgroup", "networks",
	"passwd", "passwd_compat", "protocols", "publickey", "rpc", "services", "shadow", "shadow_compat",
}

// maxServices bounds the hosts line; glibc has no bound.
const maxServices = 64

// parseServices reads
//
//	( <service> ( "[" ( "!"? <status> "=" <action> )+ "]" )? )*
func parseServices(line string) ([]service, bool) {
	services := []service{}
	for {
		line = strings.TrimLeftFunc(line, space)
		end := strings.IndexFunc(line, func(c rune) bool { return space(c) || c == '[' })
		if end < 0 {
			end = len(line)
		}
		if end == 0 {
			return services, true
		}
		s := newService(line[:end])
		line = strings.TrimLeftFunc(line[end:], space)
		if rest, found := strings.CutPrefix(line, "["); found {
			var ok bool
			if line, ok = s.criteria(rest); !ok {
				return nil, false
			}
		}
		if len(services) < maxServices {
			services = append(services, s)
		}
	}
}

// criteria reads what stands in brackets and returns what follows them.
func (s *service) criteria(line string) (rest string, ok bool) {
	line = strings.TrimLeftFunc(line, space)
	for {
		line, ok = s.criterion(line)
		if !ok {
			return "", false
		}
		if rest, found := strings.CutPrefix(line, "]"); found {
			return rest, true
		}
	}
}

// criterion reads one status=action and the blanks after it.
func (s *service) criterion(line string) (rest string, ok bool) {
	line, negated := strings.CutPrefix(line, "!")
	name, line := cutWord(line)
	which, known := statusByName(name)
	line = strings.TrimLeftFunc(line, space)
	line, equals := strings.CutPrefix(line, "=")
	if !known || !equals {
		return "", false
	}
	action, line := cutWord(strings.TrimLeftFunc(line, space))
	stop := false
	switch strings.ToLower(action) {
	case "return":
		stop = true
	case "continue", "merge": // the hosts database cannot merge: it goes on and fails
	default:
		return "", false
	}
	for i := range s.stops {
		// "!" means every status but this one.
		if (status(i) == which) != negated {
			s.stops[i] = stop
		}
	}
	return strings.TrimLeftFunc(line, space), true
}

func cutWord(line string) (word, rest string) {
	end := strings.IndexFunc(line, func(c rune) bool { return space(c) || c == '=' || c == ']' })
	if end < 0 {
		end = len(line)
	}
	return line[:end], line[end:]
}

func statusByName(name string) (status, bool) {
	switch strings.ToLower(name) {
	case "success":
		return statusSuccess, true
	case "notfound":
		return statusNotFound, true
	case "unavail":
		return statusUnavailable, true
	case "tryagain":
		return statusTryAgain, true
	}
	return 0, false
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
