package probe

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
)

// maxAddresses is how many addresses are kept of a list: a target can have as many as it
// likes. A node whose services are balanced by IPVS has one for each service.
const maxAddresses = 1 << 13

// Links reads all interfaces of a namespace, their addresses and the routes by one
// dump each. It ends at ctx's deadline.
func Links(ctx context.Context, h *nsexec.Handle, options LinkOptions) (LinkList, error) {
	socket, err := h.OpenNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		return LinkList{}, err
	}
	defer socket.Close()
	links, allLinks, err := dumpLinks(ctx, socket, options)
	if err != nil {
		return LinkList{}, fmt.Errorf("list interfaces: %w", err)
	}
	messages, allAddresses, err := socket.Dump(ctx, unix.RTM_GETADDR, unix.RTM_NEWADDR, nl.NewIfAddrmsg(unix.AF_UNSPEC))
	if err != nil {
		return LinkList{}, fmt.Errorf("list addresses: %w", err)
	}
	if len(messages) > maxAddresses {
		messages, allAddresses = messages[:maxAddresses], false
	}
	now, err := uptime()
	if err != nil {
		return LinkList{}, err
	}
	addresses, err := parseAddrs(messages, now)
	if err != nil {
		return LinkList{}, fmt.Errorf("list addresses: %w", err)
	}
	for i := range links {
		links[i].AddrInfo = addresses[links[i].Index]
		if links[i].AddrInfo == nil {
			links[i].AddrInfo = []fact.Addr{}
		}
	}
	list := LinkList{Links: links, Complete: allLinks && allAddresses}
	return list, list.readRoutes(ctx, socket, options.Routes)
}

// readRoutes fills in the routes, as far as the kernel tells these. Links are true without.
func (list *LinkList) readRoutes(ctx context.Context, socket *nsexec.NetlinkSocket, window RouteWindow) error {
	var found *routeList
	err := nsexec.RepeatDump(ctx, func() error {
		found = newRouteList(list.Links, window)
		return socket.Each(ctx, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, found.add, nl.NewRtMsg())
	})
	if err := cmp.Or(ctx.Err(), found.err); err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	list.Routes, list.RouteTotals = found.routes, found.totals
	list.AllDefaults = err == nil && !found.cutDefault
	list.AllRoutes = list.AllDefaults && !found.cut
	return nil
}

func dumpLinks(ctx context.Context, socket *nsexec.NetlinkSocket, options LinkOptions) (links []fact.Link, all bool, err error) {
	// Only where there is a mask the kernel makes room for the longest message; else it
	// leaves an interface with many names out and does not say so (rtnl_calcit in
	// net/core/rtnetlink.c). This bit changes nothing else: it is about lists of VLANs.
	mask := uint32(nl.RTEXT_FILTER_BRVLAN_COMPRESSED)
	if options.Details { // virtual functions too, hundreds of bytes each
		mask |= nl.RTEXT_FILTER_VF
	}
	messages, all, err := socket.Dump(ctx, unix.RTM_GETLINK, unix.RTM_NEWLINK,
		nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(mask)))
	if err != nil {
		return nil, false, err
	}
	links, err = parseLinks(messages, options)
	return links, all, err
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
