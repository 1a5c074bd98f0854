package probe

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// Bits of IFLA_EXT_MASK in a request (linux/rtnetlink.h).
const (
	filterVFs       = 1 << 0 // RTEXT_FILTER_VF
	filterSkipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS
)

// Links reads all interfaces of a namespace with their addresses by one dump
// each. It ends at ctx's deadline.
func Links(ctx context.Context, h *nsexec.Handle, options LinkOptions) (LinkList, error) {
	socket, err := openRoute(h, options.Memory)
	if err != nil {
		return LinkList{}, err
	}
	defer socket.close()
	links, linksSettled, err := socket.links(ctx, options)
	if err != nil {
		return LinkList{}, fmt.Errorf("list interfaces: %w", err)
	}
	addresses, addrsSettled, err := socket.addresses(ctx)
	if err != nil {
		return LinkList{}, fmt.Errorf("list addresses: %w", err)
	}
	for i := range links {
		links[i].AddrInfo = addresses[links[i].Index]
		if links[i].AddrInfo == nil {
			links[i].AddrInfo = []fact.Addr{}
		}
	}
	return LinkList{Links: links, Settled: linksSettled && addrsSettled}, nil
}

func (s *routeSocket) links(ctx context.Context, options LinkOptions) ([]fact.Link, bool, error) {
	mask := 0
	if options.Details {
		mask = filterVFs
	}
	messages, settled, err := s.dump(ctx, linkRequest(0, mask), unix.RTM_NEWLINK)
	if err != nil {
		return nil, false, err
	}
	links, err := parseLinks(messages, options)
	return links, settled, err
}

// linkRequest asks for the link with the index, or in a dump for all, with the
// parts that mask adds or leaves out.
func linkRequest(index, mask int) request {
	body := make([]byte, ifinfoSize) // struct ifinfomsg
	binary.NativeEndian.PutUint32(body[4:], u32(index))
	body = appendAttribute(body, unix.IFLA_EXT_MASK, binary.NativeEndian.AppendUint32(nil, u32(mask)))
	return request{kind: unix.RTM_GETLINK, body: body}
}

func (s *routeSocket) addresses(ctx context.Context) (map[int][]fact.Addr, bool, error) {
	messages, settled, err := s.dump(ctx, addrRequest(unix.AF_UNSPEC, 0), unix.RTM_NEWADDR)
	if err != nil {
		return nil, false, err
	}
	now, err := uptime()
	if err != nil {
		return nil, false, err
	}
	addresses, err := parseAddrs(messages, now)
	return addresses, settled, err
}

// addrRequest asks for the addresses of one family. The index chooses one link,
// on a strict socket only; 0 is all.
func addrRequest(family uint8, index int) request {
	body := make([]byte, unix.SizeofIfAddrmsg) // struct ifaddrmsg
	body[0] = family
	binary.NativeEndian.PutUint32(body[4:], u32(index))
	return request{kind: unix.RTM_GETADDR, body: body}
}

// uptime is the clock by which the kernel stamps addresses: jiffies, which do
// not count while the machine sleeps.
func uptime() (time.Duration, error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, fmt.Errorf("clock_gettime: %w", err)
	}
	return time.Duration(now.Nano()), nil
}
