package probe

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/tools/fact"
)

// maxRoutes bounds what the messages become: a next hop takes 8 bytes in a message.
const maxRoutes = 1 << 16

// parseRoutes turns the messages of one RTM_GETROUTE dump into facts, maxRoutes and
// those of one more message at most; all says whether that was all. Links give the
// names of the interfaces. It is pure.
func parseRoutes(messages [][]byte, links []fact.Link) (routes []fact.Route, all bool, err error) {
	names := make(linkNames, len(links))
	for i := range links {
		names[links[i].Index] = linkName{name: links[i].Name}
	}
	for _, b := range messages {
		if len(b) < unix.SizeofRtMsg {
			return nil, false, errShortMessage
		}
		if len(routes) >= maxRoutes {
			return routes, false, nil
		}
		routes = append(routes, parseHops(b, names)...)
	}
	return routes, true, nil
}

// parseHops reads struct rtmsg and its attributes as one route for each next hop, and
// nothing of the table local, of multicast and of what the kernel keeps for itself.
func parseHops(b []byte, names linkNames) []fact.Route {
	family, bits, table, kind := b[0], int(b[1]), int(b[4]), b[7]
	if family != unix.AF_INET && family != unix.AF_INET6 || kind == unix.RTN_MULTICAST || table == unix.RT_TABLE_LOCAL ||
		binary.NativeEndian.Uint32(b[8:])&unix.RTM_F_CLONED != 0 {
		return nil
	}
	tb := parseAttributes(b[unix.SizeofRtMsg:], unix.RTA_VIA)
	if long, ok := tb.signed(unix.RTA_TABLE); ok {
		table = long // above 255, where the header has 252 (RT_TABLE_COMPAT)
	}
	route := fact.Route{Family: "inet", Dst: "default", Prefsrc: ipAddress(tb[unix.RTA_PREFSRC])}
	if family == unix.AF_INET6 {
		route.Family = "inet6"
	}
	if dst, ok := netip.AddrFromSlice(tb[unix.RTA_DST]); ok && bits > 0 {
		if route.Dst = dst.String(); bits < dst.BitLen() {
			route.Dst += "/" + strconv.Itoa(bits)
		}
	}
	if table != unix.RT_TABLE_MAIN {
		route.Table = table
	}
	if kind != unix.RTN_UNICAST {
		route.Type = routeType(kind)
	}
	route.Metric, _ = tb.signed(unix.RTA_PRIORITY)
	if !tb.has(unix.RTA_MULTIPATH) {
		nextHop(&route, tb, names)
		return []fact.Route{route}
	}
	var all []fact.Route
	for hops := tb[unix.RTA_MULTIPATH]; len(hops) >= unix.SizeofRtNexthop; {
		// struct rtnexthop: length, flags, hops, index; then attributes.
		length := int(binary.NativeEndian.Uint16(hops))
		if length < unix.SizeofRtNexthop || length > len(hops) {
			break
		}
		hop := parseAttributes(hops[unix.SizeofRtNexthop:length], unix.RTA_VIA)
		hop[unix.RTA_OIF] = hops[4:8]
		nextHop(&route, hop, names)
		all = append(all, route)
		hops = hops[min((length+3)&^3, len(hops)):]
	}
	if all == nil {
		return []fact.Route{route}
	}
	return all
}

func nextHop(route *fact.Route, tb attributes, names linkNames) {
	route.Dev, route.Gateway = "", gateway(tb)
	if index, _ := tb.signed(unix.RTA_OIF); index != 0 { // a blackhole has none
		route.Dev = names.name(index)
	}
}

// gateway is the next hop, which may be of the other family.
func gateway(tb attributes) string {
	if via := tb[unix.RTA_VIA]; len(via) > 2 { // struct rtvia: family, address
		return ipAddress(via[2:])
	}
	return ipAddress(tb[unix.RTA_GATEWAY])
}

// routeType names a route type as iproute2 does (lib/rt_names.c).
func routeType(kind uint8) string {
	switch kind {
	case unix.RTN_BLACKHOLE:
		return "blackhole"
	case unix.RTN_UNREACHABLE:
		return "unreachable"
	case unix.RTN_PROHIBIT:
		return "prohibit"
	case unix.RTN_THROW:
		return "throw"
	}
	return fmt.Sprint(kind)
}

// routeTo asks for the route to an address.
func routeTo(to netip.Addr) []nl.NetlinkRequestData {
	message := nl.NewRtMsg()
	message.Family, message.Dst_len = unix.AF_INET, 32
	if to.Is6() {
		message.Family, message.Dst_len = unix.AF_INET6, 128
	}
	return []nl.NetlinkRequestData{message, nl.NewRtAttr(unix.RTA_DST, to.AsSlice())}
}

// parseRoute reads the answer to a route look-up: the gateway, if any, and the
// index of the interface.
func parseRoute(b []byte) (fact.HostRoute, int, error) {
	if len(b) < unix.SizeofRtMsg {
		return fact.HostRoute{}, 0, errShortMessage
	}
	tb := parseAttributes(b[unix.SizeofRtMsg:], unix.RTA_VIA)
	index, _ := tb.signed(unix.RTA_OIF)
	return fact.HostRoute{Via: gateway(tb)}, index, nil
}
