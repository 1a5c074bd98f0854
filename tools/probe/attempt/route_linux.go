package attempt

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"nsenter-mcp/nsexec"
	"nsenter-mcp/tools/fact"
	"nsenter-mcp/tools/probe"
)

// routes asks a namespace's kernel for its ways. It asks for one route, one interface
// and one neighbour each: the lists are as long as the target likes.
type routes struct {
	*nsexec.NetlinkSocket
	of *nsexec.Handle
}

func openRoutes(h *nsexec.Handle) (*routes, error) {
	socket, err := h.OpenNetlink(unix.NETLINK_ROUTE)
	return &routes{socket, h}, err
}

// lookup is what the kernel knows when connect(2) looks for a way. The mark is 0,
// and the user is this process's.
type lookup struct {
	to   netip.AddrPort
	from netip.Addr // zero where the kernel is to choose
	zone int        // the interface of a link-local address, else 0
	iif  int        // the interface by which the packet came in, 0 for one of a local socket
	in   string     // its name
	udp  bool       // not TCP
}

// proto is the protocol that is looked up.
func (l *lookup) proto() byte {
	if l.udp {
		return unix.IPPROTO_UDP
	}
	return unix.IPPROTO_TCP
}

// path is how the kernel gets to an address now.
type path struct {
	route *fact.AttemptRoute
	neigh *fact.AttemptNeigh // nil where the next hop needs no link-layer address
	hop   nextHop            // likewise
}

// nextHop is whom packets are handed to.
type nextHop struct {
	addr, src netip.Addr
	index     int // of the interface
	mac       net.HardwareAddr
}

// found is the kernel's answer to a look-up.
type found struct {
	kind         uint8
	bits         uint8 // of the prefix, where that was asked for
	table, index int
	dst, gateway netip.Addr
	src          netip.Addr
	hops         []netip.Addr // the gateways of a route with several
	metric       uint32
	special      bool // for some packets only, by their TOS or their source
}

// measure returns the way of a look-up.
func (r *routes) measure(ctx context.Context, l lookup) (path, error) {
	way, err := r.get(ctx, l, 0)
	if kind := refusedRoute(err); kind != "" {
		route := &fact.AttemptRoute{Type: kind}
		r.blame(ctx, l, route)
		return path{route: route}, nil
	}
	if err != nil {
		return path{}, fmt.Errorf("route to %s: %w", l.to.Addr(), err)
	}
	if !way.src.IsValid() { // the one that was asked for
		way.src = l.from.WithZone("")
	}
	p, err := r.follow(ctx, &way, l.to.Addr())
	if err != nil {
		return p, err
	}
	if match, err := r.get(ctx, l, unix.RTM_F_FIB_MATCH); err == nil {
		p.route.Dst = prefixText(match.dst, int(match.bits))
		if rule := r.ruleOf(ctx, l, func(rule *policyRule) bool { return rule.table == match.table }); rule != nil {
			p.route.Rule = rule.text()
		}
	}
	return p, nil
}

// get asks for the way of a look-up (rtnetlink(7), RTM_GETROUTE).
func (r *routes) get(ctx context.Context, l lookup, flags uint32) (found, error) {
	to := l.to.Addr().WithZone("")
	message := &nl.RtMsg{}
	message.Family, message.Dst_len = familyOf(to), uint8(to.BitLen()) //nolint:gosec // 32 or 128
	message.Flags = unix.RTM_F_LOOKUP_TABLE | flags
	body := []nl.NetlinkRequestData{message, nl.NewRtAttr(unix.RTA_DST, to.AsSlice())}
	if from := l.from.WithZone(""); from.IsValid() && !from.IsUnspecified() {
		message.Src_len = uint8(from.BitLen()) //nolint:gosec // 32 or 128
		body = append(body, nl.NewRtAttr(unix.RTA_SRC, from.AsSlice()))
	}
	if l.zone > 0 {
		body = append(body, nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(l.zone)))) //nolint:gosec // an index
	}
	if l.iif > 0 {
		body = append(body, nl.NewRtAttr(unix.RTA_IIF, nl.Uint32Attr(uint32(l.iif)))) //nolint:gosec // an index
	}
	if port := l.to.Port(); port != 0 {
		body = append(body, nl.NewRtAttr(unix.RTA_IP_PROTO, []byte{l.proto()}),
			nl.NewRtAttr(unix.RTA_DPORT, binary.BigEndian.AppendUint16(nil, port)))
	}
	answer, err := r.Get(ctx, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, body...)
	if err != nil {
		return found{}, err
	}
	return parseRoute(answer)
}

