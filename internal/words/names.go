package words

import (
	"regexp"
	"strings"

	"github.com/distribution/reference"
)

// maxToken bounds what is no sentence: paths and names of cgroups are longest.
const maxToken = 512

var (
	// Neither quotes, which would end one of ours, nor backslashes, by which others
	// escape blanks and worse.
	token = regexp.MustCompile(`^[!#-&(-[\]-_a-~]+$`)
	zone  = regexp.MustCompile(`^[!#-&(-.0-9;-[\]-_a-~]{1,15}$`)
	// RFC 1123, section 2.1, and the underscore that names of services begin with
	// (RFC 2782).
	dnsName = regexp.MustCompile(`^(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.?$`)
)

// IsToken reports whether s is one word of printable ASCII without quotes and
// backslashes, at most 512 bytes: no sentence, and nothing that a terminal obeys.
func IsToken(s string) bool { return len(s) <= maxToken && token.MatchString(s) }

// IsDNSName reports whether s is a host name (RFC 1123), with underscores as DNS
// itself has them, with or without the final dot; or the root.
func IsDNSName(s string) bool {
	return s == "." || len(s) <= 254 && dnsName.MatchString(s)
}

// IsInterface reports whether s is the name of an interface as the kernel takes it
// (dev_valid_name in net/core/dev.c: 15 bytes, no blank, slash or colon), in which
// what is not [Visible] was escaped; that makes it longer.
func IsInterface(s string) bool {
	const longest = 15 * len(`\xNN`)
	return s != "" && len(s) <= longest && s != "." && s != ".." &&
		!strings.ContainsFunc(s, func(r rune) bool { return !Visible(r) || r == ' ' || r == '/' || r == ':' })
}

// IsZone reports whether s may be the zone of an address (RFC 4007): the number of
// an interface, or its name, of printable ASCII alone.
func IsZone(s string) bool { return zone.MatchString(s) }

// IsImage reports whether s refers to a container image: a name with or without tag
// and digest, or an ID.
func IsImage(s string) bool {
	_, err := reference.Parse(s)
	return err == nil
}

// Printable is a name of others as it may stand in our own sentences: itself where
// it [IsToken], else words that say that it is not shown. The empty name stays
// empty.
func Printable(name string) string {
	if name == "" || IsToken(name) {
		return name
	}
	return Hidden
}

// Hidden stands where a name of others is no name.
const Hidden = "(not shown: no valid name)"
