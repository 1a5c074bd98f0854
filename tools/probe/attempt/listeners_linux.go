package attempt

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
)

// maxListenersText bounds what is read of /proc/net/tcp. Listening sockets come
// first in it.
const maxListenersText = 64 << 10

// maxListeners bounds what is told of them.
const maxListeners = 20

// Listeners returns the addresses and ports on which something in a namespace listens,
// those on port first and at most 20; nil where that cannot be known. It ends with ctx.
func Listeners(ctx context.Context, h *nsexec.Handle, port uint16) (listeners []string) {
	_ = h.Look(ctx, func() error {
		return h.Do(func() error {
			listeners = readListeners(port)
			return nil
		})
	})
	return listeners
}

// readListeners returns the addresses and ports on which something in the namespace
// listens, those on port first; an empty list for none, nil where that cannot be known.
// It runs inside the namespace.
func readListeners(port uint16) []string {
	var found []netip.AddrPort
	buffer := make([]byte, maxListenersText)
	for _, name := range [...]string{"tcp", "tcp6"} {
		text, err := readInto(buffer, "/proc/thread-self/net/"+name)
		if errors.Is(err, unix.ENOENT) { // a kernel without IPv6
			continue
		}
		if err != nil {
			return nil
		}
		found = append(found, parseListeners(text)...)
	}
	slices.SortStableFunc(found, func(a, b netip.AddrPort) int {
		other := map[bool]int{true: 1}
		return cmp.Or(other[a.Port() != port]-other[b.Port() != port], cmp.Compare(a.Port(), b.Port()))
	})
	listeners := []string{}
	for _, a := range found[:min(len(found), maxListeners)] {
		listeners = append(listeners, a.String())
	}
	return listeners
}