func parseRoute(message []byte) (found, error) {
	if len(message) < unix.SizeofRtMsg {
		return found{}, errShortMessage
	}
	head := nl.DeserializeRtMsg(message)
	attributes, err := nl.ParseRouteAttr(message[head.Len():])
	if err != nil {
		return found{}, err
	}
	way := found{kind: head.Type, bits: head.Dst_len, table: int(head.Table), special: head.Tos != 0 || head.Src_len != 0}
	way.read(attributes)
	return way, nil
}

// read takes over what attributes say.
func (way *found) read(attributes []syscall.NetlinkRouteAttr) {
	for _, a := range attributes {
		ip, _ := netip.AddrFromSlice(a.Value)
		switch a.Attr.Type {
		case unix.RTA_DST:
			way.dst = ip
		case unix.RTA_PREFSRC:
			way.src = ip
		case unix.RTA_GATEWAY:
			way.gateway = ip
		case unix.RTA_MULTIPATH:
			way.readHops(a.Value)
		case unix.RTA_VIA: // IPv4 routed over an IPv6 next hop: a family, and the address
			if len(a.Value) > 2 {
				way.gateway, _ = netip.AddrFromSlice(a.Value[2:])
			}
		case unix.RTA_OIF:
			way.index = int(binary.NativeEndian.Uint32(a.Value))
		case unix.RTA_PRIORITY:
			way.metric = binary.NativeEndian.Uint32(a.Value)
		case unix.RTA_TABLE:
			way.table = int(binary.NativeEndian.Uint32(a.Value))
		}
	}
}

// readHops reads struct rtnexthop (length, flags, hops, index; then attributes), one
// after the other.
func (way *found) readHops(b []byte) {
	for len(b) >= unix.SizeofRtNexthop {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofRtNexthop || length > len(b) {
			return
		}
		if attributes, err := nl.ParseRouteAttr(b[unix.SizeofRtNexthop:length]); err == nil {
			var hop found
			hop.read(attributes)
			way.hops = append(way.hops, hop.gateway)
		}
		b = b[min((length+unix.RTNH_ALIGNTO-1)&^(unix.RTNH_ALIGNTO-1), len(b)):]
	}
}

