package fetch

import (
	"net/http"
	"slices"
	"strings"
)

// telltale are the header fields that tell most about who answered and why, in
// the order of what they tell.
var telltale = [...]string{
	"Content-Type", "Content-Length", "Location", "Server", "Via", "Retry-After", "Www-Authenticate", "Allow",
	"X-Envoy-Upstream-Service-Time", "X-Cache", "X-Request-Id", "Content-Encoding", "Date", "Age", "Set-Cookie",
}

// sortedFields are the names of a header, the telling ones first.
func sortedFields(header http.Header) []string {
	names := make([]string, 0, len(header))
	for name := range header {
		names = append(names, name)
	}
	rank := func(name string) int {
		if i := slices.Index(telltale[:], name); i >= 0 {
			return i
		}
		return len(telltale)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}
