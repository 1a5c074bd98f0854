package fetch

import (
	"net/netip"

	"nsenter-mcp/tools/fact"
)

// ecnSuspect returns the attempt that may have failed, or been slow, because its
// first SYN asked for ECN: nobody but a router or a server has ended it.
func ecnSuspect(attempts []fact.Attempt) (to netip.AddrPort, ok bool) {
	for i := range attempts {
		a := &attempts[i]
		reset := a.Errno == "ECONNREFUSED" && a.Answer != nil && a.Answer.Kind == "rst" && !a.Answer.Own
		if !reset && a.SYNRetransmits == 0 {
			continue
		}
		if to, err := netip.ParseAddrPort(a.Address); err == nil && !to.Addr().IsLoopback() && to.Addr().Zone() == "" {
			return to, true
		}
	}
	return to, false
}
