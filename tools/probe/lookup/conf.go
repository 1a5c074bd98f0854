package lookup

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/tools/fact"
)

// The limits that the libraries share (resolv.h of glibc, lookup.h of musl,
// net/dnsconfig_unix.go of Go).
const (
	maxServers      = 3
	maxNdots        = 15
	defaultTimeout  = 5 * time.Second
	defaultAttempts = 2
	dnsPort         = 53
)

// The options without a value (resolv.conf(5)).
const (
	rotate              = "rotate"
	singleRequest       = "single-request"
	singleRequestReopen = "single-request-reopen"
	edns0               = "edns0"
	useVC               = "use-vc"
	noAAAA              = "no-aaaa"
	noTLDQuery          = "no-tld-query"
	trustAD             = "trust-ad"
	strictError         = "strict-error"
)

// Conf is resolv.conf as one library reads it.
type Conf struct {
	// Servers are asked in this order, at most three. Where the file names none
	// it is the library's default, and Defaulted is set.
	Servers   []netip.AddrPort
	Defaulted bool
	// Search are the domains as they stand in the file, without a final dot or
	// with one.
	Search []string

	Ndots    int
	Timeout  time.Duration // of one try at one server
	Attempts int           // tries at each server; glibc accepts 0 and then asks nobody
	// Flags are the options without a value that are on.
	Flags map[string]bool

	// Ignored are lines that look as if they were meant and have no effect.
	Ignored []fact.DNSIgnored
	// IgnoredTotal counts them; Ignored is bounded.
	IgnoredTotal int
	compared     int // lines, see maxCompared
}

// maxIgnored bounds Conf.Ignored.
const maxIgnored = 5

func (c *Conf) ignore(line int, why string) {
	c.IgnoredTotal++
	if len(c.Ignored) < maxIgnored {
		c.Ignored = append(c.Ignored, fact.DNSIgnored{Line: line, Why: why})
	}
}

// keywords are those that all libraries know.
var keywords = [...]string{"nameserver", "search", "domain", "options"}

// knownElsewhere are those of other systems and of other days of glibc
// (resolv.conf(5)): they stand there on purpose.
var knownElsewhere = [...]string{"sortlist", "lookup", "family"}

// maxCompared bounds the lines that are held against the keywords for what they may
// mean: the file is the container's, and may have a million.
const maxCompared = 100

// ignoreNoKeyword takes a line that begins with no keyword of the library. It is
// worth a word where one was meant: the libraries say nothing.
func (c *Conf) ignoreNoKeyword(number int, line string) {
	first := strings.TrimLeftFunc(line, space)
	if end := strings.IndexFunc(first, space); end >= 0 {
		first = first[:end]
	}
	switch {
	case first == "" || first[0] == '#' || first[0] == ';' || slices.Contains(knownElsewhere[:], first):
	case slices.Contains(keywords[:], first):
		if space(rune(line[0])) {
			c.ignore(number, "a keyword counts only in the first column")
		}
	case c.compared < maxCompared:
		c.compared++
		if meant := words.Closest(first, keywords[:], 1); len(meant) > 0 {
			c.ignore(number, "begins with no keyword; "+meant[0]+" and a blank may be meant")
		}
	}
}

// dialect is how a library reads the lines of resolv.conf.
type dialect struct {
	blank  func(rune) bool // between words
	server func(string) (netip.Addr, bool)
	// options takes what follows the keyword.
	options func(c *Conf, value string)
	// defaults are asked where the file names no server.
	defaults []netip.Addr
	// indented: blanks may precede a keyword.
	indented bool
	// bare: a keyword may stand alone on its line.
	bare bool
	// whole: domain takes all words, and search without any clears the list.
	whole bool
	// longest bounds a line, beyond which it is ignored; 0 is no bound.
	longest int
}

