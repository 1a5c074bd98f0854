package probe

import (
	"strings"

	"nsenter-mcp/internal/words"
	"nsenter-mcp/tools/fact"
)

// LinkName writes an interface's name so that it can be shown, and no two names
// alike. A container with CAP_NET_ADMIN chooses the names of its interfaces: any
// bytes but '/', ':' and white space (dev_valid_name in the kernel's net/core/dev.c).
func LinkName(raw string) string { return words.Escape(strings.ReplaceAll(raw, `\`, `\\`)) }

// LinkOptions widens what [Links] and [HostPeers] read.
type LinkOptions struct {
	// Details asks for fact.LinkDetails, for the settings of each kind of link and
	// for those of the ports of bridges. Without it there are the fields that
	// fact.Link.Compact leaves, and the counters where any of them counts errors.
	Details bool
	Routes  RouteWindow
}

// RouteWindow is which routes of an interface are counted, and which of these are kept
// whatever else there is. The zero value counts nearly all and keeps none.
type RouteWindow struct {
	Dev          string // the interface whose routes are kept, as it is or as [LinkName] writes it; "" is each
	Family       string // inet or inet6, "" is both
	LinkLocal    bool   // fe80::/64 too, which nearly every interface has
	Offset, Most int    // those from the Offset-th on, at most so many of an interface
}

func (w *RouteWindow) holds(r *fact.Route) bool {
	return r.Index >= w.Offset && r.Index < w.Offset+w.Most && (w.Dev == "" || r.Dev == w.Dev || r.Dev == LinkName(w.Dev))
}

// LinkList is every interface of a namespace, and its routes.
type LinkList struct {
	Links []fact.Link // in the kernel's order, by index
	// Complete is false where interfaces or addresses changed each time they were
	// read, or where there are more than are read: then some may be missing or old.
	Complete bool
	// Routes are those of all tables but local, each next hop for itself: of a list of
	// more than 4096 the first ones, default routes, and those of the window.
	Routes []fact.Route
	// RouteTotals counts the routes of each interface, by its name, as the window says.
	RouteTotals map[string]int
	// AllRoutes is for Routes what Complete is for Links. AllDefaults: no default route is
	// missing, and RouteTotals are right.
	AllRoutes, AllDefaults bool
}