// eachRoute calls take with each route of a type in a table, 0 for all tables, and keeps
// none, until take returns false. A table that does not exist has none. The socket is
// one of its own: a look-up on a socket that filters dumps is checked too, and the
// kernel's answer to one that it does not understand is that of a blackhole.
func eachRoute(ctx context.Context, h *nsexec.Handle, family uint8, table int, kind uint8, take func(found) (more bool)) error {
	r, err := h.OpenNetlink(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.FilterDumps(); err != nil {
		return err
	}
	message := &nl.RtMsg{}
	message.Family, message.Type = family, kind
	var failed error
	err = r.Each(ctx, unix.RTM_GETROUTE, unix.RTM_NEWROUTE, func(b []byte) bool {
		way, err := parseRoute(b)
		if err != nil {
			failed = err
			return false
		}
		return take(way)
	}, message, nl.NewRtAttr(unix.RTA_TABLE, nl.Uint32Attr(uint32(table)))) //nolint:gosec // a number of the kernel's
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return cmp.Or(failed, err)
}

// isOwn reports whether ip is an address of the namespace itself.
func (r *routes) isOwn(ctx context.Context, ip netip.Addr) bool {
	way, err := r.get(ctx, lookup{to: netip.AddrPortFrom(ip, 0)}, 0)
	return err == nil && way.kind == unix.RTN_LOCAL
}

var errShortMessage = errors.New("a netlink message is shorter than its header")

// refusedRoute names the kind of route that makes the kernel answer err: it
// reports the error that connect(2) would get, not the route (fib_props in
// net/ipv4/fib_semantics.c). "" is no such answer.
func refusedRoute(err error) string {
	switch {
	case errors.Is(err, unix.ENETUNREACH):
		return fact.RouteNone
	case errors.Is(err, unix.EINVAL):
		return fact.RouteBlackhole
	case errors.Is(err, unix.EHOSTUNREACH):
		return fact.RouteUnreachable
	case errors.Is(err, unix.EACCES):
		return fact.RouteProhibit
	}
	return ""
}

func (r *routes) follow(ctx context.Context, way *found, to netip.Addr) (path, error) {
	route := &fact.AttemptRoute{Type: routeType(way.kind)}
	if way.table != unix.RT_TABLE_MAIN && way.table != unix.RT_TABLE_LOCAL {
		route.Table = way.table
	}
	if way.src.IsValid() {
		route.PrefSrc = way.src.String()
	}
	next := to
	if way.gateway.IsValid() && !way.gateway.IsUnspecified() {
		next, route.Gateway = way.gateway, way.gateway.String()
	}
	link, err := r.Link(ctx, way.index)
	if err != nil {
		return path{}, err
	}
	attrs := link.Attrs()
	route.Dev = probe.LinkName(attrs.Name)
	if attrs.OperState != netlink.OperUp && attrs.OperState != netlink.OperUnknown {
		route.OperState = strings.ToUpper(attrs.OperState.String())
	}
	if attrs.RawFlags&unix.IFF_UP == 0 {
		route.OperState = "DOWN"
	}
	if route.Type == fact.RouteLocal || attrs.RawFlags&(unix.IFF_NOARP|unix.IFF_LOOPBACK) != 0 {
		return path{route: route}, nil
	}
	neigh, err := r.neighbour(ctx, way.index, next)
	return path{
		route: route, neigh: neigh,
		hop: nextHop{addr: next.WithZone(""), src: way.src, index: way.index, mac: attrs.HardwareAddr},
	}, err
}

// neighbour asks for the entry of one next hop (RTM_GETNEIGH, rtnetlink(7)).
func (r *routes) neighbour(ctx context.Context, index int, next netip.Addr) (*fact.AttemptNeigh, error) {
	entry := &fact.AttemptNeigh{Dst: next.String(), State: "NONE"}
	message, err := r.Get(ctx, unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH,
		&netlink.Ndmsg{Family: familyOf(next), Index: uint32(index)}, //nolint:gosec // an index
		nl.NewRtAttr(unix.NDA_DST, next.AsSlice()))
	if errors.Is(err, unix.ENOENT) {
		return entry, nil
	}
	if err != nil {
		return nil, fmt.Errorf("neighbour %s: %w", next, err)
	}
	n, err := netlink.NeighDeserialize(message)
	if err != nil {
		return nil, fmt.Errorf("neighbour %s: %w", next, err)
	}
	entry.State, entry.Lladdr = neighState(n.State), n.HardwareAddr.String()
	return entry, nil
}

func familyOf(ip netip.Addr) uint8 {
	if ip.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// neighState names a NUD state (linux/neighbour.h).
func neighState(state int) string {
	for _, s := range [...]struct {
		bit  int
		name string
	}{
		{unix.NUD_INCOMPLETE, "INCOMPLETE"}, {unix.NUD_REACHABLE, "REACHABLE"}, {unix.NUD_STALE, "STALE"},
		{unix.NUD_DELAY, "DELAY"}, {unix.NUD_PROBE, "PROBE"}, {unix.NUD_FAILED, "FAILED"},
		{unix.NUD_NOARP, "NOARP"}, {unix.NUD_PERMANENT, "PERMANENT"},
	} {
		if state&s.bit != 0 {
			return s.name
		}
	}
	return "NONE"
}

// routeTypes names the types of routes (linux/rtnetlink.h).
var routeTypes = map[uint8]string{
	unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: fact.RouteLocal, unix.RTN_BROADCAST: "broadcast", unix.RTN_MULTICAST: "multicast",
	unix.RTN_BLACKHOLE: fact.RouteBlackhole, unix.RTN_UNREACHABLE: fact.RouteUnreachable, unix.RTN_PROHIBIT: fact.RouteProhibit,
}

func routeType(kind uint8) string { return cmp.Or(routeTypes[kind], fmt.Sprintf("type %d", kind)) }

// Gateways returns the gateways of the namespace's default routes in the table main.
// Where there are more IPv6 routes than a dump holds, IPv6's are not found.
func Gateways(ctx context.Context, h *nsexec.Handle) ([]netip.Addr, error) {
	var gateways []netip.Addr
	for _, family := range [...]uint8{unix.AF_INET6, unix.AF_INET} {
		found, err := gatewaysOf(ctx, h, family)
		if err != nil {
			return nil, fmt.Errorf("routes: %w", err)
		}
		gateways = append(gateways, found...)
	}
	return slices.Compact(gateways), nil
}

func gatewaysOf(ctx context.Context, h *nsexec.Handle, family uint8) (gateways []netip.Addr, err error) {
	left := maxGatewayRoutes
	err = eachRoute(ctx, h, family, unix.RT_TABLE_MAIN, unix.RTN_UNICAST, func(way found) bool {
		left--
		switch {
		case way.dst.IsValid() && !way.dst.IsUnspecified():
			// IPv4's are listed by their prefixes (fib_table_dump in net/ipv4/fib_trie.c),
			// IPv6's default comes last (fib6_walk_continue in net/ipv6/ip6_fib.c).
			return left > 0 && family == unix.AF_INET6
		case way.bits == 0:
			for _, ip := range append(way.hops, way.gateway) {
				if ip.IsValid() && !ip.IsUnspecified() {
					gateways = append(gateways, ip.Unmap())
				}
			}
		}
		return true
	})
	return gateways, err
}

// maxGatewayRoutes bounds the routes that are read to find the default one.
const maxGatewayRoutes = 1 << 16
