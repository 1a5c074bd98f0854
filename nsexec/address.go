package nsexec

import "net/netip"

// Address is an IP address of an interface.
type Address struct {
	Index  int // of the interface
	Prefix netip.Prefix
	// Label is an IPv4 address's own name, mostly that of its interface (ip-address(8)).
	Label string
}