// read reads resolv.conf.
func (d *dialect) read(data []byte) Conf {
	c := Conf{Ndots: 1, Timeout: defaultTimeout, Attempts: defaultAttempts, Flags: make(map[string]bool)}
	for number, line := range lines(data) {
		if d.longest > 0 && len(line) > d.longest {
			c.ignore(number, "line is longer than musl reads")
			continue
		}
		keyword, value := d.directive(line)
		switch keyword {
		case "nameserver":
			address := value
			if end := strings.IndexFunc(value, d.blank); end >= 0 {
				address = value[:end]
			}
			ip, ok := d.server(address)
			switch {
			case !ok:
				c.ignore(number, badServer(address))
			case len(c.Servers) == maxServers:
				c.ignore(number, fmt.Sprintf("nameserver beyond the first %d", maxServers))
			default:
				c.Servers = append(c.Servers, netip.AddrPortFrom(ip, dnsPort))
			}
		case "domain", "search":
			domains := strings.FieldsFunc(value, d.blank)
			if keyword == "domain" && !d.whole {
				domains = domains[:min(len(domains), 1)]
			}
			if len(domains) > 0 || d.bare && (d.whole || keyword == "search") {
				c.Search = domains // else the list before it stays
			}
		case "options":
			d.options(&c, value)
		default:
			c.ignoreNoKeyword(number, line)
		}
	}
	if c.Defaulted = len(c.Servers) == 0; c.Defaulted {
		for _, ip := range d.defaults {
			c.Servers = append(c.Servers, netip.AddrPortFrom(ip, dnsPort))
		}
	}
	return c
}

// directive splits a line into a keyword and what follows the blanks after it; both
// are "" where it begins with none, as a comment.
func (d *dialect) directive(line string) (keyword, value string) {
	if d.indented {
		line = strings.TrimLeftFunc(line, d.blank)
	}
	for _, keyword := range keywords {
		rest, found := strings.CutPrefix(line, keyword)
		if found && (rest == "" && d.bare || rest != "" && d.blank(rune(rest[0]))) {
			return keyword, strings.TrimLeftFunc(rest, d.blank)
		}
	}
	return "", ""
}

// badServer says in our words what is wrong with the value of a nameserver line.
func badServer(value string) string {
	switch {
	case value == "":
		return "nameserver without an address"
	case strings.ContainsRune(value, '\r'):
		return "nameserver line ends in a carriage return (DOS line ends), which makes it no address"
	}
	return "nameserver is not an IP address"
}

// searchHostname makes the domain part of the host's own name the search list, where
// there is none.
func (c *Conf) searchHostname(hostname func() string) {
	if len(c.Search) > 0 || hostname == nil {
		return
	}
	if _, domain, ok := strings.Cut(hostname(), "."); ok && domain != "" && !strings.ContainsFunc(domain, space) {
		c.Search = []string{domain}
	}
}

// Options are those in effect, written as in resolv.conf: ndots always, the
// others where they are not the default.
func (c *Conf) Options() []string {
	options := []string{"ndots:" + strconv.Itoa(c.Ndots)}
	if c.Timeout != defaultTimeout {
		options = append(options, "timeout:"+strconv.Itoa(int(c.Timeout/time.Second)))
	}
	if c.Attempts != defaultAttempts {
		options = append(options, "attempts:"+strconv.Itoa(c.Attempts))
	}
	for _, flag := range [...]string{rotate, singleRequest, singleRequestReopen, edns0, useVC, noAAAA, noTLDQuery, trustAD, strictError} {
		if c.Flags[flag] {
			options = append(options, flag)
		}
	}
	return options
}

// Sources are the files and variables that decide how names are looked up, as
// the target's applications see them.
type Sources struct {
	ResolvConf []byte // nil: there is none
	Hosts      []byte
	Nsswitch   []byte // nil: there is none, which is not the same as an empty one
	HostConf   []byte
	// GaiConf is gai.conf(5), which glibc alone reads.
	GaiConf []byte
	// Hostname is what gethostname(2) says, for the domain in it; nil is unknown.
	Hostname func() string
	// GlibcMinor is the minor version of the target's glibc 2; 0 is unknown.
	GlibcMinor int
	// Missing are services of nsswitch.conf for which the target has no library.
	Missing []string
	// LocalDomain and ResOptions are environment variables of the application
	// (resolver(3), environ(7)); nil is not set.
	LocalDomain, ResOptions *string
}
