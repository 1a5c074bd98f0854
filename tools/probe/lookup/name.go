package lookup

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// MaxNames bounds the names that one lookup tries. Kubernetes allows a search
// list of 32 domains; with the name as it is that makes 33.
const MaxNames = 33

// absolute returns name with a final dot, in presentation form with all escapes
// that printing needs, or false where it is no domain name: a label is empty or
// longer than 63 bytes, or the whole longer than 255.
func absolute(name string) (string, bool) {
	if name == "" || strings.HasPrefix(name, ".") && name != "." {
		return "", false
	}
	var wire [256]byte
	end, err := dns.PackDomainName(dns.Fqdn(name), wire[:], 0, nil, false)
	if err != nil || end > 255 {
		return "", false
	}
	shown, _, err := dns.UnpackDomainName(wire[:end], 0)
	if err != nil {
		return "", false
	}
	return withoutBlanks(shown), true
}

// withoutBlanks writes a blank in a name, which the package writes "\ ", as dig
// does: a name is then one word wherever it is printed.
func withoutBlanks(name string) string { return strings.ReplaceAll(name, `\ `, `\032`) }

// CheckName says in words for the caller why name cannot be looked up, and
// returns nil where it can.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("name is empty")
	case strings.Contains(name, "://"):
		return fmt.Errorf("name is a URL; give its host name alone")
	case strings.ContainsFunc(name, func(c rune) bool { return c > '~' }):
		return fmt.Errorf("name is not ASCII; give an internationalized name in its xn-- form")
	case strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' }):
		return fmt.Errorf("name holds blanks or control characters")
	}
	if _, ok := addressLiteral(name); ok {
		return nil
	}
	if host, port, found := strings.Cut(name, ":"); found && host != "" && isNumber(port) {
		return fmt.Errorf("name has a port; give the host name alone")
	}
	if _, ok := absolute(name); !ok {
		return fmt.Errorf("name is no domain name: a label is empty or longer than 63 bytes, or the whole longer than 253")
	}
	return nil
}

// hostnameForm is glibc's test before it asks DNS for addresses (res_hnok).
var hostnameForm = regexp.MustCompile(`^[A-Za-z0-9_.][A-Za-z0-9_.-]*$`)

// goNameForm and notNumeric are isDomainName of net/dnsclient.go for printable names.
var (
	goNameForm = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.|$))+$`)
	notNumeric = regexp.MustCompile(`[^0-9.]`)
)

func isGoDomainName(name string) bool {
	return name == "." || goNameForm.MatchString(name) && notNumeric.MatchString(name)
}

// candidate is a name that a library would ask for.
type candidate struct {
	name string // absolute; "" where the domain does not fit to the name
	// domain is the entry of the search list that was appended; "" for the name
	// as it is.
	domain string
	// twoDots: name is "", as it would end in two dots.
	twoDots bool
}

// plan is the order in which a library tries names. As it is comes before the
// search list (first), after it (last), or not at all.
type plan struct {
	asIs        candidate
	first, last bool
	search      []candidate
	// skipped counts the names beyond MaxNames.
	skipped int
}

func (p *plan) addSearch(c candidate) {
	if len(p.search) == MaxNames-1 {
		p.skipped++
		return
	}
	p.search = append(p.search, c)
}

// candidates are all in their order.
func (p *plan) candidates() []candidate {
	list := slices.Clone(p.search)
	if p.first {
		list = slices.Insert(list, 0, p.asIs)
	}
	if p.last {
		list = append(list, p.asIs)
	}
	return list
}

// planner makes a library's plan. Without a search list (search is false) only
// the name as it is is tried.
type planner func(c *Conf, name string, search bool) plan

func asIs(name string) candidate {
	fqdn, _ := absolute(name)
	return candidate{name: fqdn}
}

// glibcPlan follows __res_context_search of resolv/res_query.c.
func glibcPlan(c *Conf, name string, search bool) plan {
	dots := strings.Count(name, ".")
	trailing := strings.HasSuffix(name, ".")
	p := plan{asIs: asIs(name)}
	if !search || trailing {
		p.first = true
		return p
	}
	p.first = dots >= c.Ndots
	root := false
	for _, domain := range c.Search {
		trimmed := strings.TrimPrefix(domain, ".")
		root = root || trimmed == ""
		fqdn, _ := absolute(name + "." + trimmed)
		p.addSearch(candidate{name: fqdn, domain: domain})
	}
	p.last = !p.first && !root && (dots > 0 || len(p.search) == 0 || !c.Flags[noTLDQuery])
	return p
}

// muslPlan follows name_from_dns_search of src/network/lookup_name.c: a name
// with enough dots is never searched.
func muslPlan(c *Conf, name string, search bool) plan {
	p := oldMuslPlan(c, name, search)
	p.search = slices.DeleteFunc(p.search, func(c candidate) bool { return c.name == "" })
	return p
}

// oldMuslPlan has the search domains that make no name, too.
func oldMuslPlan(c *Conf, name string, search bool) plan {
	p := plan{asIs: asIs(name)}
	if !search || strings.HasSuffix(name, ".") || strings.Count(name, ".") >= c.Ndots {
		p.first = true
		return p
	}
	for _, domain := range c.Search {
		fqdn, _ := absolute(name + "." + domain)
		p.addSearch(candidate{name: fqdn, domain: domain, twoDots: domain == "."})
	}
	p.last = true
	return p
}

// goPlan follows nameList of net/dnsclient_unix.go.
func goPlan(c *Conf, name string, search bool) plan {
	p := plan{asIs: asIs(name)}
	if !search || strings.HasSuffix(name, ".") {
		p.first = true
		return p
	}
	p.first = strings.Count(name, ".") >= c.Ndots
	for _, domain := range c.Search {
		if domain == "." {
			continue
		}
		if fqdn, ok := absolute(name + "." + domain); ok {
			p.addSearch(candidate{name: fqdn, domain: domain})
		}
	}
	p.last = !p.first
	return p
}
