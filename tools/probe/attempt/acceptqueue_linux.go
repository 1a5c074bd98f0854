package attempt

import (
	"context"
	"encoding/binary"
	"net/netip"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// diagRequest asks for the listening TCP sockets of a family (struct inet_diag_req_v2 in
// linux/inet_diag.h).
type diagRequest struct{ family byte }

const (
	diagRequestSize = 56
	diagMessageSize = 72 // struct inet_diag_msg
	tcpListen       = 10 // TCP_LISTEN of net/tcp_states.h
)

func (diagRequest) Len() int { return diagRequestSize }

func (r diagRequest) Serialize() []byte {
	b := make([]byte, diagRequestSize)
	b[0], b[1] = r.family, unix.IPPROTO_TCP
	binary.NativeEndian.PutUint32(b[4:], 1<<tcpListen)
	return b
}

// readAcceptQueue returns the accept queue of what listens at an address of a namespace,
// the shortest of several that share it; nil where nothing does or that cannot be known.
// It ends with ctx.
func readAcceptQueue(ctx context.Context, h *nsexec.Handle, at netip.AddrPort) *fact.AcceptQueue {
	socket, err := h.OpenNetlink(unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil
	}
	defer socket.Close()
	var best acceptQueue
	for _, family := range [...]byte{unix.AF_INET, unix.AF_INET6} {
		if family == unix.AF_INET && at.Addr().Is6() {
			continue
		}
		err := nsexec.RepeatDump(ctx, func() error {
			return socket.Each(ctx, nl.SOCK_DIAG_BY_FAMILY, nl.SOCK_DIAG_BY_FAMILY, func(message []byte) bool {
				if q, ok := parseAcceptQueue(message, at); ok {
					best.add(q)
				}
				return true
			}, diagRequest{family})
		})
		if err != nil {
			return nil
		}
	}
	return best.queue
}

// acceptQueue is that of the listener which is nearest to an address: one at the address
// itself, of IPv4 at any address, of IPv6 at any address.
type acceptQueue struct {
	rank  int
	queue *fact.AcceptQueue
}

// add keeps the nearer one; of equals, between which the kernel chooses, the shorter one.
func (q *acceptQueue) add(other acceptQueue) {
	room := func(a *fact.AcceptQueue) int { return a.Most - a.Waiting }
	if q.queue == nil || other.rank < q.rank || other.rank == q.rank && room(other.queue) > room(q.queue) {
		*q = other
	}
}

// parseAcceptQueue reads a listening socket; false where it does not take connections to
// an address. Of a listener the two queues are how many wait and how many may
// (tcp_diag_get_info in net/ipv4/tcp_diag.c).
func parseAcceptQueue(message []byte, at netip.AddrPort) (acceptQueue, bool) {
	if len(message) < diagMessageSize || message[1] != tcpListen || binary.BigEndian.Uint16(message[4:]) != at.Port() {
		return acceptQueue{}, false
	}
	var ip netip.Addr
	if message[0] == unix.AF_INET {
		ip = netip.AddrFrom4([4]byte(message[8:]))
	} else {
		ip = netip.AddrFrom16([16]byte(message[8:])).Unmap()
	}
	rank := 0
	switch {
	case ip == at.Addr().Unmap().WithZone(""):
	case ip == netip.IPv4Unspecified():
		rank = 1
	case ip == netip.IPv6Unspecified():
		rank = 2
	default:
		return acceptQueue{}, false
	}
	number := func(offset int) int { return int(binary.NativeEndian.Uint32(message[offset:])) }
	return acceptQueue{rank, &fact.AcceptQueue{Waiting: number(56), Most: number(60)}}, true
}
