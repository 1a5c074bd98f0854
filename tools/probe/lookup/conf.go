package lookup

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"nsenter-mcp/internal/words"
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

	Rotate, SingleRequest, SingleRequestReopen bool
	EDNS0, UseVC, NoAAAA, NoTLDQuery           bool
	TrustAD, StrictError                       bool

	// Ignored are lines that look as if they were meant and have no effect.
	Ignored []Ignored
	// IgnoredTotal counts them; Ignored is bounded.
	IgnoredTotal int
	compared     int // lines, see maxCompared
}

// Ignored is a line without effect.
type Ignored struct {
	Line int
	Why  string // our own words
}

// maxIgnored bounds Conf.Ignored.
const maxIgnored = 5

func (c *Conf) ignore(line int, why string) {
	c.IgnoredTotal++
	if len(c.Ignored) < maxIgnored {
		c.Ignored = append(c.Ignored, Ignored{line, why})
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

func (c *Conf) addServer(line int, ip netip.Addr) {
	if len(c.Servers) == maxServers {
		c.ignore(line, fmt.Sprintf("nameserver beyond the first %d", maxServers))
		return
	}
	c.Servers = append(c.Servers, netip.AddrPortFrom(ip, dnsPort))
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
	for _, flag := range [...]struct {
		name string
		set  bool
	}{
		{"rotate", c.Rotate},
		{"single-request", c.SingleRequest},
		{"single-request-reopen", c.SingleRequestReopen},
		{"edns0", c.EDNS0},
		{"use-vc", c.UseVC},
		{"no-aaaa", c.NoAAAA},
		{"no-tld-query", c.NoTLDQuery},
		{"trust-ad", c.TrustAD},
		{"strict-error", c.StrictError},
	} {
		if flag.set {
			options = append(options, flag.name)
		}
	}
	return options
}

// Has reports whether server is one of the configured ones.
func (c *Conf) Has(server netip.AddrPort) bool { return slices.Contains(c.Servers, server) }

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
