package words

import (
	"strings"

	"github.com/distribution/reference"
)

// maxToken bounds what is no sentence: paths and names of cgroups are longest.
const maxToken = 512

// IsToken reports whether s is one word of printable ASCII without quotes, which would
// end one of ours, and backslashes, by which others escape blanks and worse; at most
// 512 bytes: no sentence, and nothing that a terminal obeys.
func IsToken(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c <= ' ', c > '~', c == '"', c == '\'', c == '\\', c == '`':
			return false
		}
	}
	return s != "" && len(s) <= maxToken
}

// IsDNSName reports whether s is a host name (RFC 1123, section 2.1), with underscores
// as DNS itself has them (RFC 2782), with or without the final dot; or the root.
func IsDNSName(s string) bool {
	if s == "." {
		return true
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(s, "."), ".") {
		if !isLabel(label) {
			return false
		}
	}
	return len(s) <= 254
}

func isLabel(s string) bool {
	const inside = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	return s != "" && len(s) <= 63 && strings.Trim(s, inside) == "" && s[0] != '-' && s[len(s)-1] != '-'
}

// IsInterface reports whether s is the name of an interface as the kernel takes it
// (dev_valid_name in net/core/dev.c: 15 bytes, no blank, slash or colon), in which
// what is not [Visible] was escaped; that makes it longer.
func IsInterface(s string) bool {
	const longest = 15 * len(`\xNN`)
	return s != "" && len(s) <= longest && s != "." && s != ".." &&
		!strings.ContainsFunc(s, func(r rune) bool { return !Visible(r) || r == ' ' || r == '/' || r == ':' })
}

// IsVersion reports whether s is the version of a product, which may be named before
// it: "containerd 1.7.28".
func IsVersion(s string) bool {
	name, version, both := strings.Cut(s, " ")
	return len(s) <= 80 && IsToken(name) && (!both || IsToken(version))
}

// IsZone reports whether s may be the zone of an address (RFC 4007): the number of
// an interface, or its name, of printable ASCII alone.
func IsZone(s string) bool { return len(s) <= 15 && IsToken(s) && !strings.ContainsAny(s, "/:") }

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
