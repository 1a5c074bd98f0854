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

// maxRoutes is how many routes are kept of a list, beside those of a window and default
// routes, of which there are as many again at most: a target can have as many as it likes.
const maxRoutes = 1 << 12

// longestDefault is the length of the longest prefix that is kept as a default route: of
// the parts of one that was split, as VPNs do.
const longestDefault = 7

// routeList takes the messages of one RTM_GETROUTE dump.
type routeList struct {
	names        linkNames
	window       RouteWindow
	routes       []fact.Route
	totals       map[string]int // of each interface, those that the window counts
	defaults     int            // kept because they are default routes
	cut          bool           // a route was left out
	cutDefault   bool           // likewise, a default route
	err          error
	message, hop attributes // of what is read now
}

func newRouteList(links []fact.Link, window RouteWindow) *routeList {
	l := &routeList{
		names: make(linkNames, len(links)), window: window, totals: map[string]int{},
		message: make(attributes, unix.RTA_VIA+1), hop: make(attributes, unix.RTA_VIA+1),
	}
	for i := range links {
		l.names[links[i].Index] = linkName{name: links[i].Name}
	}
	return l
}

// add reads struct rtmsg and its attributes as one route for each next hop, and
// nothing of the table local, of multicast and of what the kernel keeps for itself.
func (l *routeList) add(b []byte) (more bool) {
	if len(b) < unix.SizeofRtMsg {
		l.err = errShortMessage
		return false
	}
	family, table, kind := b[0], b[4], b[7]
	if family != unix.AF_INET && family != unix.AF_INET6 || kind == unix.RTN_MULTICAST || table == unix.RT_TABLE_LOCAL ||
		binary.NativeEndian.Uint32(b[8:])&unix.RTM_F_CLONED != 0 {
		return true
	}
	l.message.fill(b[unix.SizeofRtMsg:])
	if !l.message.has(unix.RTA_MULTIPATH) {
		l.addHop(b, l.message)
		return true
	}
	found := false
	for hops := l.message[unix.RTA_MULTIPATH]; len(hops) >= unix.SizeofRtNexthop; {
		// struct rtnexthop: length, flags, hops, index; then attributes.
		length := int(binary.NativeEndian.Uint16(hops))
		if length < unix.SizeofRtNexthop || length > len(hops) {
			break
		}
		l.hop.fill(hops[unix.SizeofRtNexthop:length])
		l.hop[unix.RTA_OIF] = hops[4:8]
		l.addHop(b, l.hop)
		found = true
		hops = hops[min((length+3)&^3, len(hops)):]
	}
	if !found {
		clear(l.hop)
		l.addHop(b, l.hop)
	}
	return true
}

// addHop counts one route, and keeps it where there is room or it is asked for.
func (l *routeList) addHop(b []byte, hop attributes) {
	route := fact.Route{Family: "inet", Index: -1}
	if b[0] == unix.AF_INET6 {
		route.Family = "inet6"
	}
	if index, _ := hop.signed(unix.RTA_OIF); index != 0 { // a blackhole has none
		route.Dev = l.names.name(index)
	}
	dst, _ := netip.AddrFromSlice(l.message[unix.RTA_DST])
	bits := int(b[1])
	linkLocal := bits == 64 && dst == netip.AddrFrom16([16]byte{0xfe, 0x80})
	if w := l.window; (w.Family == "" || w.Family == route.Family) && (w.LinkLocal || !linkLocal) {
		route.Index = l.totals[route.Dev]
		l.totals[route.Dev]++
	}
	switch {
	case len(l.routes)-l.defaults < maxRoutes || l.window.holds(&route):
	case bits > longestDefault:
		l.cut = true
		return
	case l.defaults == maxRoutes:
		l.cutDefault = true
		return
	default:
		l.defaults++
	}
	l.read(&route, b, dst, bits)
	route.Gateway = gateway(hop)
	l.routes = append(l.routes, route)
}

// read fills in what all next hops of a route have in common.
func (l *routeList) read(route *fact.Route, b []byte, dst netip.Addr, bits int) {
	table, kind, tb := int(b[4]), b[7], l.message
	if long, ok := tb.signed(unix.RTA_TABLE); ok {
		table = long // above 255, where the header has 252 (RT_TABLE_COMPAT)
	}
	route.Prefsrc = ipAddress(tb[unix.RTA_PREFSRC])
	route.Dst = "default"
	if dst.IsValid() && bits > 0 {
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
