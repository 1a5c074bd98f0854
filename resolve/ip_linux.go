package resolve

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// dumpTries bounds how often a dump is asked for again that changed while the
// kernel wrote it (NLM_F_DUMP_INTR, netlink(7)).
const dumpTries = 10

// ownsAddress reports whether an interface of the namespace has the address.
func ownsAddress(n *nsexec.Handle, ip netip.Addr) (bool, error) {
	handle, err := n.Netlink(unix.NETLINK_ROUTE)
	if err != nil {
		return false, err
	}
	defer handle.Close()
	family := netlink.FAMILY_V4
	if ip.Is6() {
		family = netlink.FAMILY_V6
	}
	var addresses []netlink.Addr
	for range dumpTries {
		if addresses, err = handle.AddrList(nil, family); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	// What an interrupted dump holds is true, only perhaps not all.
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return false, fmt.Errorf("read addresses: %w", err)
	}
	for _, a := range addresses {
		if a.IPNet == nil {
			continue
		}
		if own, ok := netip.AddrFromSlice(a.IP); ok && own.Unmap() == ip {
			return true, nil
		}
	}
	return false, nil
}
