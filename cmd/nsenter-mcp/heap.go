package main

import "runtime"

// roots puts off the first garbage collection, and spaces out those after it.
//
// The runtime collects when the heap has grown by the live heap and the roots,
// among them the global variables that hold pointers, but not below 4 MB
// (https://go.dev/doc/gc-guide, "GOGC"). The libraries linked here fill those 4 MB
// before main, so that each start would pay for a collection in which nothing is
// garbage; and as little is alive between two calls, the next ones would come every
// hundred calls. Of this variable nothing is ever written or read but its
// pointers, all nil, one in 64 kB, and the pages in between never become memory; it
// costs 96 kB for the runtime's map of pointers. TestStartCollectsNoGarbage of
// internal/e2e tells when this has no effect any more.
var roots [96]struct {
	p *byte
	_ [64<<10 - 8]byte
}

// keepRoots keeps the linker from leaving roots out.
func keepRoots() { runtime.KeepAlive(roots[0].p) }
