package probe

import (
	"sync"

	"nsenter-mcp/tools/fact"
)

// LinkOptions widens what [Links] and [HostPeers] read.
type LinkOptions struct {
	// Details asks for all that iproute2 prints with -d -s: fact.LinkDetails, with
	// the SR-IOV virtual functions of physical interfaces, the settings of each
	// kind of link, and those of the ports of bridges. Without it there are the
	// fields that fact.Link.Compact leaves, and the counters where any of them
	// counts errors.
	Details bool
	// Memory is used where it is not nil.
	Memory *Memory
}

// Memory is what the kernel's answers are received into, by one call after the
// other: it is larger than all else that a call takes from the heap. The zero value
// is ready; one serves a whole process and is safe for concurrent use.
type Memory struct{ idle sync.Pool }

// LinkList is every interface of a namespace.
type LinkList struct {
	Links []fact.Link // in the kernel's order, by index
	// Settled is false where interfaces or addresses changed each time they were
	// read, so that some may be missing or old.
	Settled bool
}
