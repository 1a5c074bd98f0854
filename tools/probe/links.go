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
}

// LinkList is every interface of a namespace, and its routes.
type LinkList struct {
	Links []fact.Link // in the kernel's order, by index
	// Complete is false where interfaces or addresses changed each time they were
	// read, or where there are more than are read: then some may be missing or old.
	Complete bool
	// Routes are those of all tables but local, each next hop for itself.
	Routes []fact.Route
	// AllRoutes is for Routes what Complete is for Links.
	AllRoutes bool
}
