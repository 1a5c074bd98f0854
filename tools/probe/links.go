package probe

import "nsenter-mcp/tools/fact"

// LinkOptions widens what [Links] reads.
type LinkOptions struct {
	// VFs asks for the SR-IOV virtual functions of physical ones, which makes
	// the answer of a large network card much longer.
	VFs bool
}

// LinkList is every interface of a namespace.
type LinkList struct {
	Links []fact.Link // in the kernel's order, by index
	// Settled is false where interfaces or addresses changed each time they were
	// read, so that some may be missing or old.
	Settled bool
}
